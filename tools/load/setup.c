/* SPDX-License-Identifier: Apache-2.0
 * Set-up over one blocking connection. */
#include "load/setup.h"

#include <stdio.h>
#include <stdlib.h>

#include "load/client.h"
#include "load/expect.h"

enum {
    REVOKE_BATCH = 2000,
    ENTRY_BYTES_MAX = 512, /* of one revocation as JSON */
    PRIME_MAX = 200000,    /* good tokens asked about */
    PRIME_BATCH = 64,
};

bool ld_setup_needs_admin(const struct ld_workload *w, const struct ld_tokens *tokens)
{
    bool needed = false;
    for (unsigned i = 0; i < w->flag_count; i++)
        needed = needed || w->flags[i].value;
    for (unsigned i = 0; i < w->request_count; i++)
        needed = needed || w->requests[i].shares[LD_TOKEN_REVOKED] > 0;
    return needed && (w->flag_count > 0 || tokens->of_kind[LD_TOKEN_REVOKED] > 0);
}

/* Forgetting --issuer is the usual mistake: the server trusts the key under another name. */
static bool issuer_unknown(const struct ld_setup *s, struct ld_problem *problem)
{
    return ld_problem_set(
        problem,
        "set-up: the server knows no issuer '%s', which the tokens name: give its "
        "name by %s (portcullis serve --dev: portcullis-dev)",
        s->tokens->issuer, s->options->tokens_file ? "mint --issuer" : "--issuer");
}

/* POST with the administrator's credential; anything but 200 is a failure with its words. */
static bool post(const struct ld_setup *s, struct ld_client *c, const char *path,
                 struct pc_bytes body, struct ld_problem *problem)
{
    char head[1024];
    struct pc_bytes code = {(const uint8_t *)"", 0};
    struct pc_buf b = pc_buf_of(head, sizeof head);
    struct ld_client_answer a;
    pc_buf_fmt(&b, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %zu\r\n", path,
               s->options->target.authority, body.n);
    pc_buf_fmt(&b, "Authorization: Bearer %.*s\r\n\r\n", (int)s->admin.n, (const char *)s->admin.p);
    if (b.overflow)
        return ld_problem_set(problem, "set-up: the administrator's token is too long");
    const struct ld_request r = {
        .pieces = {{b.p, (uint32_t)b.len}, {body.p, (uint32_t)body.n}},
          .piece_count = 2
    };
    if (!ld_client_send(c, &r, problem) || !ld_client_read(c, &a, problem))
        return false;
    (void)ld_find_member(a.body, "code", &code);
    if (pc_bytes_eq_str(code, "ISSUER_UNKNOWN"))
        return issuer_unknown(s, problem);
    return a.status == 200 ? true
                           : ld_problem_set(problem, "set-up: POST %s: status %d %.*s", path,
                                            a.status, (int)code.n, (const char *)code.p);
}

static bool revoke_batch(const struct ld_setup *s, struct ld_client *c, uint64_t from, uint64_t to,
                         uint8_t *memory, struct ld_problem *problem)
{
    struct pc_buf b = pc_buf_of(memory, (size_t)REVOKE_BATCH * ENTRY_BYTES_MAX);
    pc_buf_char(&b, '[');
    for (uint64_t i = from; i < to; i++) {
        pc_buf_fmt(&b, "%s{\"kind\":\"token\",\"id\":\"%.*s\",\"issuer\":", i > from ? "," : "",
                   LD_JTI_CHARS, ld_tokens_at(s->tokens, i).jti);
        pc_buf_json_str(&b, pc_bytes_str(s->tokens->issuer));
        pc_buf_fmt(&b, ",\"expires_at\":%lld}", (long long)s->tokens->expires_at_s);
    }
    pc_buf_char(&b, ']');
    PC_ASSERT(!b.overflow);
    return post(s, c, "/v1/revoke", pc_bytes_of(b.p, b.len), problem);
}

static bool revoke_share(const struct ld_setup *s, struct ld_client *c, struct ld_problem *problem)
{
    const uint64_t first = s->tokens->first[LD_TOKEN_REVOKED];
    const uint64_t end = first + s->tokens->of_kind[LD_TOKEN_REVOKED];
    uint8_t *memory = malloc((size_t)REVOKE_BATCH * ENTRY_BYTES_MAX);
    bool ok = memory != NULL;
    if (!ok)
        return ld_problem_set(problem, "out of memory");
    for (uint64_t at = first; at < end && ok; at += REVOKE_BATCH)
        ok = revoke_batch(s, c, at, pc_min_u64(at + REVOKE_BATCH, end), memory, problem);
    free(memory);
    return ok;
}

