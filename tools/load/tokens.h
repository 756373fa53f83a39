/* SPDX-License-Identifier: Apache-2.0
 * Tokens minted in advance, in one run of memory that is the same in a file: minted once, used
 * again by every run. Read-only once made: any thread. The file is outside bytes; ld_tokens_open()
 * believes nothing of it before it is checked.
 *
 *     0    magic "PCTOKENS"                            little-endian throughout
 *     8    u32 version (1)        12  u32 stride: bytes of a record, a multiple of 64
 *    16    u64 count
 *    24    i64 minted at, s       32  i64 good tokens expire at, s (Unix time)
 *    40    u64 count of each kind, in the order of enum ld_token_kind
 *   104    u8 bytes of the issuer, then the issuer (255 at most)
 *   508    u32 CRC32C of the 508 bytes before it
 *  4096    records, all of one kind after another: a kind is a range
 *
 *     record:  0  u16 bytes of the token   2  u8 kind   3  u8 bytes of sub
 *              4  jti, 36 characters      40  sub, at most 24
 *             64  the token, up to the stride
 *
 * Valid: magic, version, CRC, the counts of kinds sum up to count, size = 4096 + count x stride,
 * and every record's lengths lie within it and its kind is that of its range. A record is one
 * cache line of what an answer is compared with, then the lines that are sent: a token out of
 * millions costs no look-up beside its own lines, and those can be asked for ahead. */
#ifndef LD_TOKENS_H
#define LD_TOKENS_H

#include "base/bytes.h"
#include "load/source.h"

enum ld_token_kind {
    LD_TOKEN_GOOD,
    LD_TOKEN_REVOKED, /* good, and revoked before the run */
    LD_TOKEN_EXPIRED,
    LD_TOKEN_MALFORMED,
    LD_TOKEN_UNKNOWN_ISSUER,
    LD_TOKEN_UNKNOWN_KEY,
    LD_TOKEN_BAD_SIGNATURE,
    LD_TOKEN_NOT_YET_VALID,
    LD_TOKEN_KINDS
};

#define LD_TOKENS_HEAD       4096
#define LD_TOKENS_STRIDE_MAX 8192
#define LD_TOKENS_COUNT_MAX  UINT64_C(99999999) /* subjects have eight digits */
#define LD_ISSUER_MAX        255
#define LD_JTI_CHARS         36
#define LD_SUB_MAX           24

struct ld_token {
    struct pc_bytes text, sub;
    const char *jti; /* LD_JTI_CHARS, not terminated */
    enum ld_token_kind kind;
};

struct ld_tokens {
    const uint8_t *records;
    uint32_t stride;
    uint64_t count;
    uint64_t first[LD_TOKEN_KINDS], of_kind[LD_TOKEN_KINDS];
    int64_t minted_at_s, expires_at_s;
    char issuer[LD_ISSUER_MAX + 1];
    void *mapping;
    size_t mapping_bytes;
};

/* "good", "revoked", … as in workload files; LD_TOKEN_KINDS for no such word. */
const char *ld_token_kind_name(enum ld_token_kind kind);
enum ld_token_kind ld_token_kind_of_name(struct pc_bytes name);

/* A run of memory (anonymous, huge pages where the system gives them; or the file at path, created)
 * for count_of_kind records; the header is written by ld_tokens_seal(). */
bool ld_tokens_create(const char *path, const uint64_t count_of_kind[LD_TOKEN_KINDS],
                      uint32_t stride, const char *issuer, struct ld_tokens *ret_tokens,
                      struct ld_problem *);
/* Writes the header; a file is complete on disk only now. */
bool ld_tokens_seal(struct ld_tokens *, int64_t minted_at_s, int64_t expires_at_s,
                    struct ld_problem *);
/* Room of record i, before the seal. */
static inline uint8_t *ld_tokens_room(struct ld_tokens *t, uint64_t i)
{
    return (uint8_t *)t->mapping + LD_TOKENS_HEAD + i * t->stride;
}
void ld_tokens_put(struct ld_tokens *, uint64_t i, const struct ld_token *);

/* Checks all of the file. Its bytes are copied to huge pages where there is room, else mapped. */
bool ld_tokens_open(const char *path, struct ld_tokens *ret_tokens, struct ld_problem *);
/* The same of bytes in memory, which stay the caller's: for tests. */
bool ld_tokens_read(const char *name, const uint8_t *bytes, size_t n, struct ld_tokens *ret_tokens,
                    struct ld_problem *);
void ld_tokens_close(struct ld_tokens *);

static inline const uint8_t *ld_tokens_record(const struct ld_tokens *t, uint64_t i)
{
    return t->records + i * t->stride;
}

/* i < count. */
static inline struct ld_token ld_tokens_at(const struct ld_tokens *t, uint64_t i)
{
    const uint8_t *r = ld_tokens_record(t, i);
    return (struct ld_token){
        .text = {r + 64, (size_t)(r[0] | r[1] << 8)},
        .sub = {r + 40, r[3]                      },
        .jti = (const char *)r + 4,
        .kind = (enum ld_token_kind)r[2]
    };
}

/* Asks for the lines of record i, so that they are there some hundred nanoseconds later. */
static inline void ld_tokens_prefetch(const struct ld_tokens *t, uint64_t i)
{
    const uint8_t *r = ld_tokens_record(t, i);
    for (uint32_t at = 0; at < t->stride; at += 64)
        __builtin_prefetch(r + at);
}

#endif
