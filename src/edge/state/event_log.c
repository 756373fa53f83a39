/* SPDX-License-Identifier: Apache-2.0
 * The bounded history of events; format, invariants I1-I4 and memory order stand in event_log.h. */
#include "edge/state/event_log.h"

#include <stdatomic.h>
#include <stdlib.h>

#define WORD          sizeof(uint64_t)
#define HEAD_WORDS    2
#define BYTES_A_PLACE 64 /* of memory for each event whose place can be kept */

_Static_assert(PC_EVENT_LOG_BYTES_MIN >= 2 * (PC_EVENT_BYTES_MAX + HEAD_WORDS * WORD),
               "two of the largest events fit");

struct pc_event_log {
    /* Constant after pc_event_log_new(). */
    uint64_t word_mask, place_mask;
    _Atomic uint64_t *words, *places;
    /* The appender's own. */
    PC_ALIGNED_LINE uint64_t end; /* position behind the last event */
    uint64_t last;                /* number of the last event, published or not */
    /* Stored by the appender, loaded by all. */
    PC_ALIGNED_LINE _Atomic uint64_t next;
    _Atomic uint64_t floor;
};

static uint64_t words_of(size_t bytes)
{
    return HEAD_WORDS + (bytes + WORD - 1) / WORD;
}

int pc_event_log_new(size_t bytes, struct pc_event_log **ret_log)
{
    size_t words = PC_EVENT_LOG_BYTES_MIN / WORD;
    if (bytes < PC_EVENT_LOG_BYTES_MIN || bytes > PC_EVENT_LOG_BYTES_MAX)
        return -EINVAL;
    while (words * WORD < bytes)
        words *= 2;
    size_t places = words * WORD / BYTES_A_PLACE;
    struct pc_event_log *log = aligned_alloc(PC_CACHE_LINE, sizeof *log);
    if (!log)
        return -ENOMEM;
    memset(log, 0, sizeof *log);
    log->words = calloc(words, sizeof *log->words);
    log->places = calloc(places, sizeof *log->places);
    if (!log->words || !log->places) {
        pc_event_log_free(log);
        return -ENOMEM;
    }
    log->word_mask = words - 1;
    log->place_mask = places - 1;
    atomic_init(&log->next, 1);
    atomic_init(&log->floor, 1);
    *ret_log = log;
    return 0;
}

void pc_event_log_free(struct pc_event_log *log)
{
    if (!log)
        return;
    free(log->words);
    free(log->places);
    free(log);
}

/* ---- the appender ---- */

static void store(_Atomic uint64_t *at, uint64_t value)
{
    atomic_store_explicit(at, value, memory_order_release);
}

/* I1: what the appender stored itself it may load in any way. */
static uint64_t own(const _Atomic uint64_t *at)
{
    return atomic_load_explicit(at, memory_order_relaxed);
}

/* Gives up the oldest events until `words` more fit, and one more place. */
static void make_room(struct pc_event_log *log, uint64_t words)
{
    uint64_t floor = own(&log->floor);
    uint64_t capacity = log->word_mask + 1, number = log->last + 1;
    while (floor < number &&
           (log->end + words - own(&log->places[floor & log->place_mask]) > capacity ||
            number - floor > log->place_mask))
        floor++;
    store(&log->floor, floor); /* I3 */
}

static void store_bytes(struct pc_event_log *log, uint64_t at, struct pc_bytes s)
{
    while (s.n) {
        uint64_t word = 0;
        size_t n = pc_min_u64(s.n, WORD);
        memcpy(&word, s.p, n);
        store(&log->words[at++ & log->word_mask], word);
        s = pc_bytes_of(s.p + n, s.n - n);
    }
}

void pc_event_log_append(struct pc_event_log *log, unsigned type, struct pc_bytes event)
{
    PC_ASSERT(event.n <= PC_EVENT_BYTES_MAX && type <= UINT8_MAX);
    uint64_t words = words_of(event.n), at = log->end, number = log->last + 1;
    make_room(log, words);
    store(&log->words[at & log->word_mask], number);
    store(&log->words[(at + 1) & log->word_mask], (uint64_t)event.n << 8 | type);
    store_bytes(log, at + HEAD_WORDS, event);
    store(&log->places[number & log->place_mask], at);
    log->end = at + words;
    log->last = number;
}

bool pc_event_log_publish(struct pc_event_log *log)
{
    PC_ASSERT(own(&log->next) <= log->last + 1); /* I1 */
    if (own(&log->next) == log->last + 1)
        return false;
    atomic_store_explicit(&log->next, log->last + 1, memory_order_seq_cst); /* I2 */
    return true;
}

/* ---- any thread ---- */

static uint64_t load(const _Atomic uint64_t *at)
{
    return atomic_load_explicit(at, memory_order_acquire);
}

uint64_t pc_event_log_next(const struct pc_event_log *log)
{
    return atomic_load_explicit(&log->next, memory_order_seq_cst);
}

/* The appender raises floor before it publishes; of what is not published nobody speaks. */
uint64_t pc_event_log_floor(const struct pc_event_log *log)
{
    uint64_t floor = load(&log->floor);
    return pc_min_u64(floor, pc_event_log_next(log));
}

/* Copies what stands at a place, which may be overwritten meanwhile: the caller checks. */
static void copy_event(const struct pc_event_log *log, uint64_t number, struct pc_buf *b,
                       unsigned *ret_type)
{
    uint64_t at = load(&log->places[number & log->place_mask]);
    uint64_t head = load(&log->words[(at + 1) & log->word_mask]);
    size_t n = pc_min_u64(head >> 8, PC_EVENT_BYTES_MAX); /* whatever is there, it fits */
    *ret_type = head & UINT8_MAX;
    if (load(&log->words[at & log->word_mask]) != number)
        return;
    for (at += HEAD_WORDS; n; at++) {
        uint64_t word = load(&log->words[at & log->word_mask]);
        size_t part = pc_min_u64(n, WORD);
        pc_buf_put(b, &word, part);
        n -= part;
    }
}

int pc_event_log_read(const struct pc_event_log *log, uint64_t number, struct pc_buf *b,
                      unsigned *ret_type)
{
    size_t len = b->len;
    unsigned type = 0;
    PC_ASSERT(b->cap - b->len >= PC_EVENT_BYTES_MAX && !b->overflow);
    if (number >= load(&log->next))
        return -EAGAIN;
    if (number < load(&log->floor))
        return -ESTALE;
    copy_event(log, number, b, &type);
    if (number < load(&log->floor)) { /* I4 */
        b->len = len;
        return -ESTALE;
    }
    *ret_type = type;
    return 0;
}

size_t pc_event_log_bytes(const struct pc_event_log *log)
{
    return sizeof *log + (log->word_mask + log->place_mask + 2) * WORD;
}
