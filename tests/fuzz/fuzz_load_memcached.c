/* SPDX-License-Identifier: Apache-2.0
 * memcached's answers as portcullis-load reads them. Input: a server's bytes. Checked: fed whole
 * and byte by byte they give the same answers, within their bytes. */
#include <string.h>

#include "load/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct found {
    unsigned answers;
    uint64_t bytes;
    bool bad;
};

static struct found read_all(const uint8_t *p, size_t n, size_t step)
{
    struct ld_parser parser = {0};
    struct found f = {0};
    for (size_t at = 0; at < n && !f.bad;) {
        struct ld_answer a;
        size_t used = 0;
        const size_t piece = pc_min_u64(step, n - at);
        const enum ld_parse done = ld_memcached.parse(&parser, p + at, piece, false, &used, &a);
        PC_ASSERT(used <= piece);
        f.bad = done == LD_PARSE_BAD;
        if (done == LD_PARSE_ANSWER) {
            PC_ASSERT(used > 0 && a.head_bytes >= 2 && !memchr(a.head, '\n', a.head_bytes));
            f.answers++;
            f.bytes += a.head_bytes;
        }
        at += used;
    }
    ld_parser_reset(&parser);
    return f;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const struct found whole = read_all(data, size, size), split = read_all(data, size, 1);
    PC_ASSERT(whole.answers == split.answers && whole.bytes == split.bytes);
    /* A line without end is malformed once it is too long, in whatever pieces. */
    PC_ASSERT(whole.bad == split.bad);
    return 0;
}
