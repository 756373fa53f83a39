/* SPDX-License-Identifier: Apache-2.0
 * PROXY protocol headers. Input: what a connection begins with. Checked: the verdict is the same
 * for every prefix from the one on that decides; what is taken lies within the limits; addresses
 * written as a header of either version come back. */
#include <stdlib.h>

#include "edge/wire/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same(const struct pc_proxy *a, const struct pc_proxy *b)
{
    return a->version == b->version && a->local == b->local && a->known == b->known &&
           pc_ip_eq(&a->source, &b->source) && pc_ip_eq(&a->destination, &b->destination) &&
           a->source_port == b->source_port && a->destination_port == b->destination_port;
}

/* The first prefix with a verdict, from a copy that ends where it ends. */
static int first_verdict(const uint8_t *data, size_t size, struct pc_proxy *h, size_t *ret_n)
{
    for (size_t n = 1; n <= size; n++) {
        uint8_t *copy = malloc(n);
        PC_ASSERT(copy);
        memcpy(copy, data, n);
        int rc = pc_proxy_parse(copy, n, h);
        free(copy);
        if (rc) {
            *ret_n = n;
            return rc;
        }
    }
    return 0;
}

/* A header of version 1 about the same addresses says the same. */
static void check_line(const struct pc_proxy *h)
{
    char memory[PC_PROXY_V1_MAX + 32];
    struct pc_buf b = pc_buf_of(memory, sizeof memory);
    struct pc_proxy again;
    bool v6 = h->source.family == 6;
    if (h->source.family != h->destination.family)
        return;
    pc_buf_fmt(&b, "PROXY TCP%c ", v6 ? '6' : '4');
    pc_ip_format(&h->source, &b);
    pc_buf_char(&b, ' ');
    pc_ip_format(&h->destination, &b);
    pc_buf_fmt(&b, " %u %u\r\n", h->source_port, h->destination_port);
    PC_ASSERT(!b.overflow && pc_proxy_parse(b.p, b.len, &again) == (int)b.len);
    again.version = h->version;
    PC_ASSERT(same(h, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pc_proxy h = {0}, whole = {0};
    size_t n = 0;
    if (size > 2 * PC_PROXY_HEADER_MAX)
        return 0;
    int rc = first_verdict(data, size, &h, &n);
    PC_ASSERT(pc_proxy_parse(data, size, &whole) == rc);
    if (rc <= 0)
        return 0;
    PC_ASSERT((size_t)rc == n && same(&h, &whole));
    PC_ASSERT(n <= (h.version == 1 ? PC_PROXY_V1_MAX : PC_PROXY_HEADER_MAX));
    PC_ASSERT(!h.known || (h.source.family && h.destination.family && !h.local));
    if (h.known)
        check_line(&h);
    return 0;
}
