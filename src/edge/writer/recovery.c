/* SPDX-License-Identifier: Apache-2.0
 * Start: from the newest snapshot and the journal behind it to the tables. Writer thread, before
 * anybody may read the tables (I6 of writer.h). The journal decides what damage means; this file
 * only says what its records and sections are. */
#include "edge/writer/writer_private.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sha256.h"
#include "edge/journal/recovery.h"
#include "edge/state/rcu.h"

/* Records between two quiescent states, so that retired segments are given back meanwhile. */
#define QUIESCENT_EVERY 1024

/* Registers of one kind that wait to be merged: one by one they would be copied each time. */
#define STAGED_MAX       1024
#define STAGED_BYTES_MAX (1u << 20)

struct stage {
    enum pc_kind kind;
    size_t n;
    struct pc_register *at; /* [STAGED_MAX] */
    struct pc_buf bytes;
};

struct recovery {
    struct pc_writer *w;
    struct pc_why *why;
    uint64_t records;
    struct stage flags, ip_rules;
};

static int make_stage(struct stage *s, enum pc_kind kind)
{
    s->kind = kind;
    s->at = malloc(STAGED_MAX * sizeof *s->at);
    s->bytes = pc_buf_of(malloc(STAGED_BYTES_MAX), STAGED_BYTES_MAX);
    return s->at && s->bytes.p ? 0 : -ENOMEM;
}

static void free_stage(struct stage *s)
{
    free(s->at);
    free(s->bytes.p);
}

static int merge_stage(struct pc_writer *w, struct stage *s)
{
    int rc = s->n ? pc_rules_merge(w, s->kind, s->at, s->n) : 0;
    s->n = 0;
    s->bytes.len = 0;
    return rc;
}

static struct pc_bytes keep(struct stage *s, struct pc_bytes text)
{
    struct pc_bytes kept = pc_bytes_of(s->bytes.p + s->bytes.len, text.n);
    pc_buf_bytes(&s->bytes, text);
    PC_ASSERT(!s->bytes.overflow);
    return kept;
}

static int stage(struct pc_writer *w, struct stage *s, const struct pc_change *c)
{
    struct pc_register *r;
    if (s->n == STAGED_MAX || s->bytes.cap - s->bytes.len < PC_CHANGE_ENCODED_MAX) {
        int rc = merge_stage(w, s);
        if (rc < 0)
            return rc;
    }
    r = &s->at[s->n++];
    *r = pc_rules_register(c);
    r->key = keep(s, r->key);
    r->value = keep(s, r->value);
    r->actor = keep(s, r->actor);
    r->reason = keep(s, r->reason);
    return 0;
}

static int restore_meta(struct recovery *r, struct pc_bytes block)
{
    struct pc_snapshot_meta meta;
    if (block.n != sizeof meta)
        return pc_fail(r->why, PC_E_DAMAGED, "the snapshot's description has a wrong size");
    memcpy(&meta, block.p, sizeof meta);
    if (meta.version > PC_SNAPSHOT_META_VERSION)
        return pc_fail(r->why, PC_E_VERSION,
                       "the snapshot was written by a newer version (%u); this one knows %u",
                       meta.version, PC_SNAPSHOT_META_VERSION);
    pc_hlc_seen(&r->w->hlc, meta.hlc);
    r->w->wildcard |= meta.wildcard;
    return 0;
}

static int apply_record(struct recovery *r, struct pc_bytes bytes, uint64_t position)
{
    struct pc_change c;
    if (pc_change_decode(bytes, &c) < 0)
        return pc_fail(r->why, PC_E_VERSION,
                       "record %" PRIu64 " is intact but not understood: it was written by a newer "
                       "version",
                       position);
    if (pc_kind_is_register(c.kind)) {
        if (!c.remote)
            pc_hlc_seen(&r->w->hlc, c.hlc);
        r->records++;
        /* What was set until the next start ends with this one. */
        int rc =
            c.ephemeral ? 0 : stage(r->w, c.kind == PC_KIND_FLAG ? &r->flags : &r->ip_rules, &c);
        return rc < 0 ? pc_fail(r->why, rc, "no memory to replay record %" PRIu64, position) : 0;
    }
    struct pc_room room = {0};
    pc_room_add(&room, &c);
    room.publish = false; /* once, at the end */
    int rc = pc_writer_reserve(r->w, &room);
    if (rc == -ENOMEM) {
        /* What rebuilds left behind waits for a grace period, and nobody waits for us yet. */
        pc_rcu_barrier();
        rc = pc_writer_reserve(r->w, &room);
    }
    if (rc < 0)
        return pc_fail(r->why, rc, "no memory to replay record %" PRIu64, position);
    if (!c.remote)
        pc_hlc_seen(&r->w->hlc, c.hlc);
    pc_writer_apply(r->w, &c, pc_writer_fingerprint(r->w, &c));
    if (++r->records % QUIESCENT_EVERY == 0)
        pc_rcu_quiescent();
    return 0;
}

