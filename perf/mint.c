/* SPDX-License-Identifier: Apache-2.0
 * Key set and tokens for perf/compare: one Ed25519 key, tokens of about 700 bytes with every claim
 * a revocation can name. Writes DIR/jwks.json and DIR/auth.requests: GET /v1/auth, one per token,
 * in the form perf-pipeload reads. Usage: perf-mint DIR COUNT ISSUER LIFETIME_SECONDS */
#include "base/clock.h"
#include "perf.h"
#include "support/mint.h"

enum { TOKEN_ROOM = 4096, SCOPES = 14 };

static FILE *create(const char *dir, const char *name)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    if (!f)
        die(path, errno);
    return f;
}

static void close_file(FILE *f)
{
    if (fclose(f) != 0)
        die("write", errno);
}

static void write_jwks(const char *dir, const struct mint_key *key)
{
    uint8_t memory[TOKEN_ROOM];
    struct pc_buf b = pc_buf_of(memory, sizeof(memory));
    mint_jwks(&b, &key, 1);
    PC_ASSERT(!b.overflow);
    FILE *f = create(dir, "jwks.json");
    fwrite(b.p, 1, b.len, f);
    close_file(f);
}

static void claims_of(struct pc_buf *b, const char *issuer, unsigned long i, int64_t lifetime_s)
{
    const int64_t now_s = pc_clock_wall_ms() / 1000;
    pc_buf_fmt(b,
               "{\"iss\":\"%s\",\"sub\":\"user-%08lu\",\"jti\":\"01900000-0000-7000-9000-%012lu\","
               "\"sid\":\"session-%08lu\",\"fam\":\"family-%08lu\",\"client_id\":\"web-%lu\","
               "\"iat\":%lld,\"exp\":%lld,\"scope\":\"",
               issuer, i, i, i, i, i % 16, (long long)now_s, (long long)(now_s + lifetime_s));
    for (int scope = 0; scope < SCOPES; scope++)
        pc_buf_fmt(b, "%sscope-%d:read", scope ? " " : "", scope);
    pc_buf_fmt(b, "\"}%c", '\0');
    PC_ASSERT(!b->overflow);
}

static void write_request(FILE *auth, const struct mint_key *key, const char *issuer,
                          unsigned long i, int64_t lifetime_s)
{
    uint8_t claims[TOKEN_ROOM], token[TOKEN_ROOM], request[2 * TOKEN_ROOM];
    struct pc_buf c = pc_buf_of(claims, sizeof(claims)), t = pc_buf_of(token, sizeof(token));
    struct pc_buf r = pc_buf_of(request, sizeof(request));
    claims_of(&c, issuer, i, lifetime_s);
    mint_token(&t, key, PC_ALG_EDDSA, (char *)claims);
    pc_buf_lit(&r, "GET /v1/auth HTTP/1.1\r\nHost: gateway.example\r\nAuthorization: Bearer ");
    pc_buf_put(&r, t.p, t.len);
    pc_buf_lit(&r, "\r\n\r\n");
    PC_ASSERT(!t.overflow && !r.overflow);
    fprintf(auth, "%zu 200\n", r.len);
    fwrite(r.p, 1, r.len, auth);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fputs("usage: perf-mint DIR COUNT ISSUER LIFETIME_SECONDS\n", stderr);
        return 2;
    }
    struct mint_key *key = mint_key_new(PC_ALG_EDDSA, "perf");
    write_jwks(argv[1], key);
    FILE *auth = create(argv[1], "auth.requests");
    for (unsigned long i = 0; i < strtoul(argv[2], NULL, 10); i++)
        write_request(auth, key, argv[3], i, strtol(argv[4], NULL, 10));
    close_file(auth);
    mint_key_free(key);
    return 0;
}
