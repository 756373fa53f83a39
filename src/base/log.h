/* SPDX-License-Identifier: Apache-2.0
 * Logging: one JSON object per line on standard error.
 *
 *   {"time":"2026-11-20T10:00:00.123Z","level":"info","event":"listener_open","name":"http"}
 *
 * A thread that has called pc_log_attach() formats its lines into records of fixed size in its own
 * bounded ring; the logger's thread wakes every PC_LOG_INTERVAL_MS and writes them. The producer
 * makes no system call, takes no lock and never waits: a full ring drops the line and counts it
 * (the logger then writes an event "log_dropped"). A thread that is not attached, and everything
 * before pc_log_open(), writes its line to standard error itself.
 *
 * What must never be in a line: tokens, secrets, passwords, Authorization headers. There is no
 * call that takes one; pass ids (jti, subject, request id) instead. Bytes from strangers are
 * escaped as JSON, so nobody can forge a line.
 *
 * Invariants (cited in log.c and its tests):
 *   I1  only the attached thread moves a ring's head and writes records; only the thread that holds
 *       the drain lock moves its tail and reads them.
 *   I2  a record is complete before head passes it (release), and read before tail passes it.
 *   I3  every line is a complete JSON object: what does not fit is left out whole, and the line
 *       then says "truncated":true.
 *   I4  written + dropped = begun, per ring. */
#ifndef PC_BASE_LOG_H
#define PC_BASE_LOG_H

#include "base/bytes.h"
#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PC_LOG_LINE_MAX    1008 /* bytes of one line with its newline */
#define PC_LOG_RING_LINES  256  /* lines a thread may have waiting */
#define PC_LOG_THREADS_MAX 264  /* attached threads at one time: 256 cores and a few others */
#define PC_LOG_INTERVAL_MS 50

enum pc_log_level { PC_LOG_DEBUG, PC_LOG_INFO, PC_LOG_WARN, PC_LOG_ERROR };

struct pc_logger;

/* Starts the logger's thread. fd is where lines go (2 in servers); not owned. */
int pc_log_open(int fd, enum pc_log_level level, struct pc_logger **ret_logger);
/* Writes what waits, stops the thread and frees everything. All other threads must have detached
 * (asserted); the calling thread is detached if it was attached. NULL is allowed. */
void pc_log_close(struct pc_logger *l);
/* May be called at any time by any thread (a reload). */
void pc_log_set_level(struct pc_logger *l, enum pc_log_level level);
/* Gives the calling thread its ring; -ENOMEM, or PC_E_FULL beyond PC_LOG_THREADS_MAX. */
int pc_log_attach(struct pc_logger *l);
void pc_log_detach(void);
/* Writes everything that all threads have finished so far. Blocks on the file descriptor: never
 * from a core. */
void pc_log_flush(struct pc_logger *l);
/* Lines dropped because a ring was full, since the logger was opened. Any thread. */
uint64_t pc_log_dropped(struct pc_logger *l);

/* A line under construction: begin, fields, end, all on one thread. One at a time per thread
 * (asserted). */
struct pc_log;

/* NULL when the level is not logged or the ring is full; every call below accepts NULL.
 * event: a literal in lower_case_with_underscores. */
struct pc_log *pc_log_begin(enum pc_log_level level, const char *event);
void pc_log_str(struct pc_log *l, const char *key, const char *value);
void pc_log_bytes(struct pc_log *l, const char *key, struct pc_bytes value);
void pc_log_i64(struct pc_log *l, const char *key, int64_t value);
void pc_log_u64(struct pc_log *l, const char *key, uint64_t value);
void pc_log_bool(struct pc_log *l, const char *key, bool value);
/* "error":"text of err". */
void pc_log_err(struct pc_log *l, int err);
void pc_log_end(struct pc_log *l);

/* The common case of an event with one sentence: {"event":event,"message":"…"}. */
void pc_log_event(enum pc_log_level level, const char *event, const char *fmt, ...) PC_PRINTF(3, 4);

/* "debug", "info", "warn", "error"; -EINVAL for anything else. */
int pc_log_level_of_name(const char *name, enum pc_log_level *ret_level);

#ifdef __cplusplus
}
#endif
#endif
