/* SPDX-License-Identifier: Apache-2.0
 * Effective values as YAML that loads to the same configuration, and the documentation of keys. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config_internal.h"

static const char *const source_names[] = {"default", "file", "overlay", "environment"};

/* A double-quoted YAML scalar; texts with control characters were refused when they were read. */
static void put_quoted(FILE *f, const char *s)
{
    fputc('"', f);
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            fputc('\\', f);
        fputc(*s, f);
    }
    fputc('"', f);
}

static void put_words(FILE *f, const struct pc_words *w)
{
    fputc('[', f);
    for (unsigned i = 0; i < w->n; i++) {
        fputs(i ? ", " : "", f);
        put_quoted(f, w->v[i]);
    }
    fputc(']', f);
}

static void put_quantity(FILE *f, const struct pc_key *k, const void *value)
{
    char text[32];
    struct pc_buf b = pc_buf_of(text, sizeof text - 1);
    if (k->type == PC_KEY_DURATION)
        pc_duration_format(*(const int64_t *)value, &b);
    else if (k->type == PC_KEY_SIZE)
        pc_size_format(*(const uint64_t *)value, &b);
    else
        pc_buf_u64(&b, *(const uint64_t *)value);
    fprintf(f, "%.*s", (int)b.len, text);
}

static void put_value(FILE *f, const struct pc_record *r, const struct pc_key *k)
{
    const void *value = pc_key_value(r, k);
    switch (k->type) {
    case PC_KEY_TEXT:
    case PC_KEY_FILE: put_quoted(f, *(const char *const *)value); break;
    case PC_KEY_BOOL: fputs(*(const bool *)value ? "true" : "false", f); break;
    case PC_KEY_FRACTION: fprintf(f, "%.6g", *(const double *)value); break;
    case PC_KEY_MODE: fprintf(f, "\"%04llo\"", (unsigned long long)*(const uint64_t *)value); break;
    /* Quoted: off and on would be booleans to other readers of YAML. */
    case PC_KEY_ENUM: put_quoted(f, k->choices[*(const unsigned *)value]); break;
    case PC_KEY_WORDS: put_words(f, value); break;
    default: put_quantity(f, k, value);
    }
}

/* What the comment says; the content of files is never read here, so it cannot leak. */
static void put_source(FILE *f, const struct pc_record *r, const struct pc_key *k)
{
    unsigned source = pc_record_source(r)[k - r->table->keys];
    PC_ASSERT(source < PC_COUNT(source_names));
    fprintf(f, "  # %s%s", source_names[source],
            k->type == PC_KEY_FILE ? "; content not shown" : "");
}

static void put_record(FILE *f, struct pc_config *c, const struct pc_record *r, const char *indent,
                       bool sources);

static void put_list(FILE *f, struct pc_config *c, const struct pc_key *k, const char *indent,
                     bool sources)
{
    unsigned count = *pc_config_list_count(c, k);
    char deeper[16];
    if (count == 0) {
        fputs(" []\n", f);
        return;
    }
    fputc('\n', f);
    snprintf(deeper, sizeof deeper, "%s    ", indent);
    for (unsigned i = 0; i < count; i++) {
        struct pc_record entry = pc_config_entry(c, k, i);
        fprintf(f, "%s  -\n", indent);
        put_record(f, c, &entry, deeper, sources);
    }
}

static void put_record(FILE *f, struct pc_config *c, const struct pc_record *r, const char *indent,
                       bool sources)
{
    const char *section = "";
    for (unsigned i = 0; i < r->table->count; i++) {
        const struct pc_key *k = &r->table->keys[i];
        const char *dot = strchr(k->path, '.');
        size_t length = dot ? (size_t)(dot - k->path) : 0;
        if (dot && strncmp(section, k->path, length + 1) != 0)
            fprintf(f, "%s%.*s:\n", indent, (int)length, section = k->path);
        fprintf(f, "%s%s%s:", indent, dot ? "  " : "", dot ? dot + 1 : k->path);
        if (k->type == PC_KEY_LIST) {
            put_list(f, c, k, dot ? "  " : "", sources);
            continue;
        }
        fputc(' ', f);
        put_value(f, r, k);
        if (sources)
            put_source(f, r, k);
        fputc('\n', f);
    }
}

char *pc_config_show(const struct pc_config *config, bool with_sources)
{
    char *text = NULL;
    size_t n;
    /* The record helpers serve loading too, so they take it without const; nothing is changed. */
    struct pc_config *c = (struct pc_config *)(uintptr_t)config;
    FILE *f = open_memstream(&text, &n);
    if (!f)
        return NULL;
    struct pc_record root = pc_config_root_record(c);
    put_record(f, c, &root, "", with_sources);
    bool failed = ferror(f);
    if (fclose(f) != 0 || failed) {
        free(text);
        return NULL;
    }
    return text;
}

/* ---- Documentation. ---- */

static const char *type_name(enum pc_key_type type)
{
    static const char *const names[] = {"text",     "path",          "true or false",   "number",
                                        "duration", "size",          "0 … 1",           "file mode",
                                        "word",     "list of words", "list of mappings"};
    _Static_assert(PC_COUNT(names) == PC_KEY_LIST + 1, "a name for every type");
    return names[type];
}

static void document_table(const struct pc_key_table *t, const char *prefix, bool live,
                           pc_config_doc_fn *fn, void *ctx)
{
    char path[96];
    for (unsigned i = 0; i < t->count; i++) {
        const struct pc_key *k = &t->keys[i];
        snprintf(path, sizeof path, "%s%s", prefix, k->path);
        fn(ctx, path, type_name(k->type), k->default_text ? k->default_text : "", k->help,
           live || k->live);
        if (k->type != PC_KEY_LIST)
            continue;
        snprintf(path, sizeof path, "%s[].", k->path);
        document_table(&k->list->table, path, k->live, fn, ctx);
    }
}

void pc_config_document(pc_config_doc_fn *fn, void *ctx)
{
    document_table(&pc_config_root, "", false, fn, ctx);
}
