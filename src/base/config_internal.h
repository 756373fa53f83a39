/* SPDX-License-Identifier: Apache-2.0
 * Between the files of the configuration only: the table of keys, and the state of a load. */
#ifndef PC_BASE_CONFIG_INTERNAL_H
#define PC_BASE_CONFIG_INTERNAL_H

#include "base/config.h"

enum pc_key_type {
    PC_KEY_TEXT,
    PC_KEY_FILE,     /* a path; the file holds a secret unless the help says otherwise */
    PC_KEY_BOOL,     /* bool */
    PC_KEY_UINT,     /* uint64_t, min … max */
    PC_KEY_DURATION, /* int64_t milliseconds, min … max */
    PC_KEY_SIZE,     /* uint64_t bytes, min … max */
    PC_KEY_FRACTION, /* double, 0 … 1 */
    PC_KEY_MODE,     /* uint64_t */
    PC_KEY_ENUM,     /* unsigned: index in choices */
    PC_KEY_WORDS,    /* struct pc_words */
    PC_KEY_LIST,     /* a list of mappings, see list */
};

#define PC_KEY_CHOICES_MAX 4

struct pc_list;

struct pc_key {
    const char *path; /* "http.idle_timeout": at most one dot; sections stand together */
    enum pc_key_type type;
    size_t offset;            /* of the value in the structure of its table */
    const char *default_text; /* words: separated by commas */
    int64_t min, max;         /* of a list: min is the fewest entries */
    const char *choices[PC_KEY_CHOICES_MAX];
    const char *help;
    const struct pc_list *list; /* PC_KEY_LIST */
    bool live;                  /* of the root: a reload takes it; others need a restart */
};

/* The keys of one structure, which has uint8_t source[PC_CONFIG_KEYS_MAX] at source_offset. */
struct pc_key_table {
    const struct pc_key *keys;
    unsigned count;
    size_t source_offset;
};

/* A list of mappings in struct pc_config; key.offset is that of the pointer to its entries. */
struct pc_list {
    struct pc_key_table table;
    size_t entry_bytes;
    size_t count_offset; /* of its unsigned count in struct pc_config */
    unsigned max;
};

extern const struct pc_key_table pc_config_root;

/* The structure that a row's value is in: the configuration, or an entry of a list. */
struct pc_record {
    const struct pc_key_table *table;
    void *base;
    char name[48]; /* "" or "issuers[0]." for messages */
};

struct pc_config_loader {
    struct pc_config *config;
    const char *origin; /* file name, or "environment" */
    enum pc_config_source source;
    struct pc_why *why;
    unsigned last_index; /* config_env.c: the largest index a variable names */
};

static inline void *pc_key_value(const struct pc_record *r, const struct pc_key *k)
{
    return (uint8_t *)r->base + k->offset;
}

static inline uint8_t *pc_record_source(const struct pc_record *r)
{
    return (uint8_t *)r->base + r->table->source_offset;
}

/* config.c: memory that lives as long as the configuration; NULL without memory. */
void *pc_config_alloc(struct pc_config *c, size_t n);
const char *pc_config_strdup(struct pc_config *c, struct pc_bytes text);
/* config.c: sets one value from text (words: separated by commas), or a list of words. */
int pc_config_set(struct pc_config_loader *l, const struct pc_record *r, const struct pc_key *k,
                  struct pc_bytes text);
int pc_config_set_words(struct pc_config_loader *l, const struct pc_record *r,
                        const struct pc_key *k, const struct pc_bytes *words, unsigned n);
/* config.c: entry i of a list as a record. */
struct pc_record pc_config_entry(struct pc_config *c, const struct pc_key *list_key, unsigned i);
unsigned *pc_config_list_count(struct pc_config *c, const struct pc_key *list_key);
struct pc_record pc_config_root_record(struct pc_config *c);
/* config.c: the row of a path, which must exist. */
const struct pc_key *pc_config_key(const struct pc_key_table *t, const char *path);
/* config.c: a new entry at the end of a list, with its defaults. The list must have room. */
int pc_config_add_entry(struct pc_config_loader *l, const struct pc_key *list_key,
                        struct pc_record *ret_record);
/* config.c: a whole small file into malloced memory. */
int pc_config_read_file(const char *path, struct pc_why *why, struct pc_bytes *ret_text);

/* config_yaml.c */
int pc_config_load_yaml(struct pc_config_loader *l, const char *path, bool append);
/* config_env.c */
int pc_config_load_env_file(struct pc_config_loader *l, const char *path);
int pc_config_load_environ(struct pc_config_loader *l, char *const *environ);
/* config_check.c: the rules over several keys that pc_config_load() applies, and derived values. */
int pc_config_derive(struct pc_config_loader *l);

#endif
