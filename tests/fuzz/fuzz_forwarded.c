/* SPDX-License-Identifier: Apache-2.0
 * Forwarded and X-Forwarded-For, and the addresses in them. Input: a byte that chooses the syntax
 * and whether the peer is trusted, then field values separated by LF. Checked: an untrusted peer
 * is the client; appending what a trusted proxy appends gives what it appended, whatever stands on
 * its left; addresses survive formatting. */
#include <stdlib.h>

#include "edge/wire/forwarded.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define VALUES_MAX 4

static size_t split_values(const uint8_t *p, size_t n, struct pc_bytes values[VALUES_MAX])
{
    size_t count = 0;
    while (count < VALUES_MAX - 1) {
        const uint8_t *lf = n ? memchr(p, '\n', n) : NULL;
        values[count++] = pc_bytes_of(p, lf ? (size_t)(lf - p) : n);
        if (!lf)
            break;
        n -= (size_t)(lf + 1 - p);
        p = lf + 1;
    }
    return count;
}

static void check_ip_text(struct pc_bytes text)
{
    struct pc_ip ip, again;
    uint16_t port;
    if (pc_ip_parse_port(text, &ip, &port))
        return;
    char memory[PC_IP_TEXT_MAX];
    struct pc_buf b = pc_buf_of(memory, sizeof memory);
    pc_ip_format(&ip, &b);
    PC_ASSERT(!b.overflow && pc_ip_parse(pc_bytes_of(b.p, b.len), &again) == 0);
    PC_ASSERT(pc_ip_eq(&ip, &again));
}

/* The proxy appends to the last field value, as proxies do. */
static void check_append(enum pc_forwarded_syntax syntax, const uint8_t *p, size_t n,
                         const struct pc_ip *peer, const struct pc_cidr *trusted)
{
    static const char *const appended[] = {", 198.51.100.7", ", for=198.51.100.7"};
    size_t tail = strlen(appended[syntax]);
    uint8_t *longer = malloc(n + tail);
    struct pc_client_addr client;
    PC_ASSERT(longer);
    memcpy(longer, p, n);
    memcpy(longer + n, appended[syntax], tail);
    struct pc_bytes value = pc_bytes_of(longer, n + tail);
    pc_forwarded_client(syntax, &value, 1, peer, trusted, 1, &client);
    PC_ASSERT(!client.malformed && client.hops == 1 && client.ip.b[0] == 198);
    free(longer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pc_bytes values[VALUES_MAX];
    struct pc_client_addr client;
    struct pc_cidr trusted, parsed;
    struct pc_ip peer;
    if (size < 2)
        return 0;
    enum pc_forwarded_syntax syntax = data[0] & 1 ? PC_FORWARDED_RFC7239 : PC_FORWARDED_X_FOR;
    bool trust = data[0] & 2;
    PC_ASSERT(pc_cidr_parse(PC_LIT("10.0.0.0/8"), &trusted) == 0);
    PC_ASSERT(pc_ip_parse(trust ? PC_LIT("10.0.0.1") : PC_LIT("192.0.2.1"), &peer) == 0);
    size_t n = split_values(data + 1, size - 1, values);
    pc_forwarded_client(syntax, values, n, &peer, &trusted, 1, &client);
    PC_ASSERT(client.hops <= PC_FORWARDED_HOPS_MAX);
    PC_ASSERT(trust || (client.hops == 0 && !client.malformed && pc_ip_eq(&client.ip, &peer)));
    if (trust)
        check_append(syntax, data + 1, size - 1, &peer, &trusted);
    for (size_t i = 0; i < n; i++) {
        check_ip_text(values[i]);
        if (pc_cidr_parse(values[i], &parsed) == 0)
            PC_ASSERT(pc_cidr_contains(&parsed, &parsed.ip));
    }
    return 0;
}
