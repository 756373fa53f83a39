/* SPDX-License-Identifier: Apache-2.0
 * Measured points: what perf/capacity found out about one machine, read from its JSON. The file
 * comes from outside, so it is read strictly: every member known, of its type and range, or a
 * message with its place ("memory.revoked[2].bytes: …"). Plain data; any thread. */
#ifndef LD_POINTS_H
#define LD_POINTS_H

#include "load/queueing.h"
#include "load/source.h"
#include "load/usl.h"

#define LD_POINTS_FORMAT "portcullis-capacity/1"

enum {
    LD_POINTS_BYTES_MAX = 4 << 20,
    LD_POINTS_MAX = 64, /* of one kind */
    LD_POINTS_TEXT = 160,
};

/* The tables of a node whose memory grows with what is kept. */
enum ld_table {
    LD_TABLE_REVOKED,
    LD_TABLE_SESSIONS,
    LD_TABLE_SUBJECTS,
    LD_TABLE_LIMIT_KEYS,
    LD_TABLE_CACHED_TOKENS,
    LD_TABLES
};
extern const char *const ld_table_names[LD_TABLES]; /* as in the file */

struct ld_pair_points {
    double x[LD_POINTS_MAX], y[LD_POINTS_MAX];
    size_t n;
};

/* Server CPU per request at saturation with so many cores. */
struct ld_cpu_point {
    double cores, cpu_us, rate_per_s;
};

/* Open loop at part of the capacity: the server, and a responder that does nothing at that rate. */
struct ld_latency_point {
    bool is_floor;
    double load; /* of one core's capacity */
    double rate_per_s;
    double p50_us, p90_us, p99_us, p99_9_us, p99_99_us;
};

struct ld_points {
    char path[LD_POINTS_TEXT]; /* of the file */
    char when[LD_POINTS_TEXT], command[LD_POINTS_TEXT], what[LD_POINTS_TEXT];
    char cpu_model[LD_POINTS_TEXT], kernel[LD_POINTS_TEXT];
    double cpus, memory_bytes;
    bool quick; /* small sizes: says nothing */
    struct ld_cpu_point cpu[LD_POINTS_MAX];
    size_t cpu_n;
    struct ld_usl_point in_process[LD_POINTS_MAX]; /* decisions per second by threads */
    size_t in_process_n;
    double decision_us, decision_scv;        /* of one decision in process */
    double empty_bytes;                      /* of a server that holds nothing */
    struct ld_pair_points memory[LD_TABLES]; /* entries to bytes above the empty server */
    double request_bytes, answer_bytes;      /* on the wire, with TCP/IP headers, per request */
    double change_bytes;                     /* in the journal, per Change */
    double snapshot_entry_bytes;             /* in a snapshot, per entry */
    double apply_cpu_us;                     /* of the writer, per Change */
    double durable_per_s;                    /* acknowledged Changes with group commit */
    double fsync_us;                         /* median */
    struct ld_pair_points start;             /* entries to seconds until ready */
    double verify_us; /* CPU of a token seen for the first time, above a known one */
    char verify_algorithm[32];
    double cache_entries; /* of the token cache per core, as configured */
    struct ld_latency_point latency[LD_POINTS_MAX];
    size_t latency_n;
};

/* text: n bytes of JSON; name stands in messages and in ret_points->path. */
bool ld_points_parse(const char *text, size_t n, const char *name, struct ld_points *ret_points,
                     struct ld_problem *problem);
bool ld_points_read(const char *path, struct ld_points *ret_points, struct ld_problem *problem);

/* The median of one figure (a double of struct ld_latency_point) over the repeats at a load; tails
 * of a shared machine scatter so much that a mean would be that of its worst run. NAN if there are
 * none. */
double ld_points_latency_us(const struct ld_points *p, bool of_floor, double load, size_t offset);

/* The platform's floor as the queueing model takes it. */
void ld_points_floor(const struct ld_points *p, struct ld_floor *ret_floor);

#endif
