/* SPDX-License-Identifier: Apache-2.0
 * Reading the YAML file with libcyaml. The schema is built from the table of keys: a mapping of the
 * file becomes an array of slots, one for each row, whose pointer is NULL where the file is silent.
 * libcyaml then has checked structure, names, duplicates, numbers and words, with line numbers;
 * everything else is checked by pc_config_set(). */
#include <cyaml/cyaml.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config_internal.h"

struct slot {
    void *value;    /* int64_t *, unsigned * (words of choices), char *, char ** or struct slot * */
    unsigned count; /* of words and lists */
};

static const cyaml_strval_t bool_words[] = {
    {"false", 0},
    {"true",  1}
};
static const cyaml_schema_value_t word_schema = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, PC_CONFIG_TEXT_MAX)};

/* What a failed load says: libcyaml's first message, and the first key and line it names. */
struct complaint {
    char text[256];
    char key[64];
    unsigned line;
};

static void note(cyaml_log_t level, void *ctx, const char *fmt, va_list args) PC_PRINTF(3, 0);

static void note(cyaml_log_t level, void *ctx, const char *fmt, va_list args)
{
    struct complaint *c = ctx;
    char text[256];
    unsigned line;
    (void)level;
    vsnprintf(text, sizeof text, fmt, args);
    text[strcspn(text, "\n")] = 0;
    const char *at = strstr(text, "(line: ");
    if (!c->text[0] && !at && !strstr(text, "Backtrace"))
        snprintf(c->text, sizeof c->text, "%s", strncmp(text, "Load: ", 6) == 0 ? text + 6 : text);
    if (!c->line && at && sscanf(at, "(line: %u", &line) == 1)
        c->line = line;
    if (!c->key[0])
        (void)sscanf(text, " in mapping field '%63[^']'", c->key);
}

/* ---- From rows to a schema. Its memory is the configuration's: small, and freed with it. ---- */

static cyaml_strval_t *choices_schema(struct pc_config *c, const struct pc_key *k, unsigned *ret_n)
{
    cyaml_strval_t *words = pc_config_alloc(c, PC_KEY_CHOICES_MAX * sizeof *words);
    unsigned n = 0;
    for (; words && n < PC_KEY_CHOICES_MAX && k->choices[n]; n++)
        words[n] = (cyaml_strval_t){k->choices[n], n};
    *ret_n = n;
    return words;
}

static cyaml_schema_field_t *fields_schema(struct pc_config *c, const struct pc_key_table *t,
                                           unsigned from, unsigned to, size_t skip);

/* The schema of one row's value. false without memory. */
static bool value_schema(struct pc_config *c, const struct pc_key *k, cyaml_schema_value_t *v)
{
    const enum cyaml_flag flags = CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT;
    switch (k->type) {
    case PC_KEY_UINT: *v = (cyaml_schema_value_t){CYAML_VALUE_INT(flags, int64_t)}; return true;
    case PC_KEY_BOOL:
        *v = (cyaml_schema_value_t){CYAML_VALUE_ENUM(flags, unsigned, bool_words, 2)};
        return true;
    case PC_KEY_ENUM:
        *v = (cyaml_schema_value_t){CYAML_VALUE_ENUM(flags, unsigned, NULL, 0)};
        v->enumeration.strings = choices_schema(c, k, &v->enumeration.count);
        return v->enumeration.strings != NULL;
    case PC_KEY_WORDS:
        *v = (cyaml_schema_value_t){CYAML_VALUE_SEQUENCE(
            flags, char *, &word_schema, *k->default_text ? 1 : 0, PC_CONFIG_WORDS_MAX)};
        return true;
    case PC_KEY_LIST: {
        const struct pc_key_table *t = &k->list->table;
        cyaml_schema_value_t *entry = pc_config_alloc(c, sizeof *entry);
        cyaml_schema_field_t *fields = fields_schema(c, t, 0, t->count, 0);
        if (!entry || !fields)
            return false;
        *entry =
            (cyaml_schema_value_t){CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct slot, fields)};
        entry->data_size = t->count * (unsigned)sizeof(struct slot);
        *v = (cyaml_schema_value_t){
            CYAML_VALUE_SEQUENCE(flags, struct slot, entry, (unsigned)k->min, k->list->max)};
        v->data_size = entry->data_size;
        return true;
    }
    default:
        *v = (cyaml_schema_value_t){CYAML_VALUE_STRING(flags, char, 0, PC_CONFIG_TEXT_MAX)};
        return true;
    }
}

static size_t section_length(const char *path)
{
    const char *dot = strchr(path, '.');
    return dot ? (size_t)(dot - path) : 0;
}

