/* SPDX-License-Identifier: Apache-2.0
 * IP addresses and prefixes. Pure; any thread; no allocation. The text forms are parsed here and
 * not by inet_pton() because it wants terminated strings and knows no ports or prefixes; the unit
 * test compares the two. */
#include "base/ip.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* IPv4 in IPv6 clothes becomes IPv4: one host, one spelling. */
struct pc_ip pc_ip_of_v6(const uint8_t b[16])
{
    struct pc_ip ip = {.family = 6};
    if (memcmp(b, mapped_prefix, sizeof mapped_prefix) == 0) {
        ip.family = 4;
        memcpy(ip.b, b + 12, 4);
    } else {
        memcpy(ip.b, b, 16);
    }
    return ip;
}

struct pc_ip pc_ip_of_v4(const uint8_t b[4])
{
    struct pc_ip ip = {.family = 4};
    memcpy(ip.b, b, 4);
    return ip;
}

/* One decimal number of a dotted quad; returns its digits, 0 if it is none. */
static size_t parse_octet(const uint8_t *p, size_t n, uint8_t *ret_octet)
{
    unsigned value = 0;
    size_t i = 0;
    while (i < n && i < 3 && p[i] >= '0' && p[i] <= '9')
        value = value * 10 + (p[i++] - '0');
    if (i == 0 || value > 255 || (i > 1 && p[0] == '0'))
        return 0;
    *ret_octet = (uint8_t)value;
    return i;
}

static int parse_ip4(struct pc_bytes s, uint8_t ret_b[4])
{
    uint8_t b[4];
    size_t at = 0;
    for (int i = 0; i < 4; i++) {
        if (i > 0 && (at == s.n || s.p[at++] != '.'))
            return -EINVAL;
        size_t digits = parse_octet(s.p + at, s.n - at, &b[i]);
        if (digits == 0)
            return -EINVAL;
        at += digits;
    }
    if (at != s.n)
        return -EINVAL;
    memcpy(ret_b, b, 4);
    return 0;
}

/* Up to four hexadecimal digits; returns how many, 0 if there are none or more. */
static size_t parse_group(const uint8_t *p, size_t n, uint16_t *ret_group)
{
    unsigned value = 0;
    size_t i = 0;
    for (; i < n && i < 5; i++) {
        uint8_t c = p[i] | 0x20;
        if (p[i] >= '0' && p[i] <= '9')
            value = value << 4 | (unsigned)(p[i] - '0');
        else if (c >= 'a' && c <= 'f')
            value = value << 4 | (unsigned)(c - 'a' + 10);
        else
            break;
    }
    *ret_group = (uint16_t)value;
    return i > 4 ? 0 : i;
}

/* Groups are written to b from the left; at "::" the position is remembered, and what came after
 * it is moved to the right end when the text is used up. */
static int parse_ip6(struct pc_bytes s, uint8_t ret_b[16])
{
    uint8_t b[16] = {0};
    size_t at = 0, len = 0;
    ptrdiff_t gap = -1;
    if (s.n >= 2 && s.p[0] == ':' && s.p[1] == ':')
        gap = 0, at = 2;
    while (at < s.n) {
        uint16_t group;
        size_t digits = parse_group(s.p + at, s.n - at, &group);
        if (len > 14)
            return -EINVAL;
        if (at + digits < s.n && s.p[at + digits] == '.') { /* the last 32 bits as IPv4 */
            if (len > 12 || parse_ip4(pc_bytes_of(s.p + at, s.n - at), b + len))
                return -EINVAL;
            len += 4;
            break;
        }
        if (digits == 0)
            return -EINVAL;
        b[len++] = (uint8_t)(group >> 8);
        b[len++] = (uint8_t)group;
        at += digits;
        if (at == s.n)
            break;
        if (s.p[at++] != ':' || at == s.n)
            return -EINVAL;
        if (s.p[at] == ':') {
            if (gap >= 0)
                return -EINVAL;
            gap = (ptrdiff_t)len;
            at++;
        }
    }
    if (gap < 0 ? len != 16 : len > 14)
        return -EINVAL;
    if (gap >= 0) {
        size_t tail = len - (size_t)gap;
        memmove(b + 16 - tail, b + gap, tail);
        memset(b + gap, 0, 16 - len);
    }
    memcpy(ret_b, b, 16);
    return 0;
}

int pc_ip_parse(struct pc_bytes s, struct pc_ip *ret_ip)
{
    uint8_t b[16] = {0};
    if (s.n == 0 || s.n > PC_IP_TEXT_MAX)
        return -EINVAL;
    if (!memchr(s.p, ':', s.n)) {
        if (parse_ip4(s, b))
            return -EINVAL;
        *ret_ip = pc_ip_of_v4(b);
        return 0;
    }
    if (parse_ip6(s, b))
        return -EINVAL;
    *ret_ip = pc_ip_of_v6(b);
    return 0;
}

