/* SPDX-License-Identifier: Apache-2.0
 * Chunked bodies. Input: a byte that chooses the cut, then the stream. Checked: status, decoded
 * bytes and bytes used are the same whole and cut, and nothing grows. */
#include <stdlib.h>

#include "base/bytes.h"
#include "edge/wire/chunked.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BODY_MAX 300

struct result {
    int rc;
    size_t body_n, used;
    uint8_t body[BODY_MAX];
};

static void decode(const uint8_t *p, size_t n, size_t step, struct result *r)
{
    struct pc_chunked c;
    *r = (struct result){0};
    pc_chunked_init(&c, BODY_MAX);
    for (size_t at = 0; at < n && r->rc == 0;) {
        size_t piece = n - at > step ? step : n - at, body = 0, used = 0;
        uint8_t *copy = malloc(piece);
        PC_ASSERT(copy);
        memcpy(copy, p + at, piece);
        r->rc = pc_chunked_decode(&c, copy, piece, &body, &used);
        if (r->rc >= 0) {
            PC_ASSERT(body <= used && used <= piece && r->body_n + body <= BODY_MAX);
            PC_ASSERT(r->rc == 1 || used == piece);
            memcpy(r->body + r->body_n, copy, body);
            r->body_n += body;
            r->used += used;
            PC_ASSERT(c.body_bytes == r->body_n);
        }
        free(copy);
        at += piece;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct result whole, cut;
    if (size < 2)
        return 0;
    decode(data + 1, size - 1, size, &whole);
    decode(data + 1, size - 1, 1u + data[0] % 32, &cut);
    PC_ASSERT(whole.rc == cut.rc);
    if (whole.rc >= 0) {
        PC_ASSERT(whole.used == cut.used && whole.body_n == cut.body_n);
        PC_ASSERT(memcmp(whole.body, cut.body, whole.body_n) == 0);
    }
    return 0;
}
