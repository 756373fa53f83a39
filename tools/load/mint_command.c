/* SPDX-License-Identifier: Apache-2.0
 * portcullis-load mint: keys, tokens, the key set that trusts them, and files of requests made of
 * them, for runs of this program or any other. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/config_value.h"
#include "base/err.h"
#include "load/mint.h"
#include "load/run.h"
#include "load/template.h"

struct mint_options {
    const char *key, *issuer, *out, *text, *jwks, *alg, *scopes, *roles, *mix;
    const char *requests, *method, *path, *host, *body, *expect;
    const char *headers[LD_LIST_MAX];
    unsigned header_count;
    bool generate_key;
    uint64_t count, seed, threads;
    int64_t lifetime_s;
};

enum option_name {
    OPT_KEY = 256,
    OPT_GENERATE,
    OPT_ISSUER,
    OPT_COUNT,
    OPT_MIX,
    OPT_OUT,
    OPT_TEXT,
    OPT_JWKS,
    OPT_ALG,
    OPT_LIFETIME,
    OPT_SCOPES,
    OPT_ROLES,
    OPT_SEED,
    OPT_THREADS,
    OPT_REQUESTS,
    OPT_METHOD,
    OPT_PATH,
    OPT_HOST,
    OPT_HEADER,
    OPT_BODY,
    OPT_EXPECT,
    OPT_HELP
};

static const struct option long_options[] = {
    {"key",          required_argument, NULL, OPT_KEY     },
    {"generate-key", no_argument,       NULL, OPT_GENERATE},
    {"issuer",       required_argument, NULL, OPT_ISSUER  },
    {"count",        required_argument, NULL, OPT_COUNT   },
    {"mix",          required_argument, NULL, OPT_MIX     },
    {"out",          required_argument, NULL, OPT_OUT     },
    {"text",         required_argument, NULL, OPT_TEXT    },
    {"jwks",         required_argument, NULL, OPT_JWKS    },
    {"alg",          required_argument, NULL, OPT_ALG     },
    {"lifetime",     required_argument, NULL, OPT_LIFETIME},
    {"scopes",       required_argument, NULL, OPT_SCOPES  },
    {"roles",        required_argument, NULL, OPT_ROLES   },
    {"seed",         required_argument, NULL, OPT_SEED    },
    {"threads",      required_argument, NULL, OPT_THREADS },
    {"requests",     required_argument, NULL, OPT_REQUESTS},
    {"method",       required_argument, NULL, OPT_METHOD  },
    {"path",         required_argument, NULL, OPT_PATH    },
    {"host",         required_argument, NULL, OPT_HOST    },
    {"header",       required_argument, NULL, OPT_HEADER  },
    {"body",         required_argument, NULL, OPT_BODY    },
    {"expect",       required_argument, NULL, OPT_EXPECT  },
    {"help",         no_argument,       NULL, OPT_HELP    },
    {NULL,           0,                 NULL, 0           },
};

static const char help_text[] =
    "usage: portcullis-load mint --key FILE --issuer NAME [OPTION...]\n"
    "\n"
    "  --key FILE        private key: JWK (Ed25519, with d, as data/dev/issuer.jwk) or PEM\n"
    "                    (Ed25519, P-256, P-384, RSA)\n"
    "  --generate-key    make an Ed25519 key at FILE first, if there is none\n"
    "  --issuer NAME     the exact iss of the tokens\n"
    "  --count N         how many (default 100000)\n"
    "  --mix KIND=SHARE,...  good revoked expired malformed unknown_issuer unknown_key\n"
    "                    bad_signature not_yet_valid (default good=1)\n"
    "  --out FILE        token file for run --tokens\n"
    "  --text FILE       the tokens, one a line; - for standard output\n"
    "  --jwks FILE       the key set a server needs to trust them; - for standard output\n"
    "  --alg NAME        EdDSA ES256 ES384 RS256 ... (default: the key's usual one)\n"
    "  --lifetime TIME   exp - iat, as 15m or 24h (default 24h)\n"
    "  --scopes TEXT     separated by blanks; --roles TEXT: separated by commas\n"
    "  --seed N          of the ids (default 1)\n"
    "  --threads N       that mint (default: as many as CPUs)\n"
    "\n"
    "  --requests FILE   a file of HTTP requests, one for each token, for run --requests\n"
    "  --method M --path P --host H --header 'Name: value' --body TEXT --expect STATUS\n"
    "                    of those requests. {token} {jti} {sub} {n} are filled in. Default:\n"
    "                    GET /v1/auth with Authorization: Bearer {token}, expecting 200\n";

static bool read_number(const char *name, const char *text, uint64_t *ret_value,
                        struct ld_problem *problem)
{
    uint64_t value;
    if (pc_bytes_to_u64(pc_bytes_str(text), &value))
        return ld_problem_set(problem, "--%s: '%s' is no whole number", name, text);
    *ret_value = value;
    return true;
}

static bool read_lifetime(const char *text, int64_t *ret_s, struct ld_problem *problem)
{
    int64_t ms;
    if (pc_duration_parse(pc_bytes_str(text), &ms) || ms < 1000)
        return ld_problem_set(problem, "--lifetime: '%s' is no time of at least 1s, as 15m", text);
    *ret_s = ms / 1000;
    return true;
}

static bool add_header(struct mint_options *o, const char *text, struct ld_problem *problem)
{
    if (o->header_count == LD_LIST_MAX)
        return ld_problem_set(problem, "--header: more than %d", LD_LIST_MAX);
    o->headers[o->header_count++] = text;
    return true;
}

static const char **text_option(struct mint_options *o, int name)
{
    switch (name) {
    case OPT_KEY: return &o->key;
    case OPT_ISSUER: return &o->issuer;
    case OPT_MIX: return &o->mix;
    case OPT_OUT: return &o->out;
    case OPT_TEXT: return &o->text;
    case OPT_JWKS: return &o->jwks;
    case OPT_ALG: return &o->alg;
    case OPT_SCOPES: return &o->scopes;
    case OPT_ROLES: return &o->roles;
    case OPT_REQUESTS: return &o->requests;
    case OPT_METHOD: return &o->method;
    case OPT_PATH: return &o->path;
    case OPT_HOST: return &o->host;
    case OPT_BODY: return &o->body;
    case OPT_EXPECT: return &o->expect;
    default: return NULL;
    }
}

static bool take_option(struct mint_options *o, int name, const char *value,
                        struct ld_problem *problem)
{
    const char **text = text_option(o, name);
    if (text) {
        *text = value;
        return true;
    }
    switch (name) {
    case OPT_GENERATE: return o->generate_key = true;
    case OPT_COUNT: return read_number("count", value, &o->count, problem);
    case OPT_SEED: return read_number("seed", value, &o->seed, problem);
    case OPT_THREADS: return read_number("threads", value, &o->threads, problem);
    case OPT_LIFETIME: return read_lifetime(value, &o->lifetime_s, problem);
    case OPT_HEADER: return add_header(o, value, problem);
    default: return ld_problem_set(problem, "mint --help lists the options");
    }
}

static bool parse(struct mint_options *o, int argc, char **argv, bool *ret_help,
                  struct ld_problem *problem)
{
    int name;
    opterr = 0;
    optind = 1;
    while ((name = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (name == OPT_HELP)
            return *ret_help = true;
        if (name == '?')
            return ld_problem_set(problem, "mint: '%s': no such option, or it needs a value",
                                  argv[optind - 1]);
        if (!take_option(o, name, optarg, problem))
            return false;
    }
    if (optind < argc)
        return ld_problem_set(problem, "mint: '%s' is no option", argv[optind]);
    if (!o->key)
        return ld_problem_set(problem, "mint: --key FILE is needed");
    if ((o->out || o->text || o->requests) && !o->issuer)
        return ld_problem_set(problem, "mint: --issuer NAME is needed");
    if (!o->out && !o->text && !o->requests && !o->jwks && !o->generate_key)
        return ld_problem_set(problem, "mint: nothing to make: --out, --text, --requests, --jwks");
    return true;
}

/* ---- Writing. ---- */

