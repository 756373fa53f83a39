/* SPDX-License-Identifier: Apache-2.0
 * Any text as a flag file: refused with a line and a column, or a layer that compiles into a
 * snapshot in which every flag can be found and every value is JSON of its type. */
#include <stdio.h>

#include "edge/state/flags.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum pc_json_type json_type(enum pc_flag_type type)
{
    switch (type) {
    case PC_FLAG_BOOLEAN: return PC_JSON_BOOL;
    case PC_FLAG_STRING: return PC_JSON_STRING;
    case PC_FLAG_INTEGER:
    case PC_FLAG_NUMBER: return PC_JSON_NUMBER;
    case PC_FLAG_OBJECT: return PC_JSON_OBJECT;
    case PC_FLAG_NO_TYPE: break;
    }
    return PC_JSON_ABSENT;
}

static void check_flag(const struct pc_flags *f, const struct pc_flag *flag)
{
    struct pc_json_token tokens[PC_FLAG_VALUE_TOKENS];
    struct pc_json doc;
    int64_t integer;
    PC_ASSERT(pc_flags_find(f, flag->key) == flag);
    PC_ASSERT(pc_flag_key_check(flag->key, NULL) == 0);
    PC_ASSERT(flag->value.n <= PC_FLAG_VALUE_MAX);
    PC_ASSERT(flag->category.n && flag->category.n <= PC_FLAG_TEXT_MAX);
    PC_ASSERT(flag->description.n <= PC_FLAG_TEXT_MAX);
    PC_ASSERT(pc_json_parse(flag->value, tokens, PC_FLAG_VALUE_TOKENS, NULL, &doc, NULL) == 0);
    PC_ASSERT(pc_json_type(doc.tokens) == json_type(flag->type));
    if (flag->type == PC_FLAG_INTEGER)
        PC_ASSERT(pc_json_i64(&doc, doc.tokens, &integer) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pc_flag_layer *layer = NULL;
    struct pc_flags *flags = NULL;
    struct pc_why why = {""};
    unsigned line, column;
    int rc = pc_flag_layer_parse_file_text(pc_bytes_of(data, size), &layer, &why);
    PC_ASSERT((rc == 0) == (layer != NULL));
    if (rc < 0) {
        PC_ASSERT(sscanf(why.text, "line %u column %u: ", &line, &column) == 2);
        return 0;
    }
    PC_ASSERT(pc_flags_compile(layer, NULL, NULL, &flags, &why) == 0);
    PC_ASSERT(flags->count >= pc_flag_layer_count(layer));
    for (uint32_t i = 0; i < flags->count; i++)
        check_flag(flags, &flags->flags[i]);
    pc_flags_free(flags);
    pc_flag_layer_free(layer);
    return 0;
}
