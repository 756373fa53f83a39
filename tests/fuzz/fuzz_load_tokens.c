/* SPDX-License-Identifier: Apache-2.0
 * Token files of portcullis-load. Input: a file. Checked: what is accepted can be walked from end
 * to end within its bytes, and sums up. A header whose checksum is wrong is also read with the
 * right one, or no input would ever get past it. */
#include <stdlib.h>

#include "base/crc32c.h"
#include "load/tokens.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CRC_AT 508

static void read_one(const uint8_t *bytes, size_t n)
{
    struct ld_tokens t;
    struct ld_problem problem = {""};
    uint64_t sum = 0;
    if (!ld_tokens_read("input", bytes, n, &t, &problem)) {
        PC_ASSERT(strncmp(problem.text, "input: ", 7) == 0);
        return;
    }
    for (unsigned kind = 0; kind < LD_TOKEN_KINDS; kind++)
        sum += t.of_kind[kind];
    PC_ASSERT(sum == t.count && t.count > 0 && strlen(t.issuer) <= LD_ISSUER_MAX);
    for (uint64_t i = 0; i < t.count; i++) {
        const struct ld_token token = ld_tokens_at(&t, i);
        PC_ASSERT(token.text.p + token.text.n <= bytes + n && token.text.n > 0);
        PC_ASSERT(token.sub.n <= LD_SUB_MAX && token.kind < LD_TOKEN_KINDS);
        PC_ASSERT(i >= t.first[token.kind] && i - t.first[token.kind] < t.of_kind[token.kind]);
    }
    ld_tokens_close(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_one(data, size);
    if (size >= LD_TOKENS_HEAD) {
        uint8_t *copy = malloc(size);
        PC_ASSERT(copy);
        memcpy(copy, data, size);
        const uint32_t crc = pc_crc32c(0, copy, CRC_AT);
        for (unsigned i = 0; i < 4; i++)
            copy[CRC_AT + i] = (uint8_t)(crc >> 8 * i);
        read_one(copy, size);
        free(copy);
    }
    return 0;
}
