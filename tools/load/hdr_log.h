/* SPDX-License-Identifier: Apache-2.0
 * The HdrHistogram interval log, format 1.3 with V2 compressed histograms, so that other tools can
 * merge and plot what was recorded here:
 *
 *     #[Histogram log format version 1.3]
 *     #[StartTime: <seconds since 1970> (seconds since epoch), <date>]
 *     "StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"
 *     <start, s since StartTime>,<length, s>,<max, ms>,<base64 of the compressed histogram>
 *
 * Compressed: be32 cookie 0x1c849314, be32 length, zlib of the histogram. Histogram: be32 cookie
 * 0x1c849313, be32 payload length, be32 normalising offset 0, be32 significant digits, be64 lowest,
 * be64 highest, double conversion ratio 1.0; payload: the counts from slot 0 as ZigZag LEB128, a
 * run of n zeros as -n. Values are nanoseconds. */
#ifndef LD_HDR_LOG_H
#define LD_HDR_LOG_H

#include <stdio.h>

#include "load/hdr.h"
#include "load/source.h"

struct ld_hdr_log {
    FILE *file; /* NULL: none */
};

/* The base64 text of the compressed histogram into a new string; NULL: no memory. */
char *ld_hdr_encode(const struct ld_hdr *);

bool ld_hdr_log_open(struct ld_hdr_log *, const char *path, double start_s, struct ld_problem *);
void ld_hdr_log_interval(struct ld_hdr_log *, double since_start_s, double length_s,
                         const struct ld_hdr *);
bool ld_hdr_log_close(struct ld_hdr_log *, struct ld_problem *); /* false: it was not all written */

#endif