static int parse_port(struct pc_bytes s, uint16_t *ret_port)
{
    uint64_t port;
    if (s.n > 5 || pc_bytes_to_u64(s, &port) || port > UINT16_MAX)
        return -EINVAL;
    *ret_port = (uint16_t)port;
    return 0;
}

int pc_ip_parse_port(struct pc_bytes s, struct pc_ip *ret_ip, uint16_t *ret_port)
{
    struct pc_bytes host = s, port = {NULL, 0};
    if (s.n && s.p[0] == '[') {
        const uint8_t *close = memchr(s.p, ']', s.n);
        if (!close || !memchr(s.p, ':', (size_t)(close - s.p)))
            return -EINVAL;
        host = pc_bytes_of(s.p + 1, (size_t)(close - s.p - 1));
        port = pc_bytes_of(close + 1, (size_t)(s.p + s.n - close - 1));
    } else {
        const uint8_t *colon = s.n ? memchr(s.p, ':', s.n) : NULL;
        /* Two colons: bare IPv6, where a port could not be told from a group. */
        if (colon && !memchr(colon + 1, ':', (size_t)(s.p + s.n - colon - 1))) {
            host = pc_bytes_of(s.p, (size_t)(colon - s.p));
            port = pc_bytes_of(colon, (size_t)(s.p + s.n - colon));
        }
    }
    uint16_t number = 0;
    struct pc_ip ip;
    if (port.n && (port.p[0] != ':' || parse_port(pc_bytes_of(port.p + 1, port.n - 1), &number)))
        return -EINVAL;
    if (pc_ip_parse(host, &ip))
        return -EINVAL;
    *ret_ip = ip;
    *ret_port = number;
    return 0;
}

struct pc_ip pc_ip_of_sockaddr(const struct sockaddr *sa)
{
    struct pc_ip ip = {0};
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, sa, sizeof in);
        ip = pc_ip_of_v4((const uint8_t *)&in.sin_addr);
    } else if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, sa, sizeof in6);
        ip = pc_ip_of_v6((const uint8_t *)&in6.sin6_addr);
    }
    return ip;
}

/* The longest run of at least two zero groups, the first of equals (RFC 5952 section 4.2). */
static int longest_zero_run(const uint16_t g[8], int *ret_length)
{
    int best = -1, best_n = 1;
    for (int i = 0; i < 8; i++) {
        int n = 0;
        while (i + n < 8 && g[i + n] == 0)
            n++;
        if (n > best_n)
            best = i, best_n = n;
        i += n;
    }
    *ret_length = best < 0 ? 0 : best_n;
    return best;
}

/* Without leading zeros, lower case. */
static void put_group(struct pc_buf *out, uint16_t group)
{
    static const char digits[] = "0123456789abcdef";
    for (int shift = group > 0xfff  ? 12
                     : group > 0xff ? 8
                     : group > 0xf  ? 4
                                    : 0;
         shift >= 0; shift -= 4)
        pc_buf_char(out, digits[group >> shift & 0xf]);
}

static void format_ip6(const uint8_t b[16], struct pc_buf *out)
{
    uint16_t g[8];
    int run_n;
    for (int i = 0; i < 8; i++)
        g[i] = (uint16_t)(b[2 * i] << 8 | b[2 * i + 1]);
    int run = longest_zero_run(g, &run_n);
    for (int i = 0; i < 8; i++) {
        if (i == run) {
            pc_buf_lit(out, "::");
            i += run_n - 1;
            continue;
        }
        if (i > 0 && i != run + run_n)
            pc_buf_char(out, ':');
        else if (i > 0 && run < 0)
            pc_buf_char(out, ':');
        put_group(out, g[i]);
    }
}

void pc_ip_format(const struct pc_ip *ip, struct pc_buf *b)
{
    if (ip->family == 6) {
        format_ip6(ip->b, b);
        return;
    }
    for (int i = 0; ip->family == 4 && i < 4; i++) {
        if (i > 0)
            pc_buf_char(b, '.');
        pc_buf_u64(b, ip->b[i]);
    }
}

bool pc_ip_is_loopback(const struct pc_ip *ip)
{
    static const uint8_t one[16] = {[15] = 1};
    return ip->family == 4 ? ip->b[0] == 127 : ip->family == 6 && memcmp(ip->b, one, 16) == 0;
}

/* Are the first `bits` bits equal? */
static bool prefix_eq(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned bytes = bits / 8, rest = bits % 8;
    if (memcmp(a, b, bytes) != 0)
        return false;
    return rest == 0 || (uint8_t)((a[bytes] ^ b[bytes]) >> (8 - rest)) == 0;
}

