/* SPDX-License-Identifier: Apache-2.0
 * The logger: line builder (any thread), rings (one per attached thread), and the thread that
 * drains them. Invariants I1 … I4 are in log.h.
 *
 * Ring: `head` counts lines written, `tail` lines read; both only grow, index = count % LINES. */
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Kept free while fields are added, so that I3's marker and the end always fit. */
#define TAIL_ROOM       (sizeof ",\"truncated\":true}\n" - 1)
#define MESSAGE_MAX     512
#define DRAIN_BYTES     (64 * 1024)
#define NS_PER_MS       1000000
#define NS_PER_SECOND   1000000000
#define SECONDS_PER_DAY 86400
#define DIRECT_LEVEL    PC_LOG_INFO /* of threads without a ring */
#define RING_INDEX(at)  ((at) % PC_LOG_RING_LINES)

struct record {
    uint16_t n;
    uint8_t text[PC_LOG_LINE_MAX];
};

struct ring {
    struct pc_logger *logger;
    struct record *records;
    _Atomic uint64_t head;                 /* owner writes (I1) */
    _Atomic uint64_t dropped;              /* owner writes */
    uint64_t begun;                        /* owner only (I4) */
    PC_ALIGNED_LINE _Atomic uint64_t tail; /* the drain lock's holder writes (I1) */
};

struct pc_logger {
    int fd;
    _Atomic int level;
    pthread_t thread;
    /* Guards what follows up to drain_lock. Taken last, and never held while writing to fd. */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping;
    struct ring *rings[PC_LOG_THREADS_MAX];
    uint64_t dropped_by_gone; /* of rings whose threads have detached */
    /* Held while rings are read and lines are written to fd; taken before `lock`. Guards what
     * follows. */
    pthread_mutex_t drain_lock;
    uint64_t dropped_told;
    uint8_t out[DRAIN_BYTES];
    size_t out_n;
};

/* A line being built. Without a ring it lives here and is written by pc_log_end() itself. */
struct pc_log {
    struct pc_buf buf;
    struct record *record; /* NULL: text below */
    bool truncated;
    uint8_t text[PC_LOG_LINE_MAX];
};

static _Thread_local struct ring *my_ring;
static _Thread_local struct pc_log my_line;
static _Thread_local bool line_open;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

int pc_log_level_of_name(const char *name, enum pc_log_level *ret_level)
{
    for (unsigned i = 0; i < PC_COUNT(level_names); i++)
        if (strcmp(name, level_names[i]) == 0) {
            *ret_level = (enum pc_log_level)i;
            return 0;
        }
    return -EINVAL;
}

/* ---- Writing to the file descriptor: the logger's thread, flushes, threads without a ring. ----
 */

/* Whoever reads our standard error may be slow or gone; there is nowhere left to complain to. */
static void write_fully(int fd, const uint8_t *p, size_t n)
{
    while (n) {
        ssize_t put = write(fd, p, n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0 && errno == EAGAIN) { /* somebody made the shared pipe non-blocking */
            struct pollfd wait = {.fd = fd, .events = POLLOUT};
            poll(&wait, 1, -1);
            continue;
        }
        if (put <= 0)
            return;
        p += put;
        n -= (size_t)put;
    }
}

static void out_flush(struct pc_logger *l)
{
    write_fully(l->fd, l->out, l->out_n);
    l->out_n = 0;
}

static void out_line(struct pc_logger *l, const uint8_t *p, size_t n)
{
    PC_ASSERT(n <= PC_LOG_LINE_MAX);
    if (n > sizeof l->out - l->out_n)
        out_flush(l);
    memcpy(l->out + l->out_n, p, n);
    l->out_n += n;
}

/* ---- Building a line. ---- */

static void put_padded(struct pc_buf *b, unsigned value, int digits)
{
    char text[4];
    PC_ASSERT(digits <= (int)sizeof text);
    for (int i = digits; i-- > 0; value /= 10)
        text[i] = (char)('0' + value % 10);
    pc_buf_put(b, text, (size_t)digits);
}

/* The date of a day since 1970-01-01, Gregorian. gmtime_r() takes a lock, which a core must not.
 * Years are counted from March, so that the leap day is the last of its year. */
