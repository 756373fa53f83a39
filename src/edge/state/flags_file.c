/* SPDX-License-Identifier: Apache-2.0
 * The flag file: JSON text to a layer. Every refusal says line and column, because people edit
 * these files by hand while servers run.
 *
 *   {"flags": {"ui.theme": {"state": "ENABLED",
 *                           "variants": {"dark": "d", "light": "l"}, "defaultVariant": "dark",
 *                           "metadata": {"category": "ui", "description": "Colours"}},
 *              "cache.ttl_seconds": 60}}
 *   {"ui.theme": "l", "cache.ttl_seconds": 60}
 *
 * An object with "variants", "defaultVariant" or "targeting" is a definition, wherever it stands;
 * anything else is the value itself. A definition whose state is DISABLED is as if it were not
 * there. Pure; any thread. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "edge/state/flags_internal.h"

/* JSON values in one file: thirty for each flag of the largest file. */
#define FILE_TOKENS_MAX (1u << 17)
/* An integer may be written shorter (1e18) than it is stored. */
#define INTEGER_BYTES_MAX 20

struct reader {
    struct pc_json doc;
    struct pc_flag_layer *layer;
    struct pc_buf text;  /* the layer's bytes */
    struct pc_bytes key; /* of the flag being read */
    struct pc_why *why;
};

/* ---- refusing ---- */

static int refuse(const struct reader *r, int err, const struct pc_json_token *at, const char *fmt,
                  ...) PC_PRINTF(4, 5);

static int refuse(const struct reader *r, int err, const struct pc_json_token *at, const char *fmt,
                  ...)
{
    char what[400];
    uint32_t line, column;
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    bool quoted = pc_json_type(at) == PC_JSON_STRING; /* point to the quote */
    pc_json_place(r->doc.text, at->start - quoted, &line, &column);
    if (r->key.n == 0)
        return pc_fail(r->why, err, "line %u column %u: %s", line, column, what);
    return pc_fail(r->why, err, "line %u column %u: %.*s: %s", line, column, (int)r->key.n,
                   (const char *)r->key.p, what);
}

static bool one_of(const struct reader *r, const struct pc_json_token *name,
                   const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (pc_json_equals(&r->doc, name, words[i]))
            return true;
    return false;
}

static int refuse_unknown(const struct reader *r, const struct pc_json_token *name,
                          const char *where, const char *allowed)
{
    struct pc_bytes raw = pc_json_raw(&r->doc, name);
    return refuse(r, -EINVAL, name, "%s has no member %.*s (there are %s)", where,
                  (int)pc_min_u64(raw.n, 80), (const char *)raw.p, allowed);
}

/* ---- texts ---- */

/* The string, unescaped, in the layer's memory. */
static int keep_string(struct reader *r, const struct pc_json_token *t, size_t max,
                       const char *what, struct pc_bytes *ret)
{
    struct pc_bytes s;
    uint8_t *at = r->text.p + r->text.len;
    int rc = pc_json_string(&r->doc, t, &r->text, &s);
    if (rc == -EINVAL)
        return refuse(r, rc, t, "%s must be a string", what);
    PC_ASSERT(rc == 0); /* the layer's memory is as large as the file */
    if (s.n > max)
        return refuse(r, PC_E_TOO_LARGE, t, "%s has at most %zu bytes", what, max);
    if (s.p != at)
        pc_buf_bytes(&r->text, s);
    PC_ASSERT(!r->text.overflow);
    *ret = pc_bytes_of(at, s.n);
    return 0;
}

static int keep_value(struct reader *r, const struct pc_json_token *t, struct flag_entry *e)
{
    struct pc_why inner = {{0}};
    size_t start = r->text.len;
    int rc = pc_flag_value_write(&r->doc, t, e->type, &r->text, &e->type, &inner);
    if (rc < 0)
        return refuse(r, rc, t, "%s", inner.text);
    e->value = pc_bytes_of(r->text.p + start, r->text.len - start);
    return 0;
}

/* ---- definitions ---- */

/* The type all variants share; the built-in flag's type if there is one. */
static int find_type(const struct reader *r, const struct pc_json_token *variants,
                     enum pc_flag_type *type)
{
    PC_JSON_FOREACH(&r->doc, variants, name)
    {
        const struct pc_json_token *value = pc_json_value(name);
        enum pc_flag_type is = flag_type_of(&r->doc, value);
        if (*type == PC_FLAG_NO_TYPE || (*type == PC_FLAG_INTEGER && is == PC_FLAG_NUMBER))
            *type = is;
        else if (is != *type && !(*type == PC_FLAG_NUMBER && is == PC_FLAG_INTEGER))
            return refuse(r, -EINVAL, value,
                          "variants must be of one type: this one is of type %s, the ones before "
                          "are of type %s",
                          pc_flag_type_name(is), pc_flag_type_name(*type));
    }
    return 0;
}

/* Each variant must be a value the flag may have, the chosen one or not: an operator who switches
 * variants in a hurry shall not find out then. */
