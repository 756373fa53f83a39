/* SPDX-License-Identifier: Apache-2.0
 * What the files of the flags share: the layers' memory and the built-in table. Private. */
#ifndef PC_STATE_FLAGS_INTERNAL_H
#define PC_STATE_FLAGS_INTERNAL_H

#include "edge/state/flags.h"

/* One flag as a layer has it; category and description are empty where the layer says nothing. */
struct flag_entry {
    struct pc_bytes key, value, category, description;
    enum pc_flag_type type;
};

/* One FLAG_* variable. */
struct flag_variable {
    struct pc_bytes name; /* with FLAG_ */
    struct pc_bytes text;
};

/* One allocation: the struct, its array, the bytes. A layer has entries (a file) or variables (the
 * environment), never both. */
struct pc_flag_layer {
    uint32_t count;
    struct flag_entry *entries; /* sorted by key */
    struct flag_variable *variables;
    uint8_t *text;
};

#define FLAG_PREFIX   "FLAG_"
#define FLAG_BUILTINS 8
extern const struct flag_entry flag_builtins[FLAG_BUILTINS]; /* sorted by key */

/* NULL for a key that is not built in. */
const struct flag_entry *flag_builtin_find(struct pc_bytes key);

static inline int flag_key_compare(struct pc_bytes a, struct pc_bytes b)
{
    int order = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

/* The type a value has by itself: 1 is an integer, 1.0 a number. */
enum pc_flag_type flag_type_of(const struct pc_json *doc, const struct pc_json_token *value);

/* JSON text (or, where it is none, a plain string) as a value for a flag of type `type`; what
 * pc_flag_value_write() says. */
int flag_value_from_text(struct pc_bytes text, enum pc_flag_type type, struct pc_buf *b,
                         enum pc_flag_type *ret_type, struct pc_why *why);

#endif
