/* SPDX-License-Identifier: Apache-2.0
 * See journal_kit.h. */
#include "support/journal_kit.h"

#include <stdlib.h>
#include <string.h>

#define KIT_BATCH_MAX 256u
#define KIT_SECTION   7u
#define KIT_KEY_ID    "the key of tests"

void kit_init(struct kit *k, struct sim_disk *disk)
{
    *k = (struct kit){.disk = disk, .dir = "data", .segment_bytes = KIT_SEGMENT};
}

size_t kit_payload(uint64_t number, uint8_t out[KIT_RECORD_BYTES])
{
    uint64_t state = number;
    size_t n = 8 + (size_t)sim_below(&state, KIT_RECORD_BYTES - 8);
    memcpy(out, &number, 8);
    for (size_t i = 8; i < n; i++)
        out[i] = (uint8_t)sim_random(&state);
    return n;
}

static void state_add(struct kit_state *s, uint64_t position, uint64_t number)
{
    PC_ASSERT(s->n < KIT_RECORDS_MAX);
    if (s->n && s->records[s->n - 1].position >= position)
        s->damaged = true;
    s->records[s->n++] = (struct kit_record){position, number};
}

int kit_take(void *state, const struct pc_record *record)
{
    struct kit_state *s = state;
    uint8_t expected[KIT_RECORD_BYTES];
    uint64_t number;
    if (record->bytes.n < sizeof number) {
        s->damaged = true;
        return 0;
    }
    memcpy(&number, record->bytes.p, sizeof number);
    size_t n = kit_payload(number, expected);
    if (!pc_bytes_eq(record->bytes, pc_bytes_of(expected, n)))
        s->damaged = true;
    state_add(s, record->position, number);
    return 0;
}

static int take_snapshot(void *ctx, struct pc_snapshot_reader *r)
{
    struct kit *k = ctx;
    uint32_t section;
    struct pc_bytes block;
    int got;
    PC_ASSERT(memcmp(pc_snapshot_info(r)->key_id, KIT_KEY_ID, PC_SNAPSHOT_KEY_ID_BYTES) == 0);
    while ((got = pc_snapshot_next(r, &section, &block)) > 0) {
        PC_ASSERT(section == KIT_SECTION);
        for (size_t i = 0; i + sizeof(struct kit_record) <= block.n;
             i += sizeof(struct kit_record)) {
            struct kit_record record;
            memcpy(&record, block.p + i, sizeof record);
            state_add(&k->state, record.position, record.number);
        }
    }
    return got;
}

static int take_record(void *ctx, const struct pc_record *record)
{
    struct kit *k = ctx;
    return kit_take(&k->state, record);
}

static void take_finding(void *ctx, const struct pc_finding *finding)
{
    struct kit *k = ctx;
    if (k->state.findings_n < KIT_FINDINGS_MAX)
        k->state.findings[k->state.findings_n++] = *finding;
}

int kit_open(struct kit *k)
{
    PC_ASSERT(!k->j);
    k->state.n = k->state.findings_n = 0;
    k->state.damaged = false;
    k->starts++;
    struct pc_journal_options options = {
        .dir = k->dir,
        .ops = k->disk ? sim_disk_ops(k->disk) : NULL,
        .segment_bytes = k->segment_bytes,
        .recover = k->mode,
        .incarnation = 0x1000 + k->starts,
        .new_id = 0xfeedbeefcafe,
        .now_ms = 1700000000000 + (int64_t)k->starts,
        .pid = 4711,
    };
    struct pc_replay replay = {k, take_snapshot, take_record, take_finding};
    int err = pc_journal_open(&options, &replay, &k->j, &k->recovered, &k->why);
    if (err)
        k->j = NULL;
    return err;
}

void kit_close(struct kit *k)
{
    pc_journal_close(k->j);
    k->j = NULL;
}

int kit_append(struct kit *k, uint64_t number, size_t n)
{
    static _Thread_local uint8_t payload[KIT_BATCH_MAX][KIT_RECORD_BYTES];
    struct pc_bytes records[KIT_BATCH_MAX] = {0};
    uint64_t first;
    PC_ASSERT(n <= KIT_BATCH_MAX);
    for (size_t i = 0; i < n; i++)
        records[i] = pc_bytes_of(payload[i], kit_payload(number + i, payload[i]));
    int err = pc_journal_append(k->j, records, n, 1700000000000 + (int64_t)k->starts, &first);
    for (size_t i = 0; err == 0 && i < n; i++)
        state_add(&k->state, first + i, number + i);
    return err;
}

int kit_sync(struct kit *k)
{
    uint64_t durable;
    return pc_journal_sync(k->j, &durable);
}

void kit_commit(struct kit *k, uint64_t number, size_t n)
{
    int err = kit_append(k, number, n);
    PC_ASSERT(err == 0);
    err = kit_sync(k);
    PC_ASSERT(err == 0);
}

int kit_snapshot_begin(struct kit *k, size_t n, struct pc_snapshot_writer **ret_writer)
{
    struct pc_snapshot_writer *w;
    PC_ASSERT(n > 0 && n <= k->state.n);
    int err = pc_snapshot_begin(k->j, k->state.records[n - 1].position, (const uint8_t *)KIT_KEY_ID,
                                1700000000000, &w, &k->why);
    if (err)
        return err;
    for (size_t i = 0; err == 0 && i < n; i += 16) {
        size_t part = n - i < 16 ? n - i : 16;
        err = pc_snapshot_block(w, KIT_SECTION, &k->state.records[i],
                                part * sizeof k->state.records[0]);
    }
    *ret_writer = w;
    return 0;
}

int kit_snapshot(struct kit *k, size_t n)
{
    struct pc_snapshot_writer *w;
    int err = kit_snapshot_begin(k, n, &w);
    return err ? err : pc_snapshot_commit(w, &k->why);
}

const struct pc_finding *kit_found(const struct kit *k, enum pc_recovery_condition condition)
{
    for (size_t i = 0; i < k->state.findings_n; i++)
        if (k->state.findings[i].condition == (int)condition)
            return &k->state.findings[i];
    return NULL;
}