static int check_variants(const struct reader *r, const struct pc_json_token *variants,
                          enum pc_flag_type type)
{
    uint8_t scratch[PC_FLAG_VALUE_MAX + 1];
    PC_JSON_FOREACH(&r->doc, variants, name)
    {
        struct pc_buf b = pc_buf_of(scratch, sizeof scratch);
        struct pc_why inner = {{0}};
        int rc = pc_flag_value_write(&r->doc, pc_json_value(name), type, &b, NULL, &inner);
        if (rc < 0)
            return refuse(r, rc, pc_json_value(name), "%s", inner.text);
    }
    return 0;
}

static int read_variants(struct reader *r, const struct pc_json_token *definition,
                         struct flag_entry *e)
{
    const struct pc_json_token *variants = pc_json_member(&r->doc, definition, "variants");
    const struct pc_json_token *chosen = pc_json_member(&r->doc, definition, "defaultVariant");
    if (pc_json_type(variants) != PC_JSON_OBJECT || variants->count == 0)
        return refuse(r, -EINVAL, variants ? variants : definition,
                      "variants must be an object with at least one member");
    if (pc_json_type(chosen) != PC_JSON_STRING)
        return refuse(r, -EINVAL, chosen ? chosen : definition,
                      "defaultVariant must name one of the variants");
    int rc = e->type == PC_FLAG_NO_TYPE ? find_type(r, variants, &e->type) : 0;
    if (rc == 0)
        rc = check_variants(r, variants, e->type);
    if (rc < 0)
        return rc;
    PC_JSON_FOREACH(&r->doc, variants, name)
    {
        uint8_t scratch[PC_FLAG_TEXT_MAX];
        struct pc_buf b = pc_buf_of(scratch, sizeof scratch);
        struct pc_bytes s;
        if (pc_json_string(&r->doc, name, &b, &s) == 0 && pc_json_equals_bytes(&r->doc, chosen, s))
            return keep_value(r, pc_json_value(name), e);
    }
    return refuse(r, -EINVAL, chosen, "defaultVariant names none of the variants");
}

static int read_metadata(struct reader *r, const struct pc_json_token *metadata,
                         struct flag_entry *e)
{
    if (!metadata)
        return 0;
    if (pc_json_type(metadata) != PC_JSON_OBJECT)
        return refuse(r, -EINVAL, metadata, "metadata must be an object");
    const struct pc_json_token *category = pc_json_member(&r->doc, metadata, "category");
    const struct pc_json_token *description = pc_json_member(&r->doc, metadata, "description");
    int rc = category ? keep_string(r, category, PC_FLAG_TEXT_MAX, "category", &e->category) : 0;
    if (rc == 0 && description)
        rc = keep_string(r, description, PC_FLAG_TEXT_MAX, "description", &e->description);
    return rc;
}

static int read_state(const struct reader *r, const struct pc_json_token *definition,
                      bool *ret_disabled)
{
    const struct pc_json_token *state = pc_json_member(&r->doc, definition, "state");
    if (!state)
        return 0;
    *ret_disabled = pc_json_equals(&r->doc, state, "DISABLED");
    if (!*ret_disabled && !pc_json_equals(&r->doc, state, "ENABLED"))
        return refuse(r, -EINVAL, state, "state must be \"ENABLED\" or \"DISABLED\"");
    return 0;
}

static int check_members(const struct reader *r, const struct pc_json_token *definition)
{
    static const char *const members[] = {"state", "variants", "defaultVariant", "targeting",
                                          "metadata"};
    PC_JSON_FOREACH(&r->doc, definition, name)
    {
        const struct pc_json_token *value = pc_json_value(name);
        if (!one_of(r, name, members, PC_COUNT(members)))
            return refuse_unknown(r, name, "a definition",
                                  "state, variants, defaultVariant and metadata");
        bool empty = pc_json_type(value) == PC_JSON_OBJECT && value->count == 0;
        if (pc_json_equals(&r->doc, name, "targeting") && !empty)
            return refuse(r, PC_E_UNSUPPORTED, name, "targeting is not supported in this version");
    }
    return 0;
}

static int read_definition(struct reader *r, const struct pc_json_token *definition,
                           struct flag_entry *e, bool *ret_disabled)
{
    int rc = check_members(r, definition);
    if (rc == 0)
        rc = read_state(r, definition, ret_disabled);
    if (rc == 0)
        rc = read_variants(r, definition, e);
    if (rc == 0)
        rc = read_metadata(r, pc_json_member(&r->doc, definition, "metadata"), e);
    return rc;
}

static bool is_definition(const struct reader *r, const struct pc_json_token *value)
{
    return pc_json_member(&r->doc, value, "variants") ||
           pc_json_member(&r->doc, value, "defaultVariant") ||
           pc_json_member(&r->doc, value, "targeting");
}

/* ---- the file ---- */

