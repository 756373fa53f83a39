/* SPDX-License-Identifier: Apache-2.0
 * The rules of one IP set, compiled for the longest-prefix match: immutable, v4 and v6 apart.
 *
 * Rules stand sorted by first address, then by length, so that every rule stands behind those that
 * contain it; each knows the longest of these, its parent. The last rule that begins at or before
 * an address is either the longest match or a descendant of it: a search in a static B-tree finds
 * it, and a walk over parents the match. An expired rule is as if absent: the walk goes on. Where
 * rules fill little of the address space a filter of 8 KiB spares most clients the search.
 *
 * I1  Rules of a family are sorted by (first address, bits), no two are equal.
 * I2  parent(r) < r, is shorter and contains r; it is the longest such, expired or not.
 * I3  Nothing changes once pc_ip_builder_finish() returned: any thread reads, without a lock.
 *
 * Owns its memory; no clock (time is an argument). A rule takes 21 bytes (v4) or 33 (v6), a text
 * once what it is long. */
#ifndef PC_EDGE_STATE_IP_TABLE_H
#define PC_EDGE_STATE_IP_TABLE_H

#include "base/err.h"
#include "base/ip.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PC_IP_TABLE_RULES_MAX  (8u << 20) /* of one table */
#define PC_IP_REASON_MAX       512        /* bytes of a rule's reason */
#define PC_IP_REASON_BYTES_MAX (1u << 30) /* of all different reasons of a table */

struct pc_ip_rule {
    struct pc_cidr cidr; /* host bits are 0 */
    bool deny;
    int64_t expires_at_ms;  /* INT64_MAX: never; at that moment it is gone */
    struct pc_bytes reason; /* may be empty */
};

/* ---- building: one thread ---- */

struct pc_ip_builder;
struct pc_ip_table;

int pc_ip_builder_new(struct pc_ip_builder **ret_b);
void pc_ip_builder_free(struct pc_ip_builder *b);
/* Copies the rule. -ENOMEM; PC_E_FULL above PC_IP_TABLE_RULES_MAX or PC_IP_REASON_BYTES_MAX. */
int pc_ip_builder_add(struct pc_ip_builder *b, const struct pc_ip_rule *rule);
/* The table of all rules added; the builder is empty again. Rules said twice become one that lives
 * as long as the longer of them. PC_E_DUPLICATE if the same network is both allowed and denied;
 * *why names it. */
int pc_ip_builder_finish(struct pc_ip_builder *b, struct pc_ip_table **ret_t, struct pc_why *why);

void pc_ip_table_free(struct pc_ip_table *t);

/* ---- matching: any thread ---- */

/* What pc_ip_table_rule() tells more about. */
struct pc_ip_hit {
    uint32_t rule;
    uint8_t bits;
    bool deny;
};

/* The longest rule that contains ip and has not expired; false if there is none, or ip is none. */
bool pc_ip_table_match(const struct pc_ip_table *t, const struct pc_ip *ip, int64_t now_ms,
                       struct pc_ip_hit *ret_hit);

/* ---- listing: any thread ---- */

uint32_t pc_ip_table_count(const struct pc_ip_table *t); /* expired ones included */
/* Rule `index` < count in list order: v4 before v6, by first address, then by bits. Its reason
 * points into the table. */
void pc_ip_table_rule(const struct pc_ip_table *t, uint32_t index, struct pc_ip_rule *ret_rule);
/* Index of the first rule behind `cidr` in list order, whether or not that one exists. */
uint32_t pc_ip_table_seek(const struct pc_ip_table *t, const struct pc_cidr *cidr);
size_t pc_ip_table_bytes(const struct pc_ip_table *t);

#ifdef __cplusplus
}
#endif
#endif
