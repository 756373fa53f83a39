/* SPDX-License-Identifier: Apache-2.0
 * What the claims of a verified token say, and the checks on them that do not depend on the time,
 * except pc_times_check(). Runs on cores; owns nothing.
 *
 * Strings from here end up in header fields of other people's servers and in keys of revocation
 * tables. So control characters are refused everywhere, and ids may not begin or end with a space:
 * a header field loses it, and two ids would become one. */
#include "edge/jose/claims.h"

struct reader {
    const struct pc_json *doc;
    const struct pc_json_token *root;
    struct pc_buf strings;   /* for what the claims point to */
    struct pc_buf passing;   /* for unescaping an element on its way into a list */
    enum pc_token_error err; /* the first; everything after it does nothing */
};

/* The first error stays. */
static void refuse(struct reader *r, enum pc_token_error err)
{
    if (!r->err)
        r->err = err;
}

/* A claim by its name, else by its name as a path; NULL if absent or null. */
static const struct pc_json_token *find(const struct reader *r, struct pc_bytes name)
{
    if (name.n == 0)
        return NULL;
    const struct pc_json_token *t = pc_json_find(r->doc, r->root, name);
    if (!t && memchr(name.p, '.', name.n)) {
        t = r->root;
        while (t && name.n) {
            const uint8_t *dot = memchr(name.p, '.', name.n);
            size_t n = dot ? (size_t)(dot - name.p) : name.n, step = dot ? n + 1 : n;
            t = pc_json_find(r->doc, t, pc_bytes_of(name.p, n));
            name = pc_bytes_of(name.p + step, name.n - step);
        }
    }
    return pc_json_type(t) == PC_JSON_NULL ? NULL : t;
}

static bool has_control(struct pc_bytes s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x20 || s.p[i] == 0x7f)
            return true;
    return false;
}

/* The text of a string token, refused if it has control characters. */
static struct pc_bytes text_of(struct reader *r, const struct pc_json_token *t, struct pc_buf *to)
{
    struct pc_bytes s = {NULL, 0};
    if (r->err)
        return s;
    if (pc_json_string(r->doc, t, to, &s) || has_control(s))
        refuse(r, PC_TOKEN_MALFORMED);
    return s;
}

static struct pc_bytes read_id(struct reader *r, struct pc_bytes name)
{
    const struct pc_json_token *t = find(r, name);
    struct pc_bytes s = t ? text_of(r, t, &r->strings) : (struct pc_bytes){NULL, 0};
    if (s.n > PC_ID_MAX || (s.n && (s.p[0] == ' ' || s.p[s.n - 1] == ' ')))
        refuse(r, PC_TOKEN_MALFORMED);
    return s;
}

/* --- lists ------------------------------------------------------------------------------- */

/* How a claim becomes a list separated by spaces. */
struct list_kind {
    bool string_is_list; /* "a b" is two elements, not one */
    bool encode;         /* a space inside an element is %20; otherwise it is refused */
};

static void put_element(struct reader *r, struct pc_bytes s, bool encode, size_t start)
{
    struct pc_buf *b = &r->strings;
    if (s.n == 0)
        return;
    if (b->len > start)
        pc_buf_char(b, ' ');
    for (size_t i = 0; i < s.n; i++) {
        if (encode && (s.p[i] == ' ' || s.p[i] == '%'))
            pc_buf_fmt(b, "%%%02X", s.p[i]);
        else
            pc_buf_char(b, (char)s.p[i]);
    }
}

static void put_words(struct reader *r, struct pc_bytes s, bool encode, size_t start)
{
    while (s.n) {
        const uint8_t *space = memchr(s.p, ' ', s.n);
        size_t n = space ? (size_t)(space - s.p) : s.n, step = space ? n + 1 : n;
        put_element(r, pc_bytes_of(s.p, n), encode, start);
        s = pc_bytes_of(s.p + step, s.n - step);
    }
}

static void put_array(struct reader *r, const struct pc_json_token *array, bool encode,
                      size_t start)
{
    PC_JSON_FOREACH(r->doc, array, t)
    {
        r->passing.len = 0;
        struct pc_bytes s = text_of(r, t, &r->passing);
        if (!encode && s.n && memchr(s.p, ' ', s.n))
            refuse(r, PC_TOKEN_MALFORMED); /* one scope would become two */
        put_element(r, s, encode, start);
    }
}

static struct pc_bytes read_list(struct reader *r, const struct pc_json_token *t,
                                 const struct list_kind *kind)
{
    size_t start = r->strings.len;
    if (pc_json_type(t) == PC_JSON_ARRAY) {
        put_array(r, t, kind->encode, start);
    } else if (t) {
        r->passing.len = 0;
        struct pc_bytes s = text_of(r, t, &r->passing);
        if (kind->string_is_list)
            put_words(r, s, kind->encode, start);
        else
            put_element(r, s, kind->encode, start);
    }
    return pc_bytes_of(r->strings.p + start, r->strings.len - start);
}

/* --- audience ---------------------------------------------------------------------------- */

static bool is_audience(struct reader *r, const struct pc_json_token *t,
                        const struct pc_issuer_settings *s)
{
    for (size_t i = 0; i < s->audience_count; i++)
        if (pc_json_equals_bytes(r->doc, t, s->audiences[i]))
            return true;
    return false;
}