static bool set_flags(const struct ld_setup *s, struct ld_client *c, struct ld_problem *problem)
{
    for (unsigned i = 0; i < s->w->flag_count; i++) {
        const struct ld_wl_flag *f = &s->w->flags[i];
        char path[256], body[4608];
        if (!f->value)
            continue;
        int path_n = snprintf(path, sizeof path, "/flags/%s", f->key);
        int body_n = snprintf(body, sizeof body, "{\"value\":%s,\"ephemeral\":true}", f->value);
        if (path_n >= (int)sizeof path || body_n >= (int)sizeof body)
            return ld_problem_set(problem, "set-up: flag %s: too long", f->key);
        if (!post(s, c, path, pc_bytes_of(body, (size_t)body_n), problem))
            return false;
    }
    return true;
}

/* ---- Asking about every good token once. ---- */

static size_t put_octet(char *to, unsigned value)
{
    size_t n = 0;
    if (value >= 100)
        to[n++] = (char)('0' + value / 100);
    if (value >= 10)
        to[n++] = (char)('0' + value / 10 % 10);
    to[n++] = (char)('0' + value % 10);
    return n;
}

size_t ld_client_address(const struct ld_wl_request *r, uint64_t n, char ret_text[16])
{
    const uint32_t address = r->network + (uint32_t)(n % r->clients);
    size_t used = 0;
    for (int shift = 24; shift >= 0; shift -= 8) {
        used += put_octet(ret_text + used, address >> shift & 255);
        if (shift)
            ret_text[used++] = '.';
    }
    return used;
}

static bool send_prime(const struct ld_setup *s, struct ld_client *c, unsigned request, uint64_t i,
                       uint8_t *scratch, struct ld_problem *problem)
{
    const struct ld_token token = ld_tokens_at(s->tokens, i);
    char address[16];
    struct ld_request r = {.piece_count = 0};
    const struct pc_bytes values[LD_VARS] = {
        [LD_VAR_TOKEN] = token.text,
        [LD_VAR_JTI] = pc_bytes_of(token.jti, LD_JTI_CHARS),
        [LD_VAR_SUB] = token.sub,
        [LD_VAR_KEY] = PC_LIT("0"),
        [LD_VAR_N] = PC_LIT("000000000000"),
        [LD_VAR_VALUE] = PC_LIT("0"),
        [LD_VAR_ADMIN] = s->admin,
        [LD_VAR_ISSUER] = pc_bytes_str(s->tokens->issuer),
        [LD_VAR_IP] = pc_bytes_of(address, ld_client_address(&s->w->requests[request], i, address)),
    };
    if (!ld_template_render(s->templates[request], values, scratch, &r))
        return ld_problem_set(problem, "set-up: a request is too long");
    return ld_client_send(c, &r, problem);
}

static bool read_prime(const struct ld_setup *s, struct ld_client *c, struct ld_problem *problem)
{
    struct ld_client_answer a;
    struct pc_bytes code;
    if (!ld_client_read(c, &a, problem))
        return false;
    return ld_find_member(a.body, "code", &code) && pc_bytes_eq_str(code, "TOKEN_ISSUER_UNKNOWN")
               ? issuer_unknown(s, problem)
               : true;
}

/* Some may be refused (limits): what counts is that the server has seen them. */
static bool prime(const struct ld_setup *s, struct ld_client *c, unsigned request,
                  struct ld_problem *problem)
{
    static uint8_t scratch[LD_TEMPLATE_SCRATCH];
    const uint64_t first = s->tokens->first[LD_TOKEN_GOOD];
    const uint64_t end = first + pc_min_u64(s->tokens->of_kind[LD_TOKEN_GOOD], PRIME_MAX);
    for (uint64_t at = first; at < end; at += PRIME_BATCH) {
        const uint64_t to = pc_min_u64(at + PRIME_BATCH, end);
        for (uint64_t i = at; i < to; i++)
            if (!send_prime(s, c, request, i, scratch, problem))
                return false;
        for (uint64_t i = at; i < to; i++)
            if (!read_prime(s, c, problem))
                return false;
    }
    return true;
}

static bool prime_some(const struct ld_setup *s, struct ld_client *c, struct ld_problem *problem)
{
    for (unsigned i = 0; i < s->w->request_count; i++) {
        const struct ld_wl_request *r = &s->w->requests[i];
        if ((r->ask == LD_ASK_AUTH || r->ask == LD_ASK_CHECK) && r->shares[LD_TOKEN_GOOD] > 0)
            return prime(s, c, i, problem);
    }
    return true;
}

bool ld_setup_run(const struct ld_setup *s, struct ld_problem *problem)
{
    struct ld_client *c = NULL;
    const bool admin = ld_setup_needs_admin(s->w, s->tokens);
    if (!admin && !s->w->prime)
        return true;
    if (s->options->target.resp)
        return ld_problem_set(problem, "set-up needs HTTP: give --admin-url");
    if (!ld_client_open(s->options, &c, problem))
        return false;
    bool ok = !admin || (revoke_share(s, c, problem) && set_flags(s, c, problem));
    ok = ok && (!s->w->prime || prime_some(s, c, problem));
    ld_client_close(c);
    return ok;
}