/* One past the last row of the section that row `from` begins. */
static unsigned section_end(const struct pc_key_table *t, unsigned from, size_t length)
{
    unsigned to = from;
    while (to < t->count && strncmp(t->keys[to].path, t->keys[from].path, length + 1) == 0)
        to++;
    return to;
}

/* A section "http.…" becomes a mapping whose slots stand where its rows stand. */
static bool section_schema(struct pc_config *c, const struct pc_key_table *t, unsigned from,
                           unsigned to, size_t length, cyaml_schema_field_t *f)
{
    const struct pc_bytes name = pc_bytes_of(t->keys[from].path, length);
    cyaml_schema_field_t *fields = fields_schema(c, t, from, to, length + 1);
    f->key = pc_config_strdup(c, name);
    f->value =
        (cyaml_schema_value_t){CYAML_VALUE_MAPPING(CYAML_FLAG_OPTIONAL, struct slot, fields)};
    f->value.data_size = (to - from) * (unsigned)sizeof(struct slot);
    return fields && f->key;
}

/* Rows from … to as fields; `skip` bytes of each path are the name of the section around them. */
static cyaml_schema_field_t *fields_schema(struct pc_config *c, const struct pc_key_table *t,
                                           unsigned from, unsigned to, size_t skip)
{
    cyaml_schema_field_t *fields = pc_config_alloc(c, (to - from + 1) * sizeof *fields);
    unsigned n = 0;
    for (unsigned i = from, next; fields && i < to; i = next, n++) {
        const struct pc_key *k = &t->keys[i];
        cyaml_schema_field_t *f = &fields[n];
        size_t length = skip ? 0 : section_length(k->path);
        bool ok;
        next = length ? section_end(t, i, length) : i + 1;
        f->data_offset = (i - from) * (unsigned)sizeof(struct slot);
        f->count_offset = f->data_offset + (unsigned)offsetof(struct slot, count);
        f->count_size = sizeof(unsigned);
        f->key = k->path + skip;
        ok = length ? section_schema(c, t, i, next, length, f) : value_schema(c, k, &f->value);
        if (!ok)
            return NULL;
    }
    return fields; /* the last stays zero: its key is NULL */
}

/* ---- From slots to values. ---- */

static int take_words(struct pc_config_loader *l, const struct pc_record *r, const struct pc_key *k,
                      const struct slot *s)
{
    struct pc_bytes words[PC_CONFIG_WORDS_MAX];
    char *const *v = s->value;
    PC_ASSERT(s->count <= PC_CONFIG_WORDS_MAX);
    for (unsigned i = 0; i < s->count; i++)
        words[i] = pc_bytes_str(v[i]);
    return pc_config_set_words(l, r, k, words, s->count);
}

static int take_scalar(struct pc_config_loader *l, const struct pc_record *r,
                       const struct pc_key *k, const struct slot *s)
{
    char number[24];
    switch (k->type) {
    case PC_KEY_UINT:
        snprintf(number, sizeof number, "%lld", (long long)*(const int64_t *)s->value);
        return pc_config_set(l, r, k, pc_bytes_str(number));
    case PC_KEY_BOOL:
        return pc_config_set(l, r, k, pc_bytes_str(bool_words[*(const unsigned *)s->value].str));
    case PC_KEY_ENUM:
        return pc_config_set(l, r, k, pc_bytes_str(k->choices[*(const unsigned *)s->value]));
    default: return pc_config_set(l, r, k, pc_bytes_str(s->value));
    }
}

static int take_list(struct pc_config_loader *l, const struct pc_key *k, const struct slot *s,
                     bool append);

static int take_record(struct pc_config_loader *l, const struct pc_record *r,
                       const struct slot *slots, bool append)
{
    int err = 0;
    for (unsigned i = 0; i < r->table->count && !err; i++) {
        const struct pc_key *k = &r->table->keys[i];
        const struct slot *s = &slots[i];
        if (k->type == PC_KEY_LIST && (s->value || s->count))
            err = take_list(l, k, s, append);
        else if (k->type == PC_KEY_WORDS && s->value)
            err = take_words(l, r, k, s);
        else if (k->type != PC_KEY_LIST && k->type != PC_KEY_WORDS && s->value)
            err = take_scalar(l, r, k, s);
    }
    return err;
}