static void put_date(struct pc_buf *b, int64_t days)
{
    unsigned day = (unsigned)(days + 719468);           /* since 0000-03-01 */
    unsigned era = day / 146097, in_era = day % 146097; /* 400 years */
    unsigned year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    unsigned in_year = in_era - (365 * year + year / 4 - year / 100);
    unsigned month = (5 * in_year + 2) / 153; /* 0 is March */
    put_padded(b, year + era * 400 + (month >= 10), 4);
    pc_buf_char(b, '-');
    put_padded(b, month < 10 ? month + 3 : month - 9, 2);
    pc_buf_char(b, '-');
    put_padded(b, in_year - (153 * month + 2) / 5 + 1, 2);
}

static void put_time(struct pc_buf *b)
{
    struct timespec now;
    /* The coarse clock is read without a system call and is good to a few milliseconds. */
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    unsigned second = (unsigned)(now.tv_sec % SECONDS_PER_DAY);
    put_date(b, now.tv_sec / SECONDS_PER_DAY);
    pc_buf_char(b, 'T');
    put_padded(b, second / 3600, 2);
    pc_buf_char(b, ':');
    put_padded(b, second / 60 % 60, 2);
    pc_buf_char(b, ':');
    put_padded(b, second % 60, 2);
    pc_buf_char(b, '.');
    put_padded(b, (unsigned)(now.tv_nsec / NS_PER_MS), 3);
    pc_buf_char(b, 'Z');
}

static void start_line(struct pc_log *l, uint8_t *memory, enum pc_log_level level,
                       const char *event)
{
    l->buf = pc_buf_of(memory, PC_LOG_LINE_MAX - TAIL_ROOM);
    l->truncated = false;
    pc_buf_lit(&l->buf, "{\"time\":\"");
    put_time(&l->buf);
    pc_buf_lit(&l->buf, "\",\"level\":\"");
    pc_buf_str(&l->buf, level_names[level]);
    pc_buf_lit(&l->buf, "\",\"event\":");
    pc_buf_json_str(&l->buf, pc_bytes_str(event));
    PC_ASSERT(!l->buf.overflow); /* an event is a short literal */
}

/* I3: closes the object; the room for it was kept. */
static size_t finish_line(struct pc_log *l)
{
    l->buf.cap += TAIL_ROOM;
    if (l->truncated)
        pc_buf_lit(&l->buf, ",\"truncated\":true");
    pc_buf_lit(&l->buf, "}\n");
    PC_ASSERT(!l->buf.overflow && l->buf.len <= PC_LOG_LINE_MAX);
    return l->buf.len;
}

static struct pc_log *begin_direct(enum pc_log_level level, const char *event)
{
    if (level < DIRECT_LEVEL)
        return NULL;
    my_line.record = NULL;
    start_line(&my_line, my_line.text, level, event);
    line_open = true;
    return &my_line;
}

struct pc_log *pc_log_begin(enum pc_log_level level, const char *event)
{
    struct ring *r = my_ring;
    PC_ASSERT(!line_open);
    if (!r)
        return begin_direct(level, event);
    if ((int)level < atomic_load_explicit(&r->logger->level, memory_order_relaxed))
        return NULL;
    uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    r->begun++;
    if (head - atomic_load_explicit(&r->tail, memory_order_acquire) == PC_LOG_RING_LINES) {
        atomic_store_explicit(&r->dropped,
                              atomic_load_explicit(&r->dropped, memory_order_relaxed) + 1,
                              memory_order_relaxed);
        return NULL;
    }
    my_line.record = &r->records[RING_INDEX(head)];
    start_line(&my_line, my_line.record->text, level, event);
    line_open = true;
    return &my_line;
}

void pc_log_end(struct pc_log *l)
{
    if (!l)
        return;
    PC_ASSERT(l == &my_line && line_open);
    size_t n = finish_line(l);
    line_open = false;
    if (!l->record) {
        write_fully(STDERR_FILENO, l->text, n);
        return;
    }
    struct ring *r = my_ring;
    PC_ASSERT(r);
    l->record->n = (uint16_t)n;
    uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    /* I4: no line is lost between the ring and its counters. */
    PC_ASSERT(head + 1 + atomic_load_explicit(&r->dropped, memory_order_relaxed) == r->begun);
    atomic_store_explicit(&r->head, head + 1, memory_order_release); /* I2 */
}

