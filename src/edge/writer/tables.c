/* SPDX-License-Identifier: Apache-2.0
 * Making the tables, and fingerprints. */
#include "edge/writer/tables.h"

#include <stdlib.h>

#include "base/siphash.h"

static int first_view(struct pc_tables *t, struct pc_trust *trust, struct pc_why *why)
{
    struct pc_view *v = calloc(1, sizeof *v);
    if (!v)
        return pc_fail(why, -ENOMEM, "no memory for the tables");
    int rc = pc_ip_configured_new(NULL, 0, &t->no_ip_rules, why);
    if (rc == 0)
        rc = pc_flags_compile(NULL, NULL, NULL, &v->parts.flags, why);
    if (rc == 0)
        rc = pc_ip_sets_compile(t->no_ip_rules, NULL, 0, &v->parts.ip_sets, why);
    if (rc < 0) {
        pc_flags_free(v->parts.flags);
        free(v);
        return rc;
    }
    v->trust = v->parts.trust = trust;
    v->flags = v->parts.flags;
    v->ip_sets = v->parts.ip_sets;
    t->view = v;
    return 0;
}

static int make_revocations(struct pc_tables *t, struct pc_why *why)
{
    struct pc_revocations_options ids = {.with_cutoff = false};
    struct pc_revocations_options cutoffs = {.with_cutoff = true};
    int rc = pc_revocations_new(&ids, &t->ids);
    if (rc == 0)
        rc = pc_revocations_new(&cutoffs, &t->cutoffs);
    return rc == 0 ? 0
                   : pc_fail(why, rc,
                             "cannot reserve address space for the revocation tables: %s; raise "
                             "the limit on virtual memory (ulimit -v)",
                             pc_strerror(rc));
}

int pc_tables_new(struct pc_trust *trust, struct pc_settings *settings,
                  void (*free_settings)(struct pc_settings *), struct pc_tables **ret_t,
                  struct pc_why *why)
{
    struct pc_tables *t = calloc(1, sizeof *t);
    PC_ASSERT(trust != NULL);
    if (!t)
        return pc_fail(why, -ENOMEM, "no memory for the tables");
    int rc = make_revocations(t, why);
    if (rc == 0)
        rc = first_view(t, trust, why);
    if (rc < 0) {
        if (t->ids)
            pc_revocations_free(t->ids);
        if (t->cutoffs)
            pc_revocations_free(t->cutoffs);
        pc_ip_configured_free(t->no_ip_rules);
        free(t);
        return rc;
    }
    t->view->settings = t->view->parts.settings = settings;
    t->view->parts.free_settings = free_settings;
    *ret_t = t;
    return 0;
}

void pc_parts_free(struct pc_parts *p)
{
    pc_trust_free(p->trust);
    pc_flags_free(p->flags);
    pc_ip_sets_free(p->ip_sets);
    if (p->settings && p->free_settings)
        p->free_settings(p->settings);
}

void pc_tables_free(struct pc_tables *t)
{
    if (!t)
        return;
    pc_revocations_free(t->ids);
    pc_revocations_free(t->cutoffs);
    pc_parts_free(&t->view->parts);
    free(t->view);
    pc_ip_configured_free(t->no_ip_rules);
    free(t);
}

/* kind and the issuer's length come first, so that no two triples share their bytes. */
static size_t put_head(uint8_t *text, enum pc_kind kind, struct pc_bytes issuer)
{
    PC_ASSERT(issuer.n <= PC_ISSUER_MAX);
    text[0] = (uint8_t)kind;
    text[1] = (uint8_t)(issuer.n & 0xff);
    text[2] = (uint8_t)(issuer.n >> 8);
    text[3] = 0;
    if (issuer.n)
        memcpy(text + 4, issuer.p, issuer.n);
    return 4 + issuer.n;
}

uint64_t pc_tables_fingerprint(const struct pc_tables *t, enum pc_kind kind, struct pc_bytes issuer,
                               struct pc_bytes id)
{
    uint8_t text[4 + PC_ISSUER_MAX + PC_ID_MAX];
    PC_ASSERT(id.n <= PC_ID_MAX);
    size_t n = put_head(text, kind, issuer);
    if (id.n)
        memcpy(text + n, id.p, id.n);
    uint64_t fp = pc_siphash24(t->fingerprint_key, text, n + id.n);
    return fp ? fp : 1;
}

void pc_tables_fingerprint_begin(const struct pc_tables *t, enum pc_kind kind,
                                 struct pc_bytes issuer, struct pc_siphash24_head *ret_head)
{
    uint8_t text[4 + PC_ISSUER_MAX];
    size_t n = put_head(text, kind, issuer);
    pc_siphash24_begin(ret_head, t->fingerprint_key, text, n);
}

int64_t pc_trust_max_skew_ms(const struct pc_trust *trust)
{
    int64_t skew = 0;
    for (uint32_t i = 0; i < trust->issuer_count; i++)
        skew = pc_max_i64(skew, trust->issuers[i].s.skew_ms);
    return skew;
}
