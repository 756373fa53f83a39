/* SPDX-License-Identifier: Apache-2.0
 * Parsing PROXY protocol headers. Pure; any thread; no allocation.
 *
 * Bytes are judged in their order, so that the answer is the same however the network cuts them:
 * the first byte that cannot belong to a good header ends it. */
#include "edge/wire/proxy.h"

#include "base/crc32c.h"

#define V2_FIXED_BYTES 16
#define V2_VERSION     2
#define V2_LOCAL       0
#define V2_PROXY       1
#define TLV_CRC32C     3
#define TLV_HEAD_BYTES 3
#define CRC_BYTES      4

/* ---- version 1 ---- */

static const char v1_start[] = "PROXY ";
#define V1_START_BYTES (sizeof v1_start - 1)

/* Length of the line with its CR LF; 0: not complete. */
static int v1_line(const uint8_t *p, size_t n)
{
    for (size_t i = V1_START_BYTES; i < PC_PROXY_V1_MAX - 1; i++) {
        if (i >= n)
            return 0;
        if (p[i] == '\r') {
            if (i + 1 >= n)
                return 0;
            return p[i + 1] == '\n' ? (int)(i + 2) : PC_E_SYNTAX;
        }
        if (p[i] < 0x20 || p[i] > 0x7e)
            return PC_E_SYNTAX;
    }
    return PC_E_TOO_LARGE;
}

/* Cuts the word up to the next single blank, or all that is left. */
static struct pc_bytes v1_word(struct pc_bytes *line)
{
    const uint8_t *blank = line->n ? memchr(line->p, ' ', line->n) : NULL;
    size_t n = blank ? (size_t)(blank - line->p) : line->n;
    struct pc_bytes word = pc_bytes_of(line->p, n);
    n += blank != NULL;
    *line = pc_bytes_of(line->p + n, line->n - n);
    return word;
}

static int v1_address(struct pc_bytes word, bool v6, struct pc_ip *ret_ip)
{
    bool colon = word.n && memchr(word.p, ':', word.n);
    return colon == v6 && pc_ip_parse(word, ret_ip) == 0 ? 0 : PC_E_SYNTAX;
}

static int v1_port(struct pc_bytes word, uint16_t *ret_port)
{
    uint64_t port;
    if (word.n > 5 || (word.n > 1 && word.p[0] == '0') || pc_bytes_to_u64(word, &port) ||
        port > UINT16_MAX)
        return PC_E_SYNTAX;
    *ret_port = (uint16_t)port;
    return 0;
}

static int v1_addresses(struct pc_bytes line, bool v6, struct pc_proxy *h)
{
    int rc = v1_address(v1_word(&line), v6, &h->source);
    if (rc == 0)
        rc = v1_address(v1_word(&line), v6, &h->destination);
    if (rc == 0)
        rc = v1_port(v1_word(&line), &h->source_port);
    if (rc == 0)
        rc = v1_port(line, &h->destination_port); /* all of the rest: nothing may follow */
    h->known = rc == 0;
    return rc;
}

static int parse_v1(const uint8_t *p, size_t n, struct pc_proxy *ret_header)
{
    struct pc_proxy h = {.version = 1};
    if (memcmp(p, v1_start, n < V1_START_BYTES ? n : V1_START_BYTES) != 0)
        return PC_E_SYNTAX;
    int length = v1_line(p, n), rc = 0;
    if (length <= 0)
        return length;
    struct pc_bytes line = pc_bytes_of(p + V1_START_BYTES, (size_t)length - 2 - V1_START_BYTES);
    struct pc_bytes family = v1_word(&line);
    if (pc_bytes_eq_str(family, "TCP4"))
        rc = v1_addresses(line, false, &h);
    else if (pc_bytes_eq_str(family, "TCP6"))
        rc = v1_addresses(line, true, &h);
    else if (!pc_bytes_eq_str(family, "UNKNOWN")) /* whatever follows UNKNOWN is to be ignored */
        rc = PC_E_SYNTAX;
    if (rc < 0)
        return rc;
    *ret_header = h;
    return length;
}

/* ---- version 2 ---- */

static const uint8_t v2_signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                         0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

static uint16_t be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

/* The families and transports that exist, and the bytes of their addresses. Datagrams are known,
 * but no connection of ours can have been one. */