/* I3: a field goes in whole or not at all. Returns where it began. */
static size_t field_begin(struct pc_log *l, const char *key)
{
    size_t mark = l->buf.len;
    PC_ASSERT(l == &my_line && line_open);
    pc_buf_char(&l->buf, ',');
    pc_buf_json_str(&l->buf, pc_bytes_str(key));
    pc_buf_char(&l->buf, ':');
    return mark;
}

static void field_end(struct pc_log *l, size_t mark)
{
    if (!l->buf.overflow)
        return;
    l->buf.len = mark;
    l->buf.overflow = false;
    l->truncated = true;
}

void pc_log_bytes(struct pc_log *l, const char *key, struct pc_bytes value)
{
    if (!l)
        return;
    size_t mark = field_begin(l, key);
    pc_buf_json_str(&l->buf, value);
    field_end(l, mark);
}

void pc_log_str(struct pc_log *l, const char *key, const char *value)
{
    pc_log_bytes(l, key, pc_bytes_str(value));
}

void pc_log_i64(struct pc_log *l, const char *key, int64_t value)
{
    if (!l)
        return;
    size_t mark = field_begin(l, key);
    pc_buf_i64(&l->buf, value);
    field_end(l, mark);
}

void pc_log_u64(struct pc_log *l, const char *key, uint64_t value)
{
    if (!l)
        return;
    size_t mark = field_begin(l, key);
    pc_buf_u64(&l->buf, value);
    field_end(l, mark);
}

void pc_log_bool(struct pc_log *l, const char *key, bool value)
{
    if (!l)
        return;
    size_t mark = field_begin(l, key);
    pc_buf_str(&l->buf, value ? "true" : "false");
    field_end(l, mark);
}

void pc_log_err(struct pc_log *l, int err)
{
    if (l)
        pc_log_str(l, "error", pc_strerror(err));
}

void pc_log_event(enum pc_log_level level, const char *event, const char *fmt, ...)
{
    char message[MESSAGE_MAX];
    va_list args;
    struct pc_log *l = pc_log_begin(level, event);
    if (!l)
        return;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    pc_log_str(l, "message", message);
    pc_log_end(l);
}

/* ---- Draining. ---- */

/* Caller holds drain_lock (I1). */
static void drain_ring(struct pc_logger *l, struct ring *r)
{
    uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    uint64_t head = atomic_load_explicit(&r->head, memory_order_acquire); /* I2 */
    PC_ASSERT(head - tail <= PC_LOG_RING_LINES);
    for (; tail != head; tail++) {
        const struct record *record = &r->records[RING_INDEX(tail)];
        out_line(l, record->text, record->n);
        atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
    }
}

/* Never waits for the file descriptor, so a stuck reader cannot hold up whoever renders metrics. */
uint64_t pc_log_dropped(struct pc_logger *l)
{
    pthread_mutex_lock(&l->lock);
    uint64_t sum = l->dropped_by_gone;
    for (unsigned i = 0; i < PC_LOG_THREADS_MAX; i++)
        if (l->rings[i])
            sum += atomic_load_explicit(&l->rings[i]->dropped, memory_order_relaxed);
    pthread_mutex_unlock(&l->lock);
    return sum;
}

/* Caller holds drain_lock. The logger has no ring: it writes its own line in place. */
static void tell_dropped(struct pc_logger *l)
{
    struct pc_log line;
    uint64_t dropped = pc_log_dropped(l);
    if (dropped == l->dropped_told)
        return;
    start_line(&line, line.text, PC_LOG_WARN, "log_dropped");
    pc_buf_lit(&line.buf, ",\"lines\":");
    pc_buf_u64(&line.buf, dropped - l->dropped_told);
    out_line(l, line.text, finish_line(&line));
    l->dropped_told = dropped;
}

void pc_log_flush(struct pc_logger *l)
{
    pthread_mutex_lock(&l->drain_lock);
    for (unsigned i = 0; i < PC_LOG_THREADS_MAX; i++) {
        pthread_mutex_lock(&l->lock);
        struct ring *r = l->rings[i];
        pthread_mutex_unlock(&l->lock);
        /* A ring cannot go away meanwhile: detaching takes drain_lock. */
        if (r)
            drain_ring(l, r);
    }
    tell_dropped(l);
    out_flush(l);
    pthread_mutex_unlock(&l->drain_lock);
}

