/* SPDX-License-Identifier: Apache-2.0
 * FLAG_* variables as a layer. Only collected here: which key FLAG_A_B_C means is known when the
 * other layers are (flags_compile.c). Pure; any thread. */
#include <stdlib.h>

#include "edge/state/flags_internal.h"

#define PREFIX_BYTES (sizeof FLAG_PREFIX - 1)

static struct pc_bytes name_of(const char *variable)
{
    return pc_bytes_of(variable, strcspn(variable, "="));
}

static bool is_flag(const char *variable)
{
    return strncmp(variable, FLAG_PREFIX, PREFIX_BYTES) == 0 && strchr(variable, '=');
}

static int check(struct pc_bytes name, struct pc_bytes text, struct pc_why *why)
{
    if (name.n > PREFIX_BYTES + PC_FLAG_KEY_MAX)
        return pc_fail(why, -EINVAL, "%.40s…: a flag's key has at most %d bytes",
                       (const char *)name.p, PC_FLAG_KEY_MAX);
    for (size_t i = PREFIX_BYTES; i < name.n; i++) {
        uint8_t c = name.p[i];
        if (!(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '_')
            return pc_fail(why, -EINVAL,
                           "%.*s: a flag's variable is FLAG_ and upper-case letters, digits and "
                           "underscores",
                           (int)name.n, (const char *)name.p);
    }
    if (text.n > PC_FLAG_VALUE_MAX)
        return pc_fail(why, PC_E_TOO_LARGE, "%.*s: a flag's value has at most %d bytes",
                       (int)name.n, (const char *)name.p, PC_FLAG_VALUE_MAX);
    return 0;
}

static struct pc_bytes store(struct pc_buf *b, struct pc_bytes s)
{
    const uint8_t *at = b->p + b->len;
    pc_buf_bytes(b, s);
    PC_ASSERT(!b->overflow);
    return pc_bytes_of(at, s.n);
}

static int fill(struct pc_flag_layer *layer, char *const *environ, struct pc_buf *b,
                struct pc_why *why)
{
    for (char *const *v = environ; v && *v; v++) {
        struct pc_bytes name = name_of(*v), text;
        if (!is_flag(*v))
            continue;
        text = pc_bytes_str(*v + name.n + 1);
        int rc = check(name, text, why);
        if (rc < 0)
            return rc;
        for (uint32_t i = 0; i < layer->count; i++)
            if (pc_bytes_eq(layer->variables[i].name, name))
                return pc_fail(why, -EINVAL, "%.*s is in the environment twice", (int)name.n,
                               (const char *)name.p);
        layer->variables[layer->count].name = store(b, name);
        layer->variables[layer->count++].text = store(b, text);
    }
    return 0;
}

int pc_flag_layer_from_environ(char *const *environ, struct pc_flag_layer **ret_layer,
                               struct pc_why *why)
{
    size_t count = 0, bytes = 0;
    for (char *const *v = environ; v && *v; v++) {
        count += is_flag(*v);
        bytes += is_flag(*v) ? strlen(*v) : 0;
    }
    if (count > PC_FLAG_ENVIRONMENT_MAX)
        return pc_fail(why, PC_E_TOO_LARGE, "at most %d FLAG_ variables, there are %zu",
                       PC_FLAG_ENVIRONMENT_MAX, count);
    size_t variables = count * sizeof(struct flag_variable);
    struct pc_flag_layer *layer = calloc(1, sizeof *layer + variables + bytes);
    if (!layer)
        return pc_fail(why, -ENOMEM, "no memory for the FLAG_ variables");
    layer->variables = (void *)(layer + 1);
    layer->text = (uint8_t *)layer->variables + variables;
    struct pc_buf b = pc_buf_of(layer->text, bytes);
    int rc = fill(layer, environ, &b, why);
    if (rc < 0) {
        free(layer);
        return rc;
    }
    *ret_layer = layer;
    return 0;
}
