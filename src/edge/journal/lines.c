/* SPDX-License-Identifier: Apache-2.0
 * See lines.h. */
#include "edge/journal/lines.h"

#include <stdlib.h>

int pc_lines_open(struct pc_lines *l, const struct pc_file_ops *ops, int fd, size_t cap)
{
    uint8_t *buf = malloc(cap);
    if (!buf)
        return -ENOMEM;
    *l = (struct pc_lines){.ops = ops, .fd = fd, .buf = buf, .cap = cap};
    return 0;
}

void pc_lines_close(struct pc_lines *l)
{
    free(l->buf);
    *l = (struct pc_lines){0};
}

/* Moves what was not handed out to the front and reads more behind it; 0 at the end of the file. */
static int64_t refill(struct pc_lines *l)
{
    memmove(l->buf, l->buf + l->at, l->have - l->at);
    l->offset += l->at;
    l->have -= l->at;
    l->at = 0;
    int64_t got =
        l->ops->pread(l->ops->ctx, l->fd, l->buf + l->have, l->cap - l->have, l->offset + l->have);
    if (got > 0)
        l->have += (size_t)got;
    return got;
}

static int hand_out(struct pc_lines *l, size_t n, bool whole, struct pc_line *ret_line)
{
    *ret_line = (struct pc_line){.text = pc_bytes_of(l->buf + l->at, n),
                                 .offset = l->offset + l->at,
                                 .number = l->number + 1,
                                 .whole = whole};
    /* What is no whole line yet is looked at again by a later call. */
    if (whole) {
        l->at += n + 1;
        l->number++;
    }
    return 1;
}

int pc_lines_next(struct pc_lines *l, struct pc_line *ret_line)
{
    size_t seen = 0; /* of the line at hand, known to hold no newline */
    for (;;) {
        size_t left = l->have - l->at;
        PC_ASSERT(seen <= left);
        const uint8_t *p = l->buf + l->at;
        const uint8_t *newline = left > seen ? memchr(p + seen, '\n', left - seen) : NULL;
        if (newline)
            return hand_out(l, (size_t)(newline - p), true, ret_line);
        if (left == l->cap)
            return PC_E_TOO_LARGE;
        seen = left;
        int64_t got = refill(l);
        if (got < 0)
            return (int)got;
        if (got == 0)
            return left ? hand_out(l, left, false, ret_line) : 0;
    }
}

int pc_lines_skip(struct pc_lines *l)
{
    for (;;) {
        const uint8_t *p = l->buf + l->at;
        const uint8_t *newline = l->have > l->at ? memchr(p, '\n', l->have - l->at) : NULL;
        if (newline) {
            l->at += (size_t)(newline - p) + 1;
            l->number++;
            return 1;
        }
        l->at = l->have;
        int64_t got = refill(l);
        if (got <= 0)
            return (int)got;
    }
}
