/* SPDX-License-Identifier: Apache-2.0
 * IP list files. Input: a byte that says what a bare network is, then the file's text. Checked:
 * every rule is sound and written as a line says the same again; lines are counted; the table made
 * of the rules finds for the first and last address of each rule what a loop over all finds. */
#include <stdlib.h>

#include "edge/state/ip_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RULES_MAX 256

static void check_again(const struct pc_ip_rule *r)
{
    char memory[2048];
    struct pc_buf b = pc_buf_of(memory, sizeof memory);
    struct pc_ip_rule again;
    struct pc_why why;
    pc_buf_str(&b, r->deny ? "deny " : "allow ");
    pc_cidr_format(&r->cidr, &b);
    if (r->expires_at_ms != INT64_MAX)
        pc_buf_fmt(&b, " expires=%lld", (long long)(r->expires_at_ms / 1000));
    pc_buf_lit(&b, " #");
    pc_buf_bytes(&b, r->reason);
    struct pc_ip_list list = pc_ip_list_of(pc_bytes_of(b.p, b.len), !r->deny);
    PC_ASSERT(!b.overflow && pc_ip_list_next(&list, &again, &why) == 1);
    PC_ASSERT(again.deny == r->deny && again.expires_at_ms == r->expires_at_ms);
    PC_ASSERT(again.cidr.bits == r->cidr.bits && pc_ip_eq(&again.cidr.ip, &r->cidr.ip));
    PC_ASSERT(pc_bytes_eq(again.reason, r->reason));
}

static void check_address(const struct pc_ip_table *t, const struct pc_ip_rule *rules, size_t n,
                          const struct pc_ip *ip)
{
    const struct pc_ip_rule *best = NULL;
    struct pc_ip_hit hit;
    for (size_t i = 0; i < n; i++)
        if (pc_cidr_contains(&rules[i].cidr, ip) && (!best || rules[i].cidr.bits > best->cidr.bits))
            best = &rules[i];
    PC_ASSERT(pc_ip_table_match(t, ip, 0, &hit) == (best != NULL));
    PC_ASSERT(!best || (hit.bits == best->cidr.bits && hit.deny == best->deny));
}

static void check_table(const struct pc_ip_table *t, const struct pc_ip_rule *rules, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct pc_ip last = rules[i].cidr.ip;
        for (unsigned k = rules[i].cidr.bits; k < (last.family == 4 ? 32u : 128u); k++)
            last.b[k / 8] |= (uint8_t)(0x80 >> k % 8);
        check_address(t, rules, n, &rules[i].cidr.ip);
        check_address(t, rules, n, &last);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct pc_ip_rule rules[RULES_MAX];
    struct pc_ip_builder *b;
    struct pc_ip_table *t;
    struct pc_why why;
    size_t n = 0;
    uint32_t line = 0;
    int rc = 0;
    if (size < 1)
        return 0;
    struct pc_ip_list list = pc_ip_list_of(pc_bytes_of(data + 1, size - 1), data[0] & 1);
    PC_ASSERT(pc_ip_builder_new(&b) == 0);
    while (n < RULES_MAX && (rc = pc_ip_list_next(&list, &rules[n], &why)) > 0) {
        PC_ASSERT(list.line > line);
        line = list.line;
        PC_ASSERT(rules[n].reason.n <= PC_IP_REASON_MAX && rules[n].expires_at_ms > 0);
        check_again(&rules[n]);
        PC_ASSERT(pc_ip_builder_add(b, &rules[n]) == 0);
        n++;
    }
    PC_ASSERT(rc >= 0 || strncmp(why.text, "line ", 5) == 0);
    rc = pc_ip_builder_finish(b, &t, &why);
    PC_ASSERT(rc == 0 || rc == PC_E_DUPLICATE);
    if (rc == 0) {
        check_table(t, rules, n);
        pc_ip_table_free(t);
    }
    pc_ip_builder_free(b);
    return 0;
}
