/* SPDX-License-Identifier: Apache-2.0
 * HTTP/1 request heads. Input: a byte that chooses the cut, a byte that chooses the limits, then
 * the stream. Checked: the verdict is the same whole and cut; every part lies within the head. */
#include <stdlib.h>

#include "edge/wire/http1.h"
#include "edge/wire/path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_span(const struct pc_http_request *r, struct pc_http_span s)
{
    PC_ASSERT((size_t)s.off + s.n <= r->head_n);
}

static void check_request(const struct pc_http_request *r, const struct pc_http1_limits *limits)
{
    PC_ASSERT(r->n_fields <= limits->fields && r->content_length <= limits->body_bytes);
    PC_ASSERT(!r->chunked || !r->content_length);
    PC_ASSERT(!r->expect_continue || r->chunked || r->content_length);
    check_span(r, r->method_name);
    check_span(r, r->target);
    check_span(r, r->authority);
    check_span(r, r->path);
    check_span(r, r->query);
    for (size_t i = 0; i < r->n_fields; i++) {
        check_span(r, r->fields[i].name);
        check_span(r, r->fields[i].value);
        struct pc_bytes name = pc_http_bytes(r, r->fields[i].name);
        PC_ASSERT(name.n > 0 && pc_http_field_of(name) == r->fields[i].id);
        struct pc_bytes value = pc_http_bytes(r, r->fields[i].value);
        for (size_t k = 0; k < value.n; k++)
            PC_ASSERT(value.p[k] >= 0x20 ? value.p[k] != 0x7f : value.p[k] == '\t');
    }
    PC_ASSERT(pc_authority_valid(pc_http_authority(r)));
    (void)pc_authority_host(pc_http_authority(r));
}

/* Feeds in steps, each time an exact copy, so that the buffer moves and ends where it ends. */
static int parse_in_steps(struct pc_http_request *r, const struct pc_http1_limits *limits,
                          const uint8_t *p, size_t n, size_t step, uint8_t **ret_copy)
{
    int rc = 0;
    uint8_t *copy = NULL;
    pc_http1_reset(r);
    for (size_t at = 0; at < n && rc == 0;) {
        at = n - at > step ? at + step : n;
        free(copy);
        copy = malloc(at);
        PC_ASSERT(copy);
        memcpy(copy, p, at);
        rc = pc_http1_parse(r, limits, copy, at);
    }
    *ret_copy = copy;
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct pc_http_request whole, cut;
    struct pc_http1_limits limits = pc_http1_limits_default;
    uint8_t *a, *b;
    if (size < 3)
        return 0;
    if (data[1] & 1)
        limits = (struct pc_http1_limits){40, 100, 5, 1000};
    int want = parse_in_steps(&whole, &limits, data + 2, size - 2, size, &a);
    int got = parse_in_steps(&cut, &limits, data + 2, size - 2, 1u + data[0], &b);
    PC_ASSERT(want == got && pc_http1_reason(&whole) == pc_http1_reason(&cut));
    if (want > 0) {
        check_request(&whole, &limits);
        PC_ASSERT(whole.n_fields == cut.n_fields && whole.seen == cut.seen);
        PC_ASSERT(memcmp(whole.fields, cut.fields, whole.n_fields * sizeof whole.fields[0]) == 0);
    }
    free(a);
    free(b);
    return 0;
}