static void read_audience(struct reader *r, const struct pc_issuer_settings *s,
                          struct pc_bytes *ret_audiences)
{
    static const struct list_kind kind = {.string_is_list = false, .encode = true};
    const struct pc_json_token *aud = find(r, PC_LIT("aud"));
    bool meant = s->audience_count == 0;
    *ret_audiences = read_list(r, aud, &kind);
    if (pc_json_type(aud) == PC_JSON_STRING)
        meant |= is_audience(r, aud, s);
    else if (aud)
        PC_JSON_FOREACH(r->doc, aud, t)
        {
            meant |= is_audience(r, t, s);
        }
    if (!meant)
        refuse(r, PC_TOKEN_AUDIENCE);
}

/* --- times ------------------------------------------------------------------------------- */

/* A NumericDate in milliseconds; whether it is a whole second. Absent: ret_ms is untouched. */
static bool read_date(struct reader *r, const char *name, bool round_up, int64_t *ret_ms,
                      bool *ret_whole_second)
{
    const struct pc_json_token *t = pc_json_member(r->doc, r->root, name);
    int64_t ms;
    bool cut;
    if (!t || r->err)
        return false;
    if (pc_json_scaled(r->doc, t, 3, &ms, &cut) || ms < 0 || ms > PC_NUMERIC_DATE_MAX_S * 1000) {
        refuse(r, PC_TOKEN_MALFORMED);
        return false;
    }
    *ret_ms = ms + (round_up && cut);
    *ret_whole_second = !cut && ms % 1000 == 0;
    return true;
}

/* iat_ms is believed if the issuer is configured so and it refines iat. */
static void refine_iat(struct reader *r, int64_t *iat_ms)
{
    const struct pc_json_token *t = pc_json_member(r->doc, r->root, "iat_ms");
    int64_t ms;
    if (t && pc_json_i64(r->doc, t, &ms) == 0 && ms >= 0 && ms - ms % 1000 == *iat_ms)
        *iat_ms = ms;
}

static void read_times(struct reader *r, const struct pc_issuer_settings *s,
                       struct pc_token_times *ret_times)
{
    struct pc_token_times t = {INT64_MAX, INT64_MIN, INT64_MIN};
    bool whole, whole_iat = false;
    bool has_exp = read_date(r, "exp", false, &t.exp_ms, &whole);
    bool has_iat = read_date(r, "iat", false, &t.iat_ms, &whole_iat);
    read_date(r, "nbf", true, &t.nbf_ms, &whole);
    if (s->trust_iat_ms && whole_iat)
        refine_iat(r, &t.iat_ms);
    *ret_times = t;
    if (s->max_lifetime_ms == 0)
        return;
    if (!has_exp || !has_iat)
        refuse(r, PC_TOKEN_CLAIM_MISSING);
    else if (t.exp_ms - t.iat_ms > s->max_lifetime_ms)
        refuse(r, PC_TOKEN_LIFETIME);
}

enum pc_token_error pc_times_check(const struct pc_token_times *times, int64_t skew_ms,
                                   int64_t now_ms)
{
    int64_t latest_ms = pc_add_sat_i64(now_ms, skew_ms);
    if (now_ms >= pc_add_sat_i64(times->exp_ms, skew_ms))
        return PC_TOKEN_EXPIRED;
    if (latest_ms < times->nbf_ms)
        return PC_TOKEN_NOT_YET_VALID;
    return latest_ms < times->iat_ms ? PC_TOKEN_ISSUED_IN_FUTURE : PC_TOKEN_OK;
}

/* --- all of them ------------------------------------------------------------------------- */

enum pc_token_error pc_claims_read(const struct pc_jwt *jwt, uint32_t key,
                                   struct pc_claims *ret_claims)
{
    static const struct list_kind scopes = {.string_is_list = true, .encode = false};
    static const struct list_kind roles = {.string_is_list = true, .encode = true};
    const struct pc_issuer_settings *s = &jwt->issuer->s;
    const struct pc_claim_names *names = &s->claims;
    struct pc_claims c = {.issuer = jwt->issuer, .key = key, .alg = jwt->alg};
    struct reader r = {.doc = &jwt->payload,
                       .root = pc_json_root(&jwt->payload),
                       .strings = pc_buf_of(jwt->scratch->strings, sizeof jwt->scratch->strings),
                       /* nothing points into the header any more */
                       .passing = pc_buf_of(jwt->scratch->header, sizeof jwt->scratch->header)};
    r.strings.len = jwt->strings_used;
    read_times(&r, s, &c.times);
    c.subject = read_id(&r, PC_LIT("sub"));
    c.jti = read_id(&r, PC_LIT("jti"));
    c.session = read_id(&r, names->session);
    c.family = read_id(&r, names->family);
    c.client = read_id(&r, find(&r, names->client) ? names->client : names->client_instead);
    const struct pc_json_token *scope = find(&r, names->scopes);
    c.scopes = read_list(&r, scope ? scope : find(&r, names->scopes_instead), &scopes);
    c.roles = read_list(&r, find(&r, names->roles), &roles);
    if ((s->require_jti && c.jti.n == 0) || (s->require_session && c.session.n == 0))
        refuse(&r, PC_TOKEN_CLAIM_MISSING);
    read_audience(&r, s, &c.audiences);
    if (r.strings.overflow)
        refuse(&r, PC_TOKEN_TOO_LARGE);
    if (!r.err)
        *ret_claims = c;
    return r.err;
}
