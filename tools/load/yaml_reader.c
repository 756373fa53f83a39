/* SPDX-License-Identifier: Apache-2.0
 * Tables over libyaml's document nodes. Texts are kept in a list that the workload frees as one. */
#include "load/yaml_reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/config_value.h"

enum { ROWS_MAX = 64 };

struct ld_wl_text {
    struct ld_wl_text *next;
    char text[];
};

const char *ld_text_keep(struct ld_wl_text **texts, const char *p, size_t n)
{
    struct ld_wl_text *t = malloc(sizeof *t + n + 1);
    if (!t)
        return NULL;
    memcpy(t->text, p, n);
    t->text[n] = 0;
    t->next = *texts;
    *texts = t;
    return t->text;
}

void ld_texts_free(struct ld_wl_text *texts)
{
    while (texts) {
        struct ld_wl_text *next = texts->next;
        free(texts);
        texts = next;
    }
}

bool ld_yaml_fail(struct ld_yaml *y, const yaml_node_t *at, const char *key, const char *fmt, ...)
{
    char text[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return ld_problem_set(y->problem, "%s:%zu: %s: %s", y->file, at->start_mark.line + 1, key,
                          text);
}

bool ld_yaml_open(struct ld_yaml *y, const char *file, struct pc_bytes text,
                  struct ld_wl_text **texts, struct ld_problem *problem)
{
    yaml_parser_t parser;
    *y = (struct ld_yaml){.file = file, .problem = problem, .texts = texts};
    if (!yaml_parser_initialize(&parser))
        return ld_problem_set(problem, "out of memory");
    yaml_parser_set_input_string(&parser, text.p, text.n);
    if (!yaml_parser_load(&parser, &y->doc)) {
        ld_problem_set(problem, "%s:%zu: %s", file, parser.problem_mark.line + 1,
                       parser.problem ? parser.problem : "no YAML");
        yaml_parser_delete(&parser);
        return false;
    }
    yaml_parser_delete(&parser);
    if (!yaml_document_get_root_node(&y->doc)) {
        ld_yaml_close(y);
        return ld_problem_set(problem, "%s:1: the file is empty", file);
    }
    return true;
}

void ld_yaml_close(struct ld_yaml *y)
{
    yaml_document_delete(&y->doc);
}

yaml_node_t *ld_yaml_root(struct ld_yaml *y)
{
    return yaml_document_get_root_node(&y->doc);
}

/* ---- Scalars. ---- */

static struct pc_bytes scalar_of(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE
               ? pc_bytes_of(node->data.scalar.value, node->data.scalar.length)
               : pc_bytes_of(NULL, 0);
}

const char *ld_yaml_text(struct ld_yaml *y, const char *what, yaml_node_t *node)
{
    const struct pc_bytes s = scalar_of(node);
    if (node->type != YAML_SCALAR_NODE || memchr(s.p, 0, s.n)) {
        ld_yaml_fail(y, node, what, "expected a text");
        return NULL;
    }
    const char *text = ld_text_keep(y->texts, (const char *)s.p, s.n);
    if (!text)
        ld_yaml_fail(y, node, what, "out of memory");
    return text;
}

bool ld_yaml_number(struct ld_yaml *y, const char *what, yaml_node_t *node, double min, double max,
                    double *ret_value)
{
    const struct pc_bytes s = scalar_of(node);
    char text[64], *end = text;
    double value = 0;
    if (s.n > 0 && s.n < sizeof text) {
        memcpy(text, s.p, s.n);
        text[s.n] = 0;
        value = strtod(text, &end);
    }
    if (end == text || *end)
        return ld_yaml_fail(y, node, what, "expected a number");
    if (!(value >= min && value <= max))
        return ld_yaml_fail(y, node, what, "%s is not between %g and %g", text, min, max);
    *ret_value = value;
    return true;
}

static bool read_count(struct ld_yaml *y, const struct ld_yaml_row *row, yaml_node_t *node,
                       uint64_t *ret_value)
{
    uint64_t value;
    if (pc_bytes_to_u64(scalar_of(node), &value))
        return ld_yaml_fail(y, node, row->key, "expected a whole number");
    if ((double)value < row->min || (double)value > row->max)
        return ld_yaml_fail(y, node, row->key, "%llu is not between %.0f and %.0f",
                            (unsigned long long)value, row->min, row->max);
    *ret_value = value;
    return true;
}

static bool read_bool(struct ld_yaml *y, const struct ld_yaml_row *row, yaml_node_t *node,
                      bool *ret_value)
{
    const struct pc_bytes s = scalar_of(node);
    if (!pc_bytes_eq_str(s, "true") && !pc_bytes_eq_str(s, "false"))
        return ld_yaml_fail(y, node, row->key, "expected true or false");
    *ret_value = s.n == 4;
    return true;
}

static bool read_seconds(struct ld_yaml *y, const struct ld_yaml_row *row, yaml_node_t *node,
                         int64_t *ret_value)
{
    int64_t ms;
    if (pc_duration_parse(scalar_of(node), &ms) || ms < 1000)
        return ld_yaml_fail(y, node, row->key, "expected a time of at least 1s, as 15m");
    *ret_value = ms / 1000;
    return true;
}

static bool read_value(struct ld_yaml *y, const struct ld_yaml_row *row, yaml_node_t *node,
                       void *to)
{
    char *place = (char *)to + row->offset;
    switch (row->type) {
    case LD_YAML_TEXT: {
        const char *text = ld_yaml_text(y, row->key, node);
        if (text)
            memcpy(place, &text, sizeof text);
        return text != NULL;
    }
    case LD_YAML_NUMBER:
        return ld_yaml_number(y, row->key, node, row->min, row->max, (void *)place);
    case LD_YAML_COUNT: return read_count(y, row, node, (void *)place);
    case LD_YAML_BOOL: return read_bool(y, row, node, (void *)place);
    case LD_YAML_SECONDS: return read_seconds(y, row, node, (void *)place);
    default: return row->read(y, row->key, node, to);
    }
}

/* ---- Mappings and lists. ---- */

static size_t find_row(const struct ld_yaml_row *rows, size_t count, const yaml_node_t *key)
{
    size_t i = 0;
    while (i < count && !pc_bytes_eq_str(scalar_of(key), rows[i].key))
        i++;
    return i;
}

bool ld_yaml_mapping(struct ld_yaml *y, const char *what, yaml_node_t *node,
                     const struct ld_yaml_row *rows, size_t count, void *to)
{
    bool seen[ROWS_MAX] = {false};
    PC_ASSERT(count <= ROWS_MAX);
    if (node->type != YAML_MAPPING_NODE)
        return ld_yaml_fail(y, node, what, "expected a mapping");
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top;
         p++) {
        yaml_node_t *key = yaml_document_get_node(&y->doc, p->key);
        const size_t i = find_row(rows, count, key);
        const struct pc_bytes name = scalar_of(key);
        if (i == count)
            return ld_yaml_fail(y, key, what, "there is no key '%.*s'", (int)name.n,
                                (const char *)name.p);
        if (seen[i])
            return ld_yaml_fail(y, key, rows[i].key, "given twice");
        seen[i] = true;
        if (!read_value(y, &rows[i], yaml_document_get_node(&y->doc, p->value), to))
            return false;
    }
    for (size_t i = 0; i < count; i++)
        if (rows[i].required && !seen[i])
            return ld_yaml_fail(y, node, what, "the key '%s' is missing", rows[i].key);
    return true;
}

