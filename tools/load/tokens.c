/* SPDX-License-Identifier: Apache-2.0
 * Token files: making room for them, sealing, mapping, checking. */
#include "load/tokens.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/err.h"

#define MAGIC           "PCTOKENS"
#define FORMAT_VERSION  1
#define ISSUER_AT       104
#define CRC_AT          508
#define HUGE_PAGE_BYTES (2 << 20)

static const char *const kind_names[LD_TOKEN_KINDS] = {
    [LD_TOKEN_GOOD] = "good",
    [LD_TOKEN_REVOKED] = "revoked",
    [LD_TOKEN_EXPIRED] = "expired",
    [LD_TOKEN_MALFORMED] = "malformed",
    [LD_TOKEN_UNKNOWN_ISSUER] = "unknown_issuer",
    [LD_TOKEN_UNKNOWN_KEY] = "unknown_key",
    [LD_TOKEN_BAD_SIGNATURE] = "bad_signature",
    [LD_TOKEN_NOT_YET_VALID] = "not_yet_valid",
};

const char *ld_token_kind_name(enum ld_token_kind kind)
{
    return kind_names[kind];
}

enum ld_token_kind ld_token_kind_of_name(struct pc_bytes name)
{
    unsigned kind = 0;
    while (kind < LD_TOKEN_KINDS && !pc_bytes_eq_str(name, kind_names[kind]))
        kind++;
    return (enum ld_token_kind)kind;
}

static void put_le(uint8_t *p, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        p[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t get_le(const uint8_t *p, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)p[i] << 8 * i;
    return value;
}

/* The kinds' ranges follow from their counts. */
static void set_ranges(struct ld_tokens *t, const uint64_t count_of_kind[LD_TOKEN_KINDS])
{
    t->count = 0;
    for (unsigned kind = 0; kind < LD_TOKEN_KINDS; kind++) {
        t->first[kind] = t->count;
        t->of_kind[kind] = count_of_kind[kind];
        t->count += count_of_kind[kind];
    }
}

/* ---- Making. ---- */

static void *map_file(const char *path, size_t bytes, struct ld_problem *problem)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        ld_problem_set(problem, "%s: %s", path, pc_strerror(-errno));
        return NULL;
    }
    /* Reserved, so that a full disk is an error here and no SIGBUS later. */
    int err = posix_fallocate(fd, 0, (off_t)bytes);
    void *p = err ? MAP_FAILED : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        ld_problem_set(problem, "%s: %zu bytes: %s", path, bytes, pc_strerror(err ? -err : -errno));
    close(fd);
    return p == MAP_FAILED ? NULL : p;
}

static void *map_memory(size_t bytes, struct ld_problem *problem)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        ld_problem_set(problem, "%zu bytes for tokens: %s", bytes, pc_strerror(-errno));
        return NULL;
    }
    if (bytes >= HUGE_PAGE_BYTES)
        (void)madvise(p, bytes, MADV_HUGEPAGE); /* a wish; without it there are more TLB misses */
    return p;
}

bool ld_tokens_create(const char *path, const uint64_t count_of_kind[LD_TOKEN_KINDS],
                      uint32_t stride, const char *issuer, struct ld_tokens *ret_tokens,
                      struct ld_problem *problem)
{
    struct ld_tokens t = {.stride = stride};
    PC_ASSERT(stride % 64 == 0 && stride >= 128 && stride <= LD_TOKENS_STRIDE_MAX);
    set_ranges(&t, count_of_kind);
    if (t.count == 0 || t.count > LD_TOKENS_COUNT_MAX)
        return ld_problem_set(problem, "between 1 and %llu tokens can be minted",
                              (unsigned long long)LD_TOKENS_COUNT_MAX);
    size_t n = strlen(issuer);
    if (n == 0 || n > LD_ISSUER_MAX)
        return ld_problem_set(problem, "an issuer's name has 1 to %d bytes", LD_ISSUER_MAX);
    memcpy(t.issuer, issuer, n + 1);
    t.mapping_bytes = LD_TOKENS_HEAD + t.count * stride;
    t.mapping =
        path ? map_file(path, t.mapping_bytes, problem) : map_memory(t.mapping_bytes, problem);
    if (!t.mapping)
        return false;
    t.records = (uint8_t *)t.mapping + LD_TOKENS_HEAD;
    *ret_tokens = t;
    return true;
}

void ld_tokens_put(struct ld_tokens *t, uint64_t i, const struct ld_token *token)
{
    uint8_t *r = ld_tokens_room(t, i);
    PC_ASSERT(i < t->count && token->text.n <= t->stride - 64 && token->sub.n <= LD_SUB_MAX);
    put_le(r, token->text.n, 2);
    r[2] = (uint8_t)token->kind;
    r[3] = (uint8_t)token->sub.n;
    memcpy(r + 4, token->jti, LD_JTI_CHARS);
    memcpy(r + 40, token->sub.p, token->sub.n);
    memcpy(r + 64, token->text.p, token->text.n);
}

bool ld_tokens_seal(struct ld_tokens *t, int64_t minted_at_s, int64_t expires_at_s,
                    struct ld_problem *problem)
{
    uint8_t *h = t->mapping;
    t->minted_at_s = minted_at_s;
    t->expires_at_s = expires_at_s;
    memcpy(h, MAGIC, 8);
    put_le(h + 8, FORMAT_VERSION, 4);
    put_le(h + 12, t->stride, 4);
    put_le(h + 16, t->count, 8);
    put_le(h + 24, (uint64_t)minted_at_s, 8);
    put_le(h + 32, (uint64_t)expires_at_s, 8);
    for (unsigned kind = 0; kind < LD_TOKEN_KINDS; kind++)
        put_le(h + 40 + 8 * kind, t->of_kind[kind], 8);
    h[ISSUER_AT] = (uint8_t)strlen(t->issuer);
    memcpy(h + ISSUER_AT + 1, t->issuer, h[ISSUER_AT]);
    put_le(h + CRC_AT, pc_crc32c(0, h, CRC_AT), 4);
    if (msync(t->mapping, t->mapping_bytes, MS_ASYNC) < 0)
        return ld_problem_set(problem, "writing tokens: %s", pc_strerror(-errno));
    return true;
}

