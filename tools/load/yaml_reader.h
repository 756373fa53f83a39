/* SPDX-License-Identifier: Apache-2.0
 * Reading a YAML document by tables: a mapping's keys are rows with a type and a place. Whatever is
 * wrong (syntax, unknown or double key, wrong type, out of range) is one message with file, line
 * and key. Made on libyaml's document; no anchors, no tags. */
#ifndef LD_YAML_READER_H
#define LD_YAML_READER_H

#include <yaml.h>

#include "base/bytes.h"
#include "load/source.h"

struct ld_yaml {
    const char *file;
    yaml_document_t doc;
    struct ld_problem *problem;
    struct ld_wl_text **texts; /* where texts are kept */
};

enum ld_yaml_type {
    LD_YAML_TEXT,    /* const char * */
    LD_YAML_NUMBER,  /* double, min … max */
    LD_YAML_COUNT,   /* uint64_t, min … max */
    LD_YAML_BOOL,    /* bool */
    LD_YAML_SECONDS, /* int64_t: "15m" */
    LD_YAML_OTHER,   /* read() */
};

struct ld_yaml_row {
    const char *key;
    enum ld_yaml_type type;
    size_t offset;
    double min, max;
    bool required;
    bool (*read)(struct ld_yaml *y, const char *key, yaml_node_t *value, void *to);
};

#define LD_ROW(key, type, offset, min, max, required)                                              \
    {                                                                                              \
        key, LD_YAML_##type, offset, min, max, required, NULL                                      \
    }
#define LD_ROW_READ(key, read, required)                                                           \
    {                                                                                              \
        key, LD_YAML_OTHER, 0, 0, 0, required, read                                                \
    }

bool ld_yaml_open(struct ld_yaml *y, const char *file, struct pc_bytes text,
                  struct ld_wl_text **texts, struct ld_problem *);
void ld_yaml_close(struct ld_yaml *y);
yaml_node_t *ld_yaml_root(struct ld_yaml *y);

/* Every key of the mapping must be a row; to is the struct of the offsets. */
bool ld_yaml_mapping(struct ld_yaml *y, const char *what, yaml_node_t *node,
                     const struct ld_yaml_row *rows, size_t count, void *to);
/* Calls each(…) for every entry; at most max of them. */
bool ld_yaml_list(struct ld_yaml *y, const char *what, yaml_node_t *node, unsigned max,
                  bool (*each)(struct ld_yaml *y, const char *what, yaml_node_t *node, void *to),
                  void *to);
/* A list of texts. */
bool ld_yaml_texts(struct ld_yaml *y, const char *what, yaml_node_t *node, unsigned max,
                   const char **ret_texts, unsigned *ret_count);
/* The scalar as text, kept with the other texts; NULL after saying why. */
const char *ld_yaml_text(struct ld_yaml *y, const char *what, yaml_node_t *node);
bool ld_yaml_number(struct ld_yaml *y, const char *what, yaml_node_t *node, double min, double max,
                    double *ret_value);
/* "file:line: key: …"; false. */
bool ld_yaml_fail(struct ld_yaml *y, const yaml_node_t *at, const char *key, const char *fmt, ...)
    PC_PRINTF(4, 5);

/* Texts owned by one list. */
const char *ld_text_keep(struct ld_wl_text **texts, const char *p, size_t n);
void ld_texts_free(struct ld_wl_text *texts);

#endif
