/* SPDX-License-Identifier: Apache-2.0
 * Walking Forwarded and X-Forwarded-For from the right. Pure; any thread; no allocation.
 *
 * Both are cut at commas from the right, so that nothing a client put on the left (an open quote,
 * say) can swallow what a trusted proxy appended. A comma inside a quoted string of Forwarded
 * leaves a piece with an odd number of quotes; such a piece is extended to the next comma. */
#include "edge/wire/forwarded.h"

#include "edge/wire/chars.h"

/* Reads elements from the last value's end towards the first value's beginning. */
struct walk {
    enum pc_forwarded_syntax syntax;
    const struct pc_bytes *values;
    size_t n_values;      /* values[0..n_values) are not used up */
    struct pc_bytes left; /* what is left of values[n_values], if `open` */
    bool open;
};

static struct pc_bytes trim(struct pc_bytes s)
{
    while (s.n && pc_char_blank(s.p[0]))
        s.p++, s.n--;
    while (s.n && pc_char_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

/* Where the last element of s begins. */
static size_t last_element(enum pc_forwarded_syntax syntax, struct pc_bytes s)
{
    bool quoted = false;
    size_t at = s.n;
    for (; at > 0; at--) {
        uint8_t c = s.p[at - 1];
        if (c == ',' && !quoted)
            break;
        if (c == '"' && syntax == PC_FORWARDED_RFC7239)
            quoted = !quoted;
    }
    return at;
}

/* The next element towards the left, trimmed; empty elements are skipped, as lists allow them. */
static bool next_element(struct walk *w, struct pc_bytes *ret_element)
{
    for (;;) {
        if (!w->open) {
            if (w->n_values == 0)
                return false;
            w->left = w->values[--w->n_values];
            w->open = w->left.n > 0;
            if (!w->open)
                continue;
        }
        size_t at = last_element(w->syntax, w->left);
        struct pc_bytes element = trim(pc_bytes_of(w->left.p + at, w->left.n - at));
        w->open = at > 0;
        w->left.n = at > 0 ? at - 1 : 0; /* without the comma */
        if (element.n) {
            *ret_element = element;
            return true;
        }
    }
}

/* Cuts `name=value` off the front of a forwarded-element; the value without its quotes. Quoted
 * pairs are refused: no address, scheme or host needs them. */
static int cut_pair(struct pc_bytes *element, struct pc_bytes *ret_name, struct pc_bytes *ret_value)
{
    const uint8_t *p = element->p, *end = p + element->n;
    const uint8_t *equals = pc_scan_token(p, end);
    if (equals == p || equals == end || *equals != '=')
        return -1;
    const uint8_t *value = equals + 1, *stop, *next;
    if (value < end && *value == '"') {
        for (stop = ++value; stop < end && *stop != '"'; stop++)
            if (*stop == '\\' || !pc_char_is(*stop, PC_CHAR_TEXT))
                return -1;
        if (stop == end)
            return -1;
        next = stop + 1;
    } else {
        next = stop = pc_scan_token(value, end);
        if (stop == value)
            return -1;
    }
    while (next < end && pc_char_blank(*next))
        next++;
    if (next < end && *next++ != ';')
        return -1;
    while (next < end && pc_char_blank(*next))
        next++;
    *ret_name = pc_bytes_of(p, (size_t)(equals - p));
    *ret_value = pc_bytes_of(value, (size_t)(stop - value));
    *element = pc_bytes_of(next, (size_t)(end - next));
    return 0;
}

/* The node of `for=` in a forwarded-element; exactly one must be there. */
static int for_node(struct pc_bytes element, struct pc_bytes *ret_node)
{
    struct pc_bytes name, value, node = {NULL, 0};
    while (element.n) {
        if (cut_pair(&element, &name, &value))
            return -1;
        if (!pc_bytes_eq_nocase(name, PC_LIT("for")))
            continue;
        if (node.p)
            return -1;
        node = value;
    }
    *ret_node = node;
    return node.p ? 0 : -1;
}

static int element_ip(enum pc_forwarded_syntax syntax, struct pc_bytes element,
                      struct pc_ip *ret_ip)
{
    uint16_t port;
    if (syntax == PC_FORWARDED_RFC7239 && for_node(element, &element))
        return -1;
    return pc_ip_parse_port(element, ret_ip, &port);
}

void pc_forwarded_client(enum pc_forwarded_syntax syntax, const struct pc_bytes *values, size_t n,
                         const struct pc_ip *peer, const struct pc_cidr *trusted, size_t n_trusted,
                         struct pc_client_addr *ret_client)
{
    struct walk w = {.syntax = syntax, .values = values, .n_values = n};
    struct pc_client_addr c = {.ip = *peer};
    struct pc_bytes element;
    /* No entry of a list can have family 0, so that is the peer. */
    while ((c.ip.family == 0 || pc_cidrs_contain(trusted, n_trusted, &c.ip)) &&
           next_element(&w, &element)) {
        struct pc_ip ip;
        if (c.hops == PC_FORWARDED_HOPS_MAX || element_ip(syntax, element, &ip)) {
            c.malformed = true;
            break;
        }
        c.ip = ip;
        c.hops++;
    }
    *ret_client = c;
}