/* ---- Reading. ---- */

static bool read_head(const char *name, const uint8_t *h, size_t n, struct ld_tokens *t,
                      struct ld_problem *problem)
{
    uint64_t of_kind[LD_TOKEN_KINDS], sum = 0;
    if (n < LD_TOKENS_HEAD || memcmp(h, MAGIC, 8) != 0)
        return ld_problem_set(problem, "%s: no token file (portcullis-load mint makes them)", name);
    if (get_le(h + 8, 4) != FORMAT_VERSION)
        return ld_problem_set(problem, "%s: version %u of the format; this program reads %d", name,
                              (unsigned)get_le(h + 8, 4), FORMAT_VERSION);
    if (get_le(h + CRC_AT, 4) != pc_crc32c(0, h, CRC_AT))
        return ld_problem_set(problem, "%s: its header is damaged (CRC)", name);
    for (unsigned kind = 0; kind < LD_TOKEN_KINDS; kind++) {
        of_kind[kind] = pc_min_u64(get_le(h + 40 + 8 * kind, 8), LD_TOKENS_COUNT_MAX + 1);
        sum += of_kind[kind];
    }
    t->stride = (uint32_t)get_le(h + 12, 4);
    if (t->stride % 64 || t->stride < 128 || t->stride > LD_TOKENS_STRIDE_MAX || sum == 0 ||
        sum > LD_TOKENS_COUNT_MAX || get_le(h + 16, 8) != sum ||
        n != LD_TOKENS_HEAD + sum * t->stride)
        return ld_problem_set(problem, "%s: damaged, or cut: its header and its size disagree",
                              name);
    set_ranges(t, of_kind);
    t->minted_at_s = (int64_t)get_le(h + 24, 8);
    t->expires_at_s = (int64_t)get_le(h + 32, 8);
    memcpy(t->issuer, h + ISSUER_AT + 1, h[ISSUER_AT]);
    t->issuer[h[ISSUER_AT]] = 0;
    t->records = h + LD_TOKENS_HEAD;
    return true;
}

static bool check_records(const char *name, const struct ld_tokens *t, struct ld_problem *problem)
{
    for (unsigned kind = 0; kind < LD_TOKEN_KINDS; kind++)
        for (uint64_t k = 0; k < t->of_kind[kind]; k++) {
            const uint64_t i = t->first[kind] + k;
            const uint8_t *r = ld_tokens_record(t, i);
            const size_t text_n = (size_t)get_le(r, 2);
            if (text_n == 0 || text_n > t->stride - 64 || r[2] != kind || r[3] > LD_SUB_MAX)
                return ld_problem_set(problem, "%s: record %llu is damaged", name,
                                      (unsigned long long)i);
        }
    return true;
}

bool ld_tokens_read(const char *name, const uint8_t *bytes, size_t n, struct ld_tokens *ret_tokens,
                    struct ld_problem *problem)
{
    struct ld_tokens t = {.mapping = NULL};
    if (!read_head(name, bytes, n, &t, problem) || !check_records(name, &t, problem))
        return false;
    *ret_tokens = t;
    return true;
}

/* The file's bytes in memory of ours, on huge pages: a token out of millions then costs no walk of
 * the page tables, which a mapped file's small pages do. NULL where there is not room for twice. */
static void *copy_file(int fd, size_t bytes)
{
    const long pages = sysconf(_SC_AVPHYS_PAGES);
    struct ld_problem unused;
    if (pages < 0 || bytes > (size_t)pages / 2 * (size_t)sysconf(_SC_PAGESIZE))
        return NULL;
    uint8_t *p = map_memory(bytes, &unused);
    for (size_t done = 0; p && done < bytes;) {
        const ssize_t n = pread(fd, p + done, bytes - done, (off_t)done);
        if (n <= 0) {
            munmap(p, bytes);
            return NULL;
        }
        done += (size_t)n;
    }
    return p;
}

static void *load_file(int fd, size_t bytes)
{
    void *p = copy_file(fd, bytes);
    if (p)
        return p;
    /* Populated now: a page fault during the run would be the server's latency to a reader. */
    p = mmap(NULL, bytes, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
    return p == MAP_FAILED ? NULL : p;
}

bool ld_tokens_open(const char *path, struct ld_tokens *ret_tokens, struct ld_problem *problem)
{
    struct ld_tokens t;
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0) {
        ld_problem_set(problem, "%s: %s", path,
                       fd < 0 ? pc_strerror(-errno) : "empty, or no regular file");
        if (fd >= 0)
            close(fd);
        return false;
    }
    void *p = load_file(fd, (size_t)st.st_size);
    const int err = errno;
    close(fd);
    if (!p)
        return ld_problem_set(problem, "%s: %s", path, pc_strerror(-err));
    if (!ld_tokens_read(path, p, (size_t)st.st_size, &t, problem)) {
        munmap(p, (size_t)st.st_size);
        return false;
    }
    t.mapping = p;
    t.mapping_bytes = (size_t)st.st_size;
    *ret_tokens = t;
    return true;
}

void ld_tokens_close(struct ld_tokens *t)
{
    if (t->mapping)
        munmap(t->mapping, t->mapping_bytes);
    *t = (struct ld_tokens){.mapping = NULL};
}
