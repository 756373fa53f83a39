/* SPDX-License-Identifier: Apache-2.0
 * Reads a file of the data directory line by line, in pieces, telling where each line begins. For
 * text derived from the journal (the audit). No thread of its own; one thread per reader. */
#ifndef PC_JOURNAL_LINES_H
#define PC_JOURNAL_LINES_H

#include "base/bytes.h"
#include "edge/journal/file.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pc_lines {
    const struct pc_file_ops *ops;
    int fd;
    uint8_t *buf;
    size_t cap;      /* longest line with its newline */
    size_t have, at; /* bytes in buf, and how many of them were handed out */
    uint64_t offset; /* in the file, of buf[0] */
    uint64_t number; /* lines handed out */
};

struct pc_line {
    struct pc_bytes text; /* without its newline; valid until the next call */
    uint64_t offset;      /* in the file */
    uint64_t number;      /* from 1 */
    bool whole;           /* ends with a newline; false only for the last one of a file */
};

/* Reads fd from the start. cap: bytes of the longest line it can tell. */
int pc_lines_open(struct pc_lines *l, const struct pc_file_ops *ops, int fd, size_t cap);
void pc_lines_close(struct pc_lines *l);
/* 1: *ret_line is the next line. 0: the end. PC_E_TOO_LARGE: a line longer than cap; -errno. A line
 * that is not whole comes again: stop there, or call later, when the file has grown. */
int pc_lines_next(struct pc_lines *l, struct pc_line *ret_line);
/* Passes over a line that is too large: 1, and the next one follows; 0: the file ends with it. */
int pc_lines_skip(struct pc_lines *l);

#ifdef __cplusplus
}
#endif
#endif
