/* SPDX-License-Identifier: Apache-2.0
 * RESP2 commands. Input: a byte that chooses the cut, a byte that chooses the limits, then the
 * stream of one command. Checked: result, arguments and error are the same whole and cut; the
 * arguments lie within the command. */
#include <errno.h>
#include <stdlib.h>

#include "edge/wire/resp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int parse_in_steps(struct pc_resp_parser *p, const struct pc_resp_limits *limits,
                          const uint8_t *data, size_t n, size_t step, struct pc_resp_command *c,
                          uint8_t **ret_copy)
{
    int rc = 0;
    uint8_t *copy = NULL;
    *p = (struct pc_resp_parser){0};
    for (size_t at = 0; at < n && rc == 0;) {
        at = n - at > step ? at + step : n;
        free(copy);
        copy = malloc(at);
        PC_ASSERT(copy);
        memcpy(copy, data, at);
        rc = pc_resp_parse(p, limits, copy, at, c);
    }
    *ret_copy = copy;
    return rc;
}

static void check_error(const struct pc_resp_parser *a, const struct pc_resp_parser *b)
{
    uint8_t memory[128];
    struct pc_buf line = pc_buf_of(memory, sizeof memory);
    PC_ASSERT(a->error == b->error && a->error != PC_RESP_E_NONE && a->got == b->got);
    pc_resp_write_protocol_error(&line, a);
    PC_ASSERT(!line.overflow && line.len > 2 && memory[line.len - 1] == '\n');
    PC_ASSERT(memchr(memory, '\n', line.len) == memory + line.len - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct pc_resp_command whole, cut;
    struct pc_resp_limits limits = pc_resp_limits_default;
    struct pc_resp_parser p, q;
    uint8_t *a, *b;
    if (size < 3)
        return 0;
    if (data[1] & 1)
        limits = (struct pc_resp_limits){4, 50, 60, 100, data[1] & 2};
    int want = parse_in_steps(&p, &limits, data + 2, size - 2, size, &whole, &a);
    int got = parse_in_steps(&q, &limits, data + 2, size - 2, 1u + data[0], &cut, &b);
    PC_ASSERT(want == got);
    if (want < 0)
        check_error(&p, &q);
    if (want > 0) {
        PC_ASSERT((size_t)want <= size - 2 && p.pos == 0 && q.pos == 0);
        PC_ASSERT(whole.argc == cut.argc && whole.foreign == cut.foreign);
        for (size_t i = 0; i < whole.argc; i++) {
            PC_ASSERT(whole.argv[i].p >= a && whole.argv[i].p + whole.argv[i].n <= a + want);
            PC_ASSERT(pc_bytes_eq(whole.argv[i], cut.argv[i]));
        }
    }
    free(a);
    free(b);
    return 0;
}