/* Sleeps one interval; false when it is time to stop. */
static bool wait_interval(struct pc_logger *l)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += PC_LOG_INTERVAL_MS * NS_PER_MS;
    until.tv_sec += until.tv_nsec / NS_PER_SECOND;
    until.tv_nsec %= NS_PER_SECOND;
    pthread_mutex_lock(&l->lock);
    while (!l->stopping && pthread_cond_timedwait(&l->wake, &l->lock, &until) == 0)
        ; /* woken without a reason */
    bool go_on = !l->stopping;
    pthread_mutex_unlock(&l->lock);
    return go_on;
}

static void *logger_main(void *arg)
{
    struct pc_logger *l = arg;
    pthread_setname_np(pthread_self(), "pc-log");
    while (wait_interval(l))
        pc_log_flush(l);
    pc_log_flush(l);
    return NULL;
}

/* ---- Opening and closing; attaching threads. ---- */

static void init_locks(struct pc_logger *l)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&l->wake, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&l->lock, NULL);
    pthread_mutex_init(&l->drain_lock, NULL);
}

static void free_logger(struct pc_logger *l)
{
    pthread_cond_destroy(&l->wake);
    pthread_mutex_destroy(&l->lock);
    pthread_mutex_destroy(&l->drain_lock);
    free(l);
}

int pc_log_open(int fd, enum pc_log_level level, struct pc_logger **ret_logger)
{
    struct pc_logger *l = calloc(1, sizeof *l);
    if (!l)
        return -ENOMEM;
    l->fd = fd;
    atomic_init(&l->level, (int)level);
    init_locks(l);
    int err = pthread_create(&l->thread, NULL, logger_main, l);
    if (err) {
        free_logger(l);
        return -err;
    }
    *ret_logger = l;
    return 0;
}

void pc_log_close(struct pc_logger *l)
{
    if (!l)
        return;
    if (my_ring && my_ring->logger == l)
        pc_log_detach();
    pthread_mutex_lock(&l->lock);
    for (unsigned i = 0; i < PC_LOG_THREADS_MAX; i++)
        PC_ASSERT(!l->rings[i]);
    l->stopping = true;
    pthread_cond_signal(&l->wake);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->thread, NULL);
    free_logger(l);
}

void pc_log_set_level(struct pc_logger *l, enum pc_log_level level)
{
    atomic_store_explicit(&l->level, (int)level, memory_order_relaxed);
}

static int add_ring(struct pc_logger *l, struct ring *r)
{
    int err = PC_E_FULL;
    pthread_mutex_lock(&l->lock);
    for (unsigned i = 0; i < PC_LOG_THREADS_MAX && err; i++)
        if (!l->rings[i]) {
            l->rings[i] = r;
            err = 0;
        }
    pthread_mutex_unlock(&l->lock);
    return err;
}

static void free_ring(struct ring *r)
{
    free(r->records);
    free(r);
}

int pc_log_attach(struct pc_logger *l)
{
    PC_ASSERT(!my_ring && !line_open);
    struct ring *r = aligned_alloc(PC_CACHE_LINE, sizeof *r);
    if (!r)
        return -ENOMEM;
    memset(r, 0, sizeof *r);
    r->logger = l;
    r->records = calloc(PC_LOG_RING_LINES, sizeof *r->records);
    int err = r->records ? add_ring(l, r) : -ENOMEM;
    if (err) {
        free_ring(r);
        return err;
    }
    my_ring = r;
    return 0;
}

void pc_log_detach(void)
{
    struct ring *r = my_ring;
    PC_ASSERT(r && !line_open);
    struct pc_logger *l = r->logger;
    pthread_mutex_lock(&l->drain_lock);
    drain_ring(l, r);
    pthread_mutex_lock(&l->lock);
    l->dropped_by_gone += atomic_load_explicit(&r->dropped, memory_order_relaxed);
    for (unsigned i = 0; i < PC_LOG_THREADS_MAX; i++)
        if (l->rings[i] == r)
            l->rings[i] = NULL;
    pthread_mutex_unlock(&l->lock);
    out_flush(l);
    pthread_mutex_unlock(&l->drain_lock);
    my_ring = NULL;
    free_ring(r);
}