/* What holds tokens is for the owner alone, as the token file is: whoever reads one may use it. */
enum { MODE_OF_SECRETS = 0600, MODE_OF_PUBLIC = 0644 };

static FILE *create(const char *path, mode_t mode, struct ld_problem *problem)
{
    if (strcmp(path, "-") == 0)
        return stdout;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!f)
        ld_problem_set(problem, "%s: %s", path, pc_strerror(-errno));
    if (!f && fd >= 0)
        close(fd);
    return f;
}

static bool finish(FILE *f, const char *path, struct ld_problem *problem)
{
    bool ok = fflush(f) == 0 && !ferror(f);
    int err = errno;
    if (f != stdout)
        ok = fclose(f) == 0 && ok;
    return ok ? true : ld_problem_set(problem, "%s: %s", path, pc_strerror(-err));
}

static bool write_jwks(const struct ld_key *key, const char *path, struct ld_problem *problem)
{
    uint8_t text[4096];
    struct pc_buf b = pc_buf_of(text, sizeof text);
    if (!ld_key_write_jwks(key, &b))
        return ld_problem_set(problem, "%s: the key is too large for a key set", path);
    FILE *f = create(path, MODE_OF_PUBLIC, problem);
    if (!f)
        return false;
    fwrite(text, 1, b.len, f);
    return finish(f, path, problem);
}

static bool write_text(const struct ld_tokens *t, const char *path, struct ld_problem *problem)
{
    FILE *f = create(path, MODE_OF_SECRETS, problem);
    if (!f)
        return false;
    for (uint64_t i = 0; i < t->count; i++) {
        const struct ld_token token = ld_tokens_at(t, i);
        fwrite(token.text.p, 1, token.text.n, f);
        putc_unlocked('\n', f);
    }
    return finish(f, path, problem);
}