static int take_list(struct pc_config_loader *l, const struct pc_key *k, const struct slot *s,
                     bool append)
{
    unsigned *count = pc_config_list_count(l->config, k);
    if (!append)
        *count = 0;
    if (s->count > k->list->max - *count)
        return pc_fail(l->why, PC_E_TOO_LARGE, "%s: %s: more than %u entries", l->origin, k->path,
                       k->list->max);
    for (unsigned i = 0; i < s->count; i++) {
        struct pc_record r;
        const struct slot *slots = (const struct slot *)s->value + i * k->list->table.count;
        int err = pc_config_add_entry(l, k, &r);
        if (err || (err = take_record(l, &r, slots, append)))
            return err;
    }
    struct pc_record root = pc_config_root_record(l->config);
    pc_record_source(&root)[k - pc_config_root.keys] = (uint8_t)l->source;
    return 0;
}

/* ---- The file. ---- */

/* libcyaml names the line before an unknown key: look for the key itself from there on. */
static unsigned line_of_key(struct pc_bytes text, unsigned from, const char *key)
{
    size_t n = strlen(key);
    unsigned line = 1;
    for (size_t at = 0; at < text.n && n; line++) {
        const uint8_t *end = memchr(text.p + at, '\n', text.n - at);
        size_t stop = end ? (size_t)(end - text.p) : text.n;
        for (size_t i = at; line >= from && i + n < stop; i++)
            if (memcmp(text.p + i, key, n) == 0 && text.p[i + n] == ':' &&
                (i == at || strchr(" -{,\"'", text.p[i - 1])))
                return line;
        at = stop + 1;
    }
    return from;
}

/* libcyaml's messages that can be said better; `later`: the key stands after the line it names. */
static const struct {
    const char *begins, *words;
    bool is_key;
    unsigned later;
} phrases[] = {
    {"Unexpected key: ",             "unknown key",                            true,  0},
    {"Mapping field already seen: ", "given twice:",                           true,  1},
    {"Invalid ENUM value: ",         "none of the words that may stand here:", false, 0},
};

static int refuse_file(struct pc_config_loader *l, struct pc_bytes text, struct complaint *c,
                       cyaml_err_t err)
{
    const char *what = c->text[0] ? c->text : cyaml_strerror(err);
    unsigned line = c->line ? c->line : 1;
    if (err == CYAML_ERR_OOM)
        return pc_fail(l->why, -ENOMEM, "%s: out of memory", l->origin);
    for (size_t i = 0; i < PC_COUNT(phrases); i++) {
        size_t n = strlen(phrases[i].begins);
        if (strncmp(what, phrases[i].begins, n) != 0)
            continue;
        if (phrases[i].is_key)
            line = line_of_key(text, line + phrases[i].later, what + n);
        return pc_fail(l->why, -EINVAL, "%s:%u: %s%s%s \"%s\"", l->origin, line,
                       phrases[i].is_key ? "" : c->key, phrases[i].is_key ? "" : ": ",
                       phrases[i].words, what + n);
    }
    return pc_fail(l->why, -EINVAL, "%s:%u: %s%s%s", l->origin, line, c->key, c->key[0] ? ": " : "",
                   what);
}

static int load_text(struct pc_config_loader *l, struct pc_bytes text, bool append)
{
    cyaml_schema_value_t schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct slot, NULL)};
    struct complaint complaint = {.line = 0};
    const cyaml_config_t config = {
        .log_fn = note,
        .log_ctx = &complaint,
        .mem_fn = cyaml_mem,
        .log_level = CYAML_LOG_WARNING,
        .flags = CYAML_CFG_NO_ALIAS, /* nothing that grows a small file into a large one */
    };
    struct slot *slots = NULL;
    schema.mapping.fields = fields_schema(l->config, &pc_config_root, 0, pc_config_root.count, 0);
    schema.data_size = pc_config_root.count * (unsigned)sizeof *slots;
    if (!schema.mapping.fields)
        return pc_fail(l->why, -ENOMEM, "%s: out of memory", l->origin);
    cyaml_err_t bad =
        cyaml_load_data(text.p, text.n, &config, &schema, (cyaml_data_t **)&slots, NULL);
    if (bad != CYAML_OK)
        return refuse_file(l, text, &complaint, bad);
    if (complaint.text[0]) { /* only a warning to libcyaml: a second document */
        cyaml_free(&config, &schema, slots, 0);
        return pc_fail(l->why, -EINVAL, "%s: %s", l->origin, complaint.text);
    }
    struct pc_record root = pc_config_root_record(l->config);
    int err = slots ? take_record(l, &root, slots, append) : 0;
    cyaml_free(&config, &schema, slots, 0);
    return err;
}

int pc_config_load_yaml(struct pc_config_loader *l, const char *path, bool append)
{
    struct pc_bytes text;
    int err = pc_config_read_file(path, l->why, &text);
    if (err)
        return err;
    l->origin = path;
    err = load_text(l, text, append);
    free((void *)(uintptr_t)text.p);
    return err;
}
