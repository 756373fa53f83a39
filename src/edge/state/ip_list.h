/* SPDX-License-Identifier: Apache-2.0
 * The text of an IP list file, line by line: bytes in, rules out. Pure; no allocation.
 *
 *     # a comment
 *     192.0.2.0/24                                    the usual block list: one network a line
 *     2001:db8::/32 ; SBL12345                        with a reason, behind # or ;
 *     deny  198.51.100.7  expires=2026-12-24T00:00:00Z  # reported by ops
 *     allow 198.51.100.0/24 expires=1798070400
 *
 * A network without a word is what the caller says (denied in a set that allows by default, and
 * the other way round). LF or CR LF ends a line; blanks and tabs separate. An address without a
 * length is one host; host bits that are not 0, ranges, zones and anything else are errors with
 * the line's number. */
#ifndef PC_EDGE_STATE_IP_LIST_H
#define PC_EDGE_STATE_IP_LIST_H

#include "edge/state/ip_table.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PC_IP_LIST_BYTES_MAX (256u << 20) /* of one file */
#define PC_IP_LIST_LINE_MAX  4096         /* bytes of one line */

struct pc_ip_list {
    struct pc_bytes rest;
    uint32_t line;  /* of the rule last returned, from 1 */
    bool bare_deny; /* what a network without a word is */
};

static inline struct pc_ip_list pc_ip_list_of(struct pc_bytes text, bool bare_deny)
{
    struct pc_ip_list l = {text, 0, bare_deny};
    return l;
}

/* 1: *ret_rule is the next rule (its reason points into the text); 0: the end; PC_E_SYNTAX or
 * PC_E_TOO_LARGE: *why says "line 7: …", and nothing more can be read. */
int pc_ip_list_next(struct pc_ip_list *l, struct pc_ip_rule *ret_rule, struct pc_why *why);

#ifdef __cplusplus
}
#endif
#endif
