/* SPDX-License-Identifier: Apache-2.0
 * What differs between two configurations that a running server cannot take over. Pure. */
#include "base/config_internal.h"

static bool same_words(const struct pc_words *a, const struct pc_words *b)
{
    if (a->n != b->n)
        return false;
    for (unsigned i = 0; i < a->n; i++)
        if (strcmp(a->v[i], b->v[i]) != 0)
            return false;
    return true;
}

static bool same_value(const struct pc_key *k, const void *a, const void *b)
{
    switch (k->type) {
    case PC_KEY_TEXT:
    case PC_KEY_FILE: return strcmp(*(const char *const *)a, *(const char *const *)b) == 0;
    case PC_KEY_WORDS: return same_words(a, b);
    case PC_KEY_BOOL: return *(const bool *)a == *(const bool *)b;
    case PC_KEY_ENUM: return *(const unsigned *)a == *(const unsigned *)b;
    case PC_KEY_FRACTION: return memcmp(a, b, sizeof(double)) == 0;
    default: return *(const uint64_t *)a == *(const uint64_t *)b;
    }
}

static bool same_entry(const struct pc_record *a, const struct pc_record *b)
{
    for (unsigned i = 0; i < a->table->count; i++) {
        const struct pc_key *k = &a->table->keys[i];
        if (!same_value(k, pc_key_value(a, k), pc_key_value(b, k)))
            return false;
    }
    return true;
}

static bool same_list(struct pc_config *a, struct pc_config *b, const struct pc_key *k)
{
    unsigned n = *pc_config_list_count(a, k);
    if (n != *pc_config_list_count(b, k))
        return false;
    for (unsigned i = 0; i < n; i++) {
        struct pc_record x = pc_config_entry(a, k, i), y = pc_config_entry(b, k, i);
        if (!same_entry(&x, &y))
            return false;
    }
    return true;
}

unsigned pc_config_needs_restart(const struct pc_config *running, const struct pc_config *fresh,
                                 struct pc_buf *names)
{
    /* The record helpers serve loading too, so they take it without const; nothing is changed. */
    struct pc_config *a = (struct pc_config *)(uintptr_t)running;
    struct pc_config *b = (struct pc_config *)(uintptr_t)fresh;
    struct pc_record x = pc_config_root_record(a), y = pc_config_root_record(b);
    unsigned n = 0;
    for (unsigned i = 0; i < pc_config_root.count; i++) {
        const struct pc_key *k = &pc_config_root.keys[i];
        bool same = k->type == PC_KEY_LIST
                        ? same_list(a, b, k)
                        : same_value(k, pc_key_value(&x, k), pc_key_value(&y, k));
        if (same || k->live)
            continue;
        if (n++)
            pc_buf_lit(names, ", ");
        pc_buf_str(names, k->path);
    }
    return n;
}
