/* SPDX-License-Identifier: Apache-2.0
 * HTTP/1.1 answers as portcullis-load reads them. Input: a byte that chooses the cut and whether
 * the requests were HEAD, then a server's bytes. Checked: cut or whole, the same answers. */
#include <stdlib.h>
#include <string.h>

#include "load/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct found {
    uint64_t answers, statuses, body_bytes;
    bool bad;
};

static struct found read_all(const uint8_t *p, size_t n, size_t step, bool no_body)
{
    struct ld_parser parser = {0};
    struct found f = {0};
    for (size_t at = 0; at < n && !f.bad;) {
        struct ld_answer a;
        size_t used = 0;
        const size_t piece = pc_min_u64(step, n - at);
        uint8_t *copy = malloc(piece); /* ends where it ends */
        PC_ASSERT(copy);
        memcpy(copy, p + at, piece);
        const enum ld_parse done = ld_http1.parse(&parser, copy, piece, no_body, &used, &a);
        PC_ASSERT(used <= piece && (done != LD_PARSE_MORE || used == piece));
        f.bad = done == LD_PARSE_BAD;
        if (done == LD_PARSE_ANSWER) {
            PC_ASSERT(a.status >= 200 && a.status <= 999 && a.head_bytes <= LD_HEAD_BYTES_MAX);
            PC_ASSERT(a.body_bytes <= LD_BODY_BYTES_MAX && (!a.body_bytes || a.body));
            f.answers++;
            f.statuses += (uint64_t)a.status;
            for (uint32_t i = 0; i < a.body_bytes; i++)
                f.body_bytes += 1 + a.body[i];
        }
        free(copy);
        at += used;
    }
    ld_parser_reset(&parser);
    return f;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const bool no_body = data[0] & 1;
    const size_t step = (size_t)(data[0] >> 1) + 1;
    const struct found whole = read_all(data + 1, size - 1, size, no_body);
    const struct found cut = read_all(data + 1, size - 1, step, no_body);
    PC_ASSERT(whole.answers == cut.answers && whole.statuses == cut.statuses);
    PC_ASSERT(whole.body_bytes == cut.body_bytes && whole.bad == cut.bad);
    return 0;
}