static int v2_address_bytes(uint8_t family)
{
    switch (family) {
    case 0x00: return 0;
    case 0x11: return 12;
    case 0x21: return 36;
    case 0x31: return 216;
    case 0x12:
    case 0x22:
    case 0x32: return PC_E_UNSUPPORTED;
    default: return PC_E_SYNTAX;
    }
}

/* The checksum covers p[0..n) with its own bytes, at `at`, as 0. */
static bool crc_holds(const uint8_t *p, size_t n, size_t at)
{
    static const uint8_t zeros[CRC_BYTES] = {0};
    uint32_t crc = pc_crc32c(0, p, at);
    crc = pc_crc32c(crc, zeros, CRC_BYTES);
    crc = pc_crc32c(crc, p + at + CRC_BYTES, n - at - CRC_BYTES);
    return crc == ((uint32_t)be16(p + at) << 16 | be16(p + at + 2));
}

/* Everything behind the addresses: well formed, and the checksum right if there is one. */
static int v2_tlvs(const uint8_t *p, size_t at, size_t n)
{
    size_t crc_at = 0;
    for (unsigned count = 0; at < n; count++) {
        if (count == PC_PROXY_TLVS_MAX)
            return PC_E_TOO_LARGE;
        if (n - at < TLV_HEAD_BYTES || n - at - TLV_HEAD_BYTES < be16(p + at + 1))
            return PC_E_SYNTAX;
        size_t value_n = be16(p + at + 1);
        if (p[at] == TLV_CRC32C) {
            if (crc_at || value_n != CRC_BYTES)
                return PC_E_SYNTAX;
            crc_at = at + TLV_HEAD_BYTES;
        }
        at += TLV_HEAD_BYTES + value_n;
    }
    return crc_at && !crc_holds(p, n, crc_at) ? PC_E_DAMAGED : 0;
}

static void v2_addresses(const uint8_t *p, uint8_t family, struct pc_proxy *h)
{
    if (family == 0x11) {
        h->source = pc_ip_of_v4(p);
        h->destination = pc_ip_of_v4(p + 4);
        h->source_port = be16(p + 8);
        h->destination_port = be16(p + 10);
    } else if (family == 0x21) {
        h->source = pc_ip_of_v6(p);
        h->destination = pc_ip_of_v6(p + 16);
        h->source_port = be16(p + 32);
        h->destination_port = be16(p + 34);
    }
    h->known = h->source.family != 0;
}

/* The fixed part as far as it is there. */
static int v2_fixed(const uint8_t *p, size_t n)
{
    size_t have = n < sizeof v2_signature ? n : sizeof v2_signature;
    if (memcmp(p, v2_signature, have) != 0)
        return PC_E_SYNTAX;
    if (n > 12 && p[12] >> 4 != V2_VERSION)
        return PC_E_UNSUPPORTED;
    if (n > 12 && (p[12] & 15) > V2_PROXY)
        return PC_E_SYNTAX;
    if (n > 13 && (p[12] & 15) == V2_PROXY && v2_address_bytes(p[13]) < 0)
        return v2_address_bytes(p[13]);
    return 0;
}

static int parse_v2(const uint8_t *p, size_t n, struct pc_proxy *ret_header)
{
    int rc = v2_fixed(p, n);
    if (rc < 0 || n < V2_FIXED_BYTES)
        return rc;
    struct pc_proxy h = {.version = 2, .local = (p[12] & 15) == V2_LOCAL};
    size_t rest = be16(p + 14), length = V2_FIXED_BYTES + rest;
    /* What LOCAL carries is to be skipped unseen, its family too. */
    size_t addresses = h.local ? 0 : (size_t)v2_address_bytes(p[13]);
    if (length > PC_PROXY_HEADER_MAX)
        return PC_E_TOO_LARGE;
    if (rest < addresses)
        return PC_E_SYNTAX;
    if (n < length)
        return 0;
    if (!h.local) {
        rc = v2_tlvs(p, V2_FIXED_BYTES + addresses, length);
        if (rc < 0)
            return rc;
        v2_addresses(p + V2_FIXED_BYTES, p[13], &h);
    }
    *ret_header = h;
    return (int)length;
}

int pc_proxy_parse(const uint8_t *p, size_t n, struct pc_proxy *ret_header)
{
    if (n == 0)
        return 0;
    return p[0] == 'P' ? parse_v1(p, n, ret_header) : parse_v2(p, n, ret_header);
}