static int read_flag(struct reader *r, const struct pc_json_token *name)
{
    struct flag_entry e = {.type = PC_FLAG_NO_TYPE};
    const struct pc_json_token *value = pc_json_value(name);
    struct pc_why inner = {{0}};
    bool disabled = false;
    r->key = pc_bytes_of(NULL, 0);
    int rc = keep_string(r, name, PC_FLAG_KEY_MAX, "a flag's key", &e.key);
    if (rc == 0 && pc_flag_key_check(e.key, &inner) < 0)
        rc = refuse(r, -EINVAL, name, "%s", inner.text);
    if (rc < 0)
        return rc;
    const struct flag_entry *builtin = flag_builtin_find(e.key);
    e.type = builtin ? builtin->type : PC_FLAG_NO_TYPE;
    r->key = e.key;
    rc = is_definition(r, value) ? read_definition(r, value, &e, &disabled)
                                 : keep_value(r, value, &e);
    if (rc == 0 && !disabled)
        r->layer->entries[r->layer->count++] = e;
    return rc;
}

/* The object whose members are flags: "flags" if there is one, else all of the file. */
static int find_flags(const struct reader *r, const struct pc_json_token **ret_flags)
{
    static const char *const beside[] = {"flags", "$schema", "$evaluators", "metadata"};
    const struct pc_json_token *root = pc_json_root(&r->doc), *flags, *evaluators;
    if (pc_json_type(root) != PC_JSON_OBJECT)
        return refuse(r, -EINVAL, root, "a flag file is a JSON object");
    flags = pc_json_member(&r->doc, root, "flags");
    *ret_flags = flags ? flags : root;
    if (!flags)
        return 0;
    if (pc_json_type(flags) != PC_JSON_OBJECT)
        return refuse(r, -EINVAL, flags, "flags must be an object");
    PC_JSON_FOREACH(&r->doc, root, name)
    if (!one_of(r, name, beside, PC_COUNT(beside)))
        return refuse_unknown(r, name, "a file with \"flags\"",
                              "flags, metadata and $schema: flags stand below \"flags\"");
    evaluators = pc_json_member(&r->doc, root, "$evaluators");
    if (evaluators && (pc_json_type(evaluators) != PC_JSON_OBJECT || evaluators->count))
        return refuse(r, PC_E_UNSUPPORTED, evaluators,
                      "$evaluators are for targeting, which is not supported in this version");
    return 0;
}

static int compare_entries(const void *a, const void *b)
{
    return flag_key_compare(((const struct flag_entry *)a)->key,
                            ((const struct flag_entry *)b)->key);
}

static int read_flags(struct reader *r, const struct pc_json_token *flags)
{
    bool whole_file = flags == pc_json_root(&r->doc);
    if (flags->count > PC_FLAG_FILE_MAX)
        return refuse(r, PC_E_TOO_LARGE, flags, "a flag file has at most %d flags",
                      PC_FLAG_FILE_MAX);
    size_t entries = sizeof(struct flag_entry) * flags->count;
    size_t text = r->doc.text.n + (size_t)INTEGER_BYTES_MAX * flags->count;
    r->layer = calloc(1, sizeof *r->layer + entries + text);
    if (!r->layer)
        return pc_fail(r->why, -ENOMEM, "no memory for %u flags", flags->count);
    r->layer->entries = (void *)(r->layer + 1);
    r->layer->text = (uint8_t *)r->layer->entries + entries;
    r->text = pc_buf_of(r->layer->text, text);
    PC_JSON_FOREACH(&r->doc, flags, name)
    {
        if (whole_file && pc_json_equals(&r->doc, name, "$schema"))
            continue;
        int rc = read_flag(r, name);
        if (rc < 0)
            return rc;
    }
    qsort(r->layer->entries, r->layer->count, sizeof *r->layer->entries, compare_entries);
    return 0;
}

int pc_flag_layer_parse_file_text(struct pc_bytes text, struct pc_flag_layer **ret_layer,
                                  struct pc_why *why)
{
    static const struct pc_json_limits limits = {.bytes = PC_FLAG_FILE_BYTES_MAX,
                                                 .members = PC_FLAG_FILE_MAX + 1};
    const struct pc_json_token *flags = NULL;
    struct reader r = {.why = why};
    struct pc_json_error error;
    uint32_t max = (uint32_t)pc_min_u64(text.n / 2 + 2, FILE_TOKENS_MAX);
    struct pc_json_token *tokens = malloc(max * sizeof *tokens);
    if (!tokens)
        return pc_fail(why, -ENOMEM, "no memory to read flags");
    int rc = pc_json_parse(text, tokens, max, &limits, &r.doc, &error);
    if (rc < 0)
        pc_json_explain(why, rc, text, &error);
    else
        rc = find_flags(&r, &flags);
    if (rc == 0)
        rc = read_flags(&r, flags);
    free(tokens);
    if (rc < 0) {
        free(r.layer);
        return rc;
    }
    *ret_layer = r.layer;
    return 0;
}

void pc_flag_layer_free(struct pc_flag_layer *layer)
{
    free(layer);
}

uint32_t pc_flag_layer_count(const struct pc_flag_layer *layer)
{
    return layer ? layer->count : 0;
}
