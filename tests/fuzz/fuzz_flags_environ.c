/* SPDX-License-Identifier: Apache-2.0
 * Any FLAG_* variables (one per line) over a file with names that come close to each other: refused
 * by name, or a snapshot that holds each of them. */
#include <stdlib.h>

#include "edge/state/flags.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define VARIABLES_MAX 16

static struct pc_flag_layer *file_layer(void)
{
    struct pc_flag_layer *layer = NULL;
    PC_ASSERT(pc_flag_layer_parse_file_text(
                  PC_LIT("{\"a.b\":1,\"a-b.c\":\"s\",\"a.b_c\":{},\"n\":1.0,\"t\":true}"), &layer,
                  NULL) == 0);
    return layer;
}

/* text is changed: its lines become strings. */
static unsigned split(char *text, char *environ[VARIABLES_MAX + 1])
{
    unsigned n = 0;
    for (char *line = text; line && n < VARIABLES_MAX;) {
        char *end = strchr(line, '\n');
        if (end)
            *end = 0;
        environ[n++] = line;
        line = end ? end + 1 : NULL;
    }
    environ[n] = NULL;
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *environ[VARIABLES_MAX + 1], *text = malloc(size + 1);
    struct pc_flag_layer *file = file_layer(), *layer = NULL;
    struct pc_flags *flags = NULL;
    struct pc_why why = {""};
    uint32_t held = 0;
    PC_ASSERT(text);
    if (size)
        memcpy(text, data, size);
    text[size] = 0;
    split(text, environ);
    int rc = pc_flag_layer_from_environ(environ, &layer, &why);
    if (rc == 0)
        rc = pc_flags_compile(file, NULL, layer, &flags, &why);
    PC_ASSERT(rc == 0 || (!flags && strncmp(why.text, "FLAG_", 5) == 0));
    for (uint32_t i = 0; flags && i < flags->count; i++) {
        const struct pc_flag *f = &flags->flags[i];
        PC_ASSERT(pc_flags_find(flags, f->key) == f);
        PC_ASSERT((f->from == PC_FLAG_FROM_ENVIRONMENT) == (f->variable.n > 0));
        held += f->variable.n > 0;
    }
    PC_ASSERT(!flags || held == pc_flag_layer_count(layer));
    pc_flags_free(flags);
    pc_flag_layer_free(layer);
    pc_flag_layer_free(file);
    free(text);
    return 0;
}