/* "<bytes> <expected>\n<bytes of request>", one for each token. */
static bool write_framed(FILE *f, const struct ld_tokens *t, const struct ld_template *form,
                         const char *expect)
{
    static uint8_t scratch[LD_TEMPLATE_SCRATCH];
    struct pc_bytes values[LD_VARS] = {
        {NULL, 0}
    };
    struct ld_request r;
    char number[24];
    for (uint64_t i = 0; i < t->count; i++) {
        const struct ld_token token = ld_tokens_at(t, i);
        size_t n = 0;
        snprintf(number, sizeof number, "%012llu", (unsigned long long)i);
        values[LD_VAR_TOKEN] = token.text;
        values[LD_VAR_JTI] = pc_bytes_of(token.jti, LD_JTI_CHARS);
        values[LD_VAR_SUB] = token.sub;
        values[LD_VAR_N] = pc_bytes_str(number);
        if (!ld_template_render(form, values, scratch, &r))
            return false;
        for (unsigned k = 0; k < r.piece_count; k++)
            n += r.pieces[k].bytes;
        fprintf(f, "%zu %s\n", n, expect);
        for (unsigned k = 0; k < r.piece_count; k++)
            fwrite(r.pieces[k].at, 1, r.pieces[k].bytes, f);
    }
    return true;
}

static bool write_requests(const struct mint_options *o, const struct ld_tokens *t,
                           struct ld_problem *problem)
{
    static const char *const bearer[] = {"Authorization: Bearer {token}"};
    const bool own = o->header_count > 0 || o->body;
    const struct ld_http_form form = {.method = o->method,
                                      .authority = o->host,
                                      .path = o->path,
                                      .body = o->body,
                                      .fields = own ? o->headers : bearer,
                                      .field_count = own ? o->header_count : 1};
    struct ld_template *compiled;
    if (!ld_template_http(&form, &compiled, problem))
        return false;
    FILE *f = create(o->requests, MODE_OF_SECRETS, problem);
    bool ok = f != NULL;
    if (ok && !write_framed(f, t, compiled, o->expect))
        ok = ld_problem_set(problem, "%s: a request is too long", o->requests);
    if (f)
        ok = finish(f, o->requests, problem) && ok;
    ld_template_free(compiled);
    return ok;
}

static bool get_key(const struct mint_options *o, struct ld_key **ret_key,
                    struct ld_problem *problem)
{
    struct ld_key *k;
    PC_ASSERT(o->key); /* parse() */
    if (!o->generate_key || access(o->key, F_OK) == 0)
        return ld_key_load(o->key, o->alg, ret_key, problem);
    if (o->alg && strcmp(o->alg, "EdDSA") != 0)
        return ld_problem_set(problem, "--generate-key makes keys for EdDSA only");
    if (!ld_key_generate(&k, problem))
        return false;
    if (!ld_key_save(k, o->key, problem)) {
        ld_key_free(k);
        return false;
    }
    *ret_key = k;
    return true;
}

static bool make_tokens(const struct mint_options *o, const struct ld_key *key,
                        struct ld_problem *problem)
{
    double share[LD_TOKEN_KINDS];
    struct ld_tokens t;
    struct ld_mint_plan plan = {.key = key,
                                .issuer = o->issuer,
                                .scopes = o->scopes,
                                .roles = o->roles,
                                .now_ms = pc_clock_wall_ms(),
                                .lifetime_s = o->lifetime_s,
                                .seed = o->seed,
                                .threads = (unsigned)pc_min_u64(o->threads, UINT16_MAX)};
    if (!ld_mint_read_mix(o->mix, share, problem))
        return false;
    const int64_t began_ns = pc_clock_mono_ns();
    ld_mint_split(o->count, share, plan.count_of_kind);
    if (!ld_mint(&plan, o->out, &t, problem))
        return false;
    const double took_s = (double)(pc_clock_mono_ns() - began_ns) * 1e-9;
    bool ok = (!o->text || write_text(&t, o->text, problem)) &&
              (!o->requests || write_requests(o, &t, problem));
    if (ok)
        fprintf(stderr, "minted %llu tokens (%s, %zu bytes the first) in %.2f s\n",
                (unsigned long long)t.count, ld_key_alg(key), ld_tokens_at(&t, 0).text.n, took_s);
    ld_tokens_close(&t);
    return ok;
}

int ld_mint_main(int argc, char **argv)
{
    struct mint_options o = {.count = 100000,
                             .seed = 1,
                             .mix = "good=1",
                             .method = "GET",
                             .path = "/v1/auth",
                             .host = "gateway.example",
                             .expect = "200",
                             .lifetime_s = LD_LIFETIME_S_DEFAULT};
    struct ld_problem problem = {""};
    struct ld_key *key = NULL;
    bool help = false;
    if (!parse(&o, argc, argv, &help, &problem)) {
        fprintf(stderr, "portcullis-load: %s\n", problem.text);
        return LD_EXIT_USAGE;
    }
    if (help) {
        fputs(help_text, stdout);
        return LD_EXIT_OK;
    }
    bool ok = get_key(&o, &key, &problem) && (!o.jwks || write_jwks(key, o.jwks, &problem)) &&
              (!(o.out || o.text || o.requests) || make_tokens(&o, key, &problem));
    ld_key_free(key);
    if (ok)
        return LD_EXIT_OK;
    fprintf(stderr, "portcullis-load: %s\n", problem.text);
    return LD_EXIT_BROKEN;
}