bool ld_yaml_list(struct ld_yaml *y, const char *what, yaml_node_t *node, unsigned max,
                  bool (*each)(struct ld_yaml *y, const char *what, yaml_node_t *node, void *to),
                  void *to)
{
    if (node->type != YAML_SEQUENCE_NODE)
        return ld_yaml_fail(y, node, what, "expected a list");
    yaml_node_item_t *from = node->data.sequence.items.start, *top = node->data.sequence.items.top;
    if (top - from > (ptrdiff_t)max)
        return ld_yaml_fail(y, node, what, "more than %u entries", max);
    for (; from < top; from++)
        if (!each(y, what, yaml_document_get_node(&y->doc, *from), to))
            return false;
    return true;
}

struct text_list {
    const char **texts;
    unsigned count;
};

static bool add_text(struct ld_yaml *y, const char *what, yaml_node_t *node, void *to)
{
    struct text_list *list = to;
    const char *text = ld_yaml_text(y, what, node);
    if (text)
        list->texts[list->count++] = text;
    return text != NULL;
}

bool ld_yaml_texts(struct ld_yaml *y, const char *what, yaml_node_t *node, unsigned max,
                   const char **ret_texts, unsigned *ret_count)
{
    struct text_list list = {ret_texts, 0};
    if (!ld_yaml_list(y, what, node, max, add_text, &list))
        return false;
    *ret_count = list.count;
    return true;
}