static bool host_bits_zero(const struct pc_ip *ip, unsigned bits)
{
    for (unsigned i = bits; i < (ip->family == 4 ? 32u : 128u); i++)
        if (ip->b[i / 8] & (0x80 >> (i % 8)))
            return false;
    return true;
}

int pc_cidr_parse(struct pc_bytes s, struct pc_cidr *ret_cidr)
{
    const uint8_t *slash = s.n ? memchr(s.p, '/', s.n) : NULL;
    struct pc_bytes host = slash ? pc_bytes_of(s.p, (size_t)(slash - s.p)) : s;
    struct pc_ip ip;
    if (pc_ip_parse(host, &ip))
        return -EINVAL;
    bool mapped = ip.family == 4 && memchr(host.p, ':', host.n);
    unsigned max = ip.family == 4 ? 32 : 128;
    uint64_t bits = max;
    if (slash) {
        struct pc_bytes text = pc_bytes_of(slash + 1, s.n - host.n - 1);
        if (text.n > 3 || (text.n > 1 && text.p[0] == '0') || pc_bytes_to_u64(text, &bits))
            return -EINVAL;
        if (mapped && bits < 96) /* would cover more than IPv4 */
            return -EINVAL;
        bits -= mapped ? 96 : 0;
    }
    if (bits > max || !host_bits_zero(&ip, (unsigned)bits))
        return -EINVAL;
    *ret_cidr = (struct pc_cidr){ip, (uint8_t)bits};
    return 0;
}

/* What is wrong with a text that pc_cidr_parse() refused. */
static const char *cidr_problem(struct pc_bytes host, bool slash)
{
    struct pc_ip ip;
    if (host.n && memchr(host.p, '%', host.n))
        return "zones are not taken";
    if (pc_ip_parse(host, &ip))
        return "not an address or network such as 192.0.2.0/24 or 2001:db8::/32";
    if (!slash)
        return "not an address";
    return "the length behind the slash is no number in range";
}

/* The network an address with host bits lies in; false unless that is what is wrong. */
static bool cidr_meant(struct pc_bytes host, struct pc_bytes length, struct pc_cidr *ret)
{
    struct pc_cidr c;
    uint64_t bits;
    if (pc_ip_parse(host, &c.ip) || length.n == 0 || (length.n > 1 && length.p[0] == '0') ||
        pc_bytes_to_u64(length, &bits) || bits >= (c.ip.family == 4 ? 32 : 128))
        return false;
    c.bits = (uint8_t)bits;
    for (unsigned i = c.bits; i < 128; i++)
        c.ip.b[i / 8] &= (uint8_t) ~(0x80 >> (i % 8));
    *ret = c;
    return true;
}

int pc_cidr_parse_why(struct pc_bytes s, struct pc_cidr *ret_cidr, struct pc_why *why)
{
    if (pc_cidr_parse(s, ret_cidr) == 0)
        return 0;
    const uint8_t *slash = s.n ? memchr(s.p, '/', s.n) : NULL;
    struct pc_bytes host = slash ? pc_bytes_of(s.p, (size_t)(slash - s.p)) : s;
    int shown = (int)pc_min_u64(s.n, 64);
    struct pc_cidr meant;
    char text[PC_CIDR_TEXT_MAX];
    struct pc_buf b = pc_buf_of(text, sizeof text);
    if (!slash || !cidr_meant(host, pc_bytes_of(slash + 1, s.n - host.n - 1), &meant))
        return pc_fail(why, -EINVAL, "\"%.*s\": %s", shown, (const char *)s.p,
                       cidr_problem(host, slash != NULL));
    pc_cidr_format(&meant, &b);
    return pc_fail(why, -EINVAL, "\"%.*s\": bits behind the length are set; the network is %.*s",
                   shown, (const char *)s.p, (int)b.len, text);
}

void pc_cidr_format(const struct pc_cidr *cidr, struct pc_buf *b)
{
    pc_ip_format(&cidr->ip, b);
    pc_buf_char(b, '/');
    pc_buf_u64(b, cidr->bits);
}

bool pc_cidr_contains(const struct pc_cidr *cidr, const struct pc_ip *ip)
{
    return cidr->ip.family == ip->family && ip->family != 0 &&
           prefix_eq(cidr->ip.b, ip->b, cidr->bits);
}

bool pc_cidrs_contain(const struct pc_cidr *cidrs, size_t n, const struct pc_ip *ip)
{
    for (size_t i = 0; i < n; i++)
        if (pc_cidr_contains(&cidrs[i], ip))
            return true;
    return false;
}
