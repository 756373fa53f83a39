/* SPDX-License-Identifier: Apache-2.0
 * Durations, sizes, modes and addresses as text. Pure; any thread. */
#include "base/config_value.h"

#include <errno.h>

struct unit {
    const char *suffix;
    uint64_t factor;
};

/* Largest first: the formatters take the first that divides. */
static const struct unit duration_units[] = {
    {"d",  86400000},
    {"h",  3600000 },
    {"m",  60000   },
    {"s",  1000    },
    {"ms", 1       },
};
static const struct unit size_units[] = {
    {"GiB", UINT64_C(1) << 30},
    {"MiB", 1 << 20          },
    {"KiB", 1 << 10          },
    {"B",   1                },
};

/* A number followed by exactly one of the units; "0" and, where bare is set, any number, may go
 * without. */
static int parse_with_unit(struct pc_bytes text, const struct unit *units, size_t n, bool bare,
                           uint64_t *ret_value)
{
    size_t digits = 0;
    uint64_t number;
    while (digits < text.n && text.p[digits] >= '0' && text.p[digits] <= '9')
        digits++;
    int err = pc_bytes_to_u64(pc_bytes_of(text.p, digits), &number);
    if (err)
        return err;
    struct pc_bytes suffix = pc_bytes_of(text.p + digits, text.n - digits);
    if (suffix.n == 0 && (bare || number == 0)) {
        *ret_value = number;
        return 0;
    }
    for (size_t i = 0; i < n; i++)
        if (pc_bytes_eq_str(suffix, units[i].suffix)) {
            if (__builtin_mul_overflow(number, units[i].factor, &number))
                return -ERANGE;
            *ret_value = number;
            return 0;
        }
    return -EINVAL;
}

static void format_with_unit(uint64_t value, const struct unit *units, size_t n, struct pc_buf *b)
{
    size_t i = 0;
    while (i + 1 < n && (value == 0 || value % units[i].factor))
        i++;
    pc_buf_u64(b, value / units[i].factor);
    pc_buf_str(b, units[i].suffix);
}

int pc_duration_parse(struct pc_bytes text, int64_t *ret_ms)
{
    uint64_t ms;
    int err = parse_with_unit(text, duration_units, PC_COUNT(duration_units), false, &ms);
    if (err)
        return err;
    if (ms > INT64_MAX)
        return -ERANGE;
    *ret_ms = (int64_t)ms;
    return 0;
}

void pc_duration_format(int64_t ms, struct pc_buf *b)
{
    PC_ASSERT(ms >= 0);
    if (ms == 0) {
        pc_buf_lit(b, "0s");
        return;
    }
    format_with_unit((uint64_t)ms, duration_units, PC_COUNT(duration_units), b);
}

int pc_size_parse(struct pc_bytes text, uint64_t *ret_bytes)
{
    return parse_with_unit(text, size_units, PC_COUNT(size_units), true, ret_bytes);
}

void pc_size_format(uint64_t bytes, struct pc_buf *b)
{
    format_with_unit(bytes, size_units, PC_COUNT(size_units), b);
}

int pc_mode_parse(struct pc_bytes text, uint64_t *ret_mode)
{
    uint64_t mode = 0;
    if (text.n == 0 || text.n > 5)
        return -EINVAL;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '7')
            return -EINVAL;
        mode = mode << 3 | (uint64_t)(text.p[i] - '0');
    }
    if (mode > 0777)
        return -ERANGE;
    *ret_mode = mode;
    return 0;
}

static bool starts_with(struct pc_bytes text, struct pc_bytes prefix)
{
    return text.n >= prefix.n && memcmp(text.p, prefix.p, prefix.n) == 0;
}

static struct pc_bytes without(struct pc_bytes text, size_t n)
{
    return pc_bytes_of(text.p + n, text.n - n);
}

static int parse_unix(struct pc_bytes path, struct pc_address *ret_address)
{
    struct pc_address a = {.port = 0};
    if (path.n < 2 || path.n > PC_UNIX_PATH_MAX || path.p[0] != '/' || memchr(path.p, 0, path.n))
        return -EINVAL;
    memcpy(a.path, path.p, path.n);
    *ret_address = a;
    return 0;
}

static int parse_localhost(struct pc_bytes port, struct pc_address *ret_address)
{
    uint64_t number;
    if (pc_bytes_to_u64(port, &number) || number > UINT16_MAX)
        return -EINVAL;
    *ret_address = (struct pc_address){
        .ip = {.family = 4, .b = {127, 0, 0, 1}},
          .port = (uint16_t)number
    };
    return 0;
}

/* Whether a port is written at all; the parser of addresses cannot tell ":0" from none. */
static bool has_port(struct pc_bytes text)
{
    size_t i = text.n;
    while (i && text.p[i - 1] >= '0' && text.p[i - 1] <= '9')
        i--;
    if (i == text.n || i == 0 || text.p[i - 1] != ':')
        return false;
    /* Either the only colon, or one after a bracket: else it is inside an IPv6 address. */
    return memchr(text.p, ':', i - 1) == NULL || (i >= 2 && text.p[i - 2] == ']');
}

int pc_address_parse(struct pc_bytes text, struct pc_address *ret_address)
{
    struct pc_address a = {.port = 0};
    if (starts_with(text, PC_LIT("unix:")))
        return parse_unix(without(text, 5), ret_address);
    if (starts_with(text, PC_LIT("localhost:")))
        return parse_localhost(without(text, 10), ret_address);
    if (!has_port(text) || pc_ip_parse_port(text, &a.ip, &a.port))
        return -EINVAL;
    *ret_address = a;
    return 0;
}

void pc_address_format(const struct pc_address *a, struct pc_buf *b)
{
    if (a->ip.family == 0) {
        pc_buf_lit(b, "unix:");
        pc_buf_str(b, a->path);
        return;
    }
    if (a->ip.family == 6)
        pc_buf_char(b, '[');
    pc_ip_format(&a->ip, b);
    if (a->ip.family == 6)
        pc_buf_char(b, ']');
    pc_buf_char(b, ':');
    pc_buf_u64(b, a->port);
}

bool pc_address_is_local(const struct pc_address *a)
{
    return a->ip.family == 0 || pc_ip_is_loopback(&a->ip);
}
