/* SPDX-License-Identifier: Apache-2.0
 * Writing the interval log of hdr_log.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#include "load/hdr_log.h"

enum {
    COOKIE_PLAIN = 0x1c849313,
    COOKIE_PACKED = 0x1c849314,
    HEAD_BYTES = 40,
    VARINT_BYTES_MAX = 9,
    PLAIN_BYTES_MAX = HEAD_BYTES + LD_HDR_SLOTS * VARINT_BYTES_MAX,
};

static void put_be(uint8_t *p, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        p[i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
}

/* ZigZag LEB128 of at most nine bytes: the ninth carries eight bits. */
static size_t put_varint(uint8_t *p, int64_t signed_value)
{
    uint64_t value = (uint64_t)signed_value << 1 ^ (uint64_t)(signed_value >> 63);
    size_t n = 0;
    while (value >= 0x80 && n < VARINT_BYTES_MAX - 1) {
        p[n++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    p[n++] = (uint8_t)value;
    return n;
}

static size_t put_counts(uint8_t *p, const struct ld_hdr *h)
{
    size_t n = 0;
    unsigned next = 0;
    for (struct ld_hdr_step step = {0}; ld_hdr_next(h, &step);) {
        const unsigned slot = step.slot - 1;
        if (slot > next)
            n += put_varint(p + n, -(int64_t)(slot - next));
        n += put_varint(p + n, (int64_t)step.count);
        next = slot + 1;
    }
    return n;
}

static size_t put_histogram(uint8_t *p, const struct ld_hdr *h)
{
    const double ratio = 1.0;
    uint64_t ratio_bits;
    const size_t payload = put_counts(p + HEAD_BYTES, h);
    memcpy(&ratio_bits, &ratio, sizeof(ratio_bits));
    put_be(p, COOKIE_PLAIN, 4);
    put_be(p + 4, payload, 4);
    put_be(p + 8, 0, 4);
    put_be(p + 12, LD_HDR_DIGITS, 4);
    put_be(p + 16, (uint64_t)LD_HDR_LOWEST_NS, 8);
    put_be(p + 24, (uint64_t)LD_HDR_HIGHEST_NS, 8);
    put_be(p + 32, ratio_bits, 8);
    return HEAD_BYTES + payload;
}

static void put_base64(char *to, const uint8_t *p, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (; n; p += 3) {
        const size_t part = n < 3 ? n : 3;
        const uint32_t v =
            (uint32_t)p[0] << 16 | (part > 1 ? (uint32_t)p[1] << 8 : 0) | (part > 2 ? p[2] : 0);
        *to++ = digits[v >> 18];
        *to++ = digits[v >> 12 & 63];
        *to++ = part > 1 ? digits[v >> 6 & 63] : '=';
        *to++ = part > 2 ? digits[v & 63] : '=';
        n -= part;
    }
    *to = 0;
}

char *ld_hdr_encode(const struct ld_hdr *h)
{
    uint8_t *plain = malloc(PLAIN_BYTES_MAX);
    uLongf packed_bytes = compressBound(PLAIN_BYTES_MAX);
    uint8_t *packed = malloc(8 + packed_bytes);
    char *text = NULL;
    const uLong plain_bytes = plain ? (uLong)put_histogram(plain, h) : 0;
    if (plain && packed && compress(packed + 8, &packed_bytes, plain, plain_bytes) == Z_OK) {
        put_be(packed, COOKIE_PACKED, 4);
        put_be(packed + 4, packed_bytes, 4);
        text = malloc((8 + packed_bytes + 2) / 3 * 4 + 1);
        if (text)
            put_base64(text, packed, 8 + packed_bytes);
    }
    free(plain);
    free(packed);
    return text;
}

bool ld_hdr_log_open(struct ld_hdr_log *log, const char *path, double start_s,
                     struct ld_problem *problem)
{
    struct tm tm;
    char date[64];
    const time_t seconds = (time_t)start_s;
    log->file = fopen(path, "we");
    if (!log->file)
        return ld_problem_set(problem, "--hdr-log: %s: %s", path, strerror(errno));
    gmtime_r(&seconds, &tm);
    strftime(date, sizeof(date), "%a %b %d %H:%M:%S UTC %Y", &tm);
    fprintf(log->file,
            "#[Logged by portcullis-load " PC_VERSION ", values in nanoseconds]\n"
            "#[Histogram log format version 1.3]\n"
            "#[StartTime: %.3f (seconds since epoch), %s]\n"
            "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\","
            "\"Interval_Compressed_Histogram\"\n",
            start_s, date);
    return true;
}

void ld_hdr_log_interval(struct ld_hdr_log *log, double since_start_s, double length_s,
                         const struct ld_hdr *h)
{
    char *text = log->file ? ld_hdr_encode(h) : NULL;
    if (!text)
        return;
    fprintf(log->file, "%.3f,%.3f,%.3f,%s\n", since_start_s, length_s,
            h->count ? (double)h->max_ns / 1e6 : 0, text);
    free(text);
}

bool ld_hdr_log_close(struct ld_hdr_log *log, struct ld_problem *problem)
{
    if (!log->file)
        return true;
    const bool bad = ferror(log->file) != 0;
    const bool closed = fclose(log->file) == 0;
    log->file = NULL;
    return !bad && closed ? true : ld_problem_set(problem, "--hdr-log: %s", strerror(errno));
}
