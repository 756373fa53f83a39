/* SPDX-License-Identifier: Apache-2.0
 * Start: from the newest snapshot and the journal behind it to the tables. Writer thread, before
 * anybody may read the tables (I6 of writer.h). The journal decides what damage means; this file
 * only says what its records and sections are. */
#include "edge/writer/writer_private.h"

#include <inttypes.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sha256.h"
#include "edge/journal/recovery.h"
#include "edge/state/rcu.h"

/* Records between two quiescent states, so that retired segments are given back meanwhile. */
#define QUIESCENT_EVERY 1024

struct recovery {
    struct pc_writer *w;
    struct pc_why *why;
    uint64_t records;
};

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
    pc_writer_apply(r->w, &c);
    if (++r->records % QUIESCENT_EVERY == 0)
        pc_rcu_quiescent();
    return 0;
}

static int restore_scopes(struct recovery *r, struct pc_bytes block)
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
    case PC_SECTION_SCOPES: return restore_scopes(r, block);
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

int pc_writer_recover(struct pc_writer *w, struct pc_why *why)
{
    struct recovery r = {.w = w, .why = why};
    struct pc_replay replay = {&r, on_snapshot, on_record, on_finding};
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
    int rc = pc_journal_open(&o, &replay, &w->journal, &w->recovered, why);
    if (rc < 0)
        return rc;
    rc = pc_writer_reserve_publish(w);
    if (rc < 0)
        return pc_fail(why, rc, "no memory for the trust snapshot");
    pc_writer_publish(w, NULL);
    atomic_store(&w->snapshot_position, w->recovered.snapshot_position);
    w->last_snapshot_ms = pc_writer_wall(w);
    /* What had to be replayed counts towards the next snapshot. */
    w->appended_bytes = r.records * PC_JOB_CHANGE_OVERHEAD;
    w->next_seal_ns = pc_writer_mono(w);
    return 0;
}