static int restore_changes(struct recovery *r, struct pc_bytes block)
{
    while (block.n) {
        uint32_t n;
        if (block.n < sizeof n)
            return pc_fail(r->why, PC_E_DAMAGED, "a snapshot section ends early");
        memcpy(&n, block.p, sizeof n);
        block = pc_bytes_of(block.p + sizeof n, block.n - sizeof n);
        if (n > block.n)
            return pc_fail(r->why, PC_E_DAMAGED, "a snapshot section ends early");
        int rc = apply_record(r, pc_bytes_of(block.p, n), 0);
        if (rc < 0)
            return rc;
        block = pc_bytes_of(block.p + n, block.n - n);
    }
    return 0;
}

static int restore_entries(struct recovery *r, struct pc_revocations *t, struct pc_bytes block)
{
    int rc = pc_revocations_import(t, block);
    pc_rcu_quiescent();
    return rc < 0
               ? pc_fail(r->why, rc, "cannot restore entries of the snapshot: %s", pc_strerror(rc))
               : 0;
}

static int restore_block(struct recovery *r, uint32_t section, struct pc_bytes block)
{
    switch (section) {
    case PC_SECTION_META: return restore_meta(r, block);
    case PC_SECTION_IDS: return restore_entries(r, r->w->tables->ids, block);
    case PC_SECTION_CUTOFFS: return restore_entries(r, r->w->tables->cutoffs, block);
    case PC_SECTION_SCOPES:
    case PC_SECTION_REGISTERS: return restore_changes(r, block);
    default:
        return pc_fail(r->why, PC_E_VERSION,
                       "the snapshot holds section %" PRIu32 ", which this version does not know",
                       section);
    }
}

static int on_snapshot(void *ctx, struct pc_snapshot_reader *snapshot)
{
    struct recovery *r = ctx;
    const struct pc_snapshot_info *info = pc_snapshot_info(snapshot);
    if (memcmp(info->key_id, r->w->key_id, sizeof info->key_id) != 0)
        return pc_fail(r->why, PC_E_DAMAGED,
                       "the snapshot was made with another fingerprint key than the file "
                       "`identity` holds: restore that file from the same backup");
    for (;;) {
        uint32_t section;
        struct pc_bytes block;
        int rc = pc_snapshot_next(snapshot, &section, &block);
        if (rc > 0)
            rc = restore_block(r, section, block);
        else
            return rc;
        if (rc < 0)
            return rc;
    }
}

static int on_record(void *ctx, const struct pc_record *record)
{
    return apply_record(ctx, record->bytes, record->position);
}

static void on_finding(void *ctx, const struct pc_finding *finding)
{
    (void)ctx;
    bool first_start = finding->action == PC_RECOVERY_CREATE;
    pc_log_event(first_start ? PC_LOG_INFO : PC_LOG_WARN, "recovery_finding", "%s", finding->text);
}

/* A key's public name: which key a snapshot's fingerprints were made with. */
static void name_key(struct pc_writer *w)
{
    uint8_t digest[PC_SHA256_BYTES];
    pc_sha256(w->tables->fingerprint_key, sizeof w->tables->fingerprint_key, digest);
    memcpy(w->key_id, digest, sizeof w->key_id);
}

/* The first view that reflects what was recovered. */
static int publish_recovered(struct recovery *r)
{
    struct pc_writer *w = r->w;
    struct pc_parts parts = {0};
    int rc = merge_stage(w, &r->flags);
    if (rc == 0)
        rc = merge_stage(w, &r->ip_rules);
    if (rc == 0)
        rc = pc_writer_reserve_publish(w);
    if (rc < 0)
        return pc_fail(r->why, rc, "no memory for what was recovered");
    rc = pc_rules_compile(w, &parts, r->why);
    if (rc < 0)
        return rc;
    parts.trust = w->spare_draft;
    pc_writer_publish(w, &parts);
    return 0;
}

static int recover(struct recovery *r, const struct pc_journal_options *o)
{
    struct pc_replay replay = {r, on_snapshot, on_record, on_finding};
    int rc = make_stage(&r->flags, PC_KIND_FLAG);
    if (rc == 0)
        rc = make_stage(&r->ip_rules, PC_KIND_IP_RULE);
    if (rc < 0)
        return pc_fail(r->why, rc, "no memory for the recovery");
    rc = pc_journal_open(o, &replay, &r->w->journal, &r->w->recovered, r->why);
    return rc < 0 ? rc : publish_recovered(r);
}

int pc_writer_recover(struct pc_writer *w, struct pc_why *why)
{
    struct recovery r = {.w = w, .why = why};
    struct pc_journal_options o = {
        .dir = w->o.data_dir,
        .ops = w->o.files,
        .segment_bytes = w->o.segment_bytes,
        .recover = w->o.recover,
        .incarnation = w->o.random_u64(w->o.ctx) | 1,
        .new_id = w->o.random_u64(w->o.ctx) | 1,
        .now_ms = pc_writer_wall(w),
        .pid = (int)getpid(),
    };
    name_key(w);
    w->node = w->o.node;
    w->incarnation = o.incarnation;
    int rc = recover(&r, &o);
    free_stage(&r.flags);
    free_stage(&r.ip_rules);
    if (rc < 0)
        return rc;
    atomic_store(&w->snapshot_position, w->recovered.snapshot_position);
    w->last_position = w->recovered.position;
    w->last_snapshot_ms = pc_writer_wall(w);
    /* What had to be replayed counts towards the next snapshot. */
    w->appended_bytes = r.records * PC_JOB_CHANGE_OVERHEAD;
    w->next_seal_ns = pc_writer_mono(w);
    return 0;
}
