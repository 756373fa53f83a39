/* SPDX-License-Identifier: Apache-2.0
 * The plain supplies of requests.h. The items (requests of the file, tokens) are shared and only
 * read; a source's own are where each connection stands and the counter. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "load/requests.h"

/* One request, or the middle of one: what stands between the supply's prefix and suffix. */
struct item {
    const uint8_t *at;
    const char *expected;
    uint32_t bytes;
    uint16_t expected_bytes;
    uint16_t status; /* HTTP: expected is just this; 0: something else */
    bool counts;     /* has a run of '@' */
};

struct requests {
    struct ld_supply supply;
    struct ld_class class;
    struct item *items;
    uint32_t item_count;
    uint8_t *prefix, *suffix; /* owned; NULL: the items are whole */
    uint8_t *whole;           /* owned: the only item of a plain request */
    uint32_t prefix_bytes, suffix_bytes;
    void *map; /* the file */
    size_t map_bytes;
    bool is_head;
    uint64_t counter_start;
    atomic_ullong next_counter; /* beyond every number that closed sources used */
};

struct requests_source {
    struct ld_source source;
    struct requests *requests;
    uint64_t counter, counter_step;
    uint64_t counted;
    uint32_t *next_item; /* per connection */
    uint8_t *scratch;    /* a request with its digits */
};

/* --- answers -------------------------------------------------------------------------------- */

/* One of the alternatives; n > 0. */
static bool begins_with(const char *expected, size_t n, bool resp, const struct ld_answer *a)
{
    if (n == 1 && *expected == '*')
        return true;
    if (resp)
        return a->head_bytes >= n && memcmp(a->head, expected, n) == 0;
    const char status[3] = {(char)('0' + a->status / 100), (char)('0' + a->status / 10 % 10),
                            (char)('0' + a->status % 10)};
    return n <= 3 && memcmp(status, expected, n) == 0;
}

static bool begins_with_one_of(const char *expected, size_t n, bool resp, const struct ld_answer *a)
{
    for (const char *bar; (bar = memchr(expected, '|', n)); expected = bar + 1) {
        const size_t one = (size_t)(bar - expected);
        if (one && begins_with(expected, one, resp, a))
            return true;
        n -= one + 1;
    }
    return n && begins_with(expected, n, resp, a);
}

static bool contains(const struct ld_answer *a, bool resp, const char *text, size_t n)
{
    return n == 0 || (a->body && memmem(a->body, a->body_bytes, text, n)) ||
           (resp && memmem(a->head, a->head_bytes, text, n));
}

bool ld_expectation_holds(const char *expected, size_t n, bool resp, const struct ld_answer *a)
{
    const char *text = memchr(expected, ' ', n);
    const size_t begin = text ? (size_t)(text - expected) : n;
    if (text && !contains(a, resp, text + 1, n - begin - 1))
        return false;
    if (begin == 0)
        return resp ? a->status != '-' : a->status >= 200 && a->status < 300;
    return begins_with_one_of(expected, begin, resp, a);
}

static enum ld_verdict answered(struct ld_source *source, unsigned conn, uint8_t class,
                                uint64_t cookie, const struct ld_answer *a, char why[LD_WHY_BYTES])
{
    const struct requests *r = ((struct requests_source *)source)->requests;
    const struct item *item = &r->items[cookie];
    (void)conn;
    (void)class;
    if (PC_LIKELY(item->status == a->status))
        return LD_RIGHT;
    if (PC_LIKELY(ld_expectation_holds(item->expected, item->expected_bytes, r->supply.resp, a)))
        return LD_RIGHT;
    const char *expected = item->expected_bytes ? item->expected
                           : r->supply.resp     ? "no error"
                                                : "2xx";
    const int bytes = item->expected_bytes ? item->expected_bytes : (int)strlen(expected);
    if (r->supply.resp)
        snprintf(why, LD_WHY_BYTES, "expected %.*s, got %.*s", bytes, expected,
                 (int)pc_min_u64(a->head_bytes, 120), (const char *)a->head);
    else
        snprintf(why, LD_WHY_BYTES, "expected %.*s, got %d %.*s", bytes, expected, a->status,
                 (int)pc_min_u64(a->body_bytes, 120), a->body ? (const char *)a->body : "");
    return LD_WRONG;
}

/* --- requests ------------------------------------------------------------------------------- */

static void fill_in_counter(struct requests_source *s, uint8_t *p, size_t n)
{
    uint8_t *end = p + n;
    while ((p = memmem(p, (size_t)(end - p), "@@@@@@@@@@@@", LD_COUNTER_DIGITS))) {
        uint64_t value = s->counter;
        s->counter += s->counter_step;
        s->counted++;
        for (int i = LD_COUNTER_DIGITS - 1; i >= 0; i--, value /= 10)
            p[i] = (uint8_t)('0' + value % 10);
        p += LD_COUNTER_DIGITS;
    }
}

static enum ld_next next(struct ld_source *source, unsigned conn, int64_t now_ns,
                         struct ld_request *req)
{
    struct requests_source *s = (struct requests_source *)source;
    const struct requests *r = s->requests;
    const uint32_t index = s->next_item[conn];
    const struct item *item = &r->items[index];
    (void)now_ns;
    s->next_item[conn] = index + 1 == r->item_count ? 0 : index + 1;
    __builtin_prefetch(r->items[s->next_item[conn]].at);
    req->piece_count = 0;
    if (r->prefix)
        req->pieces[req->piece_count++] = (struct ld_piece){r->prefix, r->prefix_bytes};
    if (item->counts) {
        memcpy(s->scratch, item->at, item->bytes);
        fill_in_counter(s, s->scratch, item->bytes);
    }
    req->pieces[req->piece_count++] =
        (struct ld_piece){item->counts ? s->scratch : item->at, item->bytes};
    if (r->suffix)
        req->pieces[req->piece_count++] = (struct ld_piece){r->suffix, r->suffix_bytes};
    req->class = 0;
    req->is_head = r->is_head;
    req->cookie = index;
    return LD_NEXT_REQUEST;
}

static void close_source(struct ld_source *source)
{
    struct requests_source *s = (struct requests_source *)source;
    atomic_ullong *next = &s->requests->next_counter;
    unsigned long long seen = atomic_load(next), mine = s->counter - s->counter_step + 1;
    while (s->counted && seen < mine && !atomic_compare_exchange_weak(next, &seen, mine))
        ;
    free(s->next_item);
    free(s->scratch);
    free(s);
}

static const struct ld_source_ops source_ops = {
    .next = next, .answered = answered, .close = close_source};

static struct ld_source *open_source(struct ld_supply *supply, const struct ld_place *place,
                                     const struct ld_hands *hands, struct ld_problem *problem)
{
    struct requests *r = (struct requests *)supply;
    struct requests_source *s = calloc(1, sizeof(*s));
    (void)hands;
    if (s) {
        s->source.ops = &source_ops;
        s->requests = r;
        s->next_item = calloc(place->connections, sizeof(*s->next_item));
        s->scratch = malloc(supply->request_bytes_max);
        s->counter = r->counter_start + place->thread;
        s->counter_step = place->threads;
    }
    if (!s || !s->next_item || !s->scratch) {
        ld_problem_set(problem, "no memory for requests");
        if (s)
            close_source(&s->source);
        return NULL;
    }
    for (unsigned i = 0; i < place->connections; i++)
        s->next_item[i] = (uint32_t)((uint64_t)(place->first_connection + i) * r->item_count /
                                     place->all_connections);
    return &s->source;
}

/* --- the supply ----------------------------------------------------------------------------- */

static json_t *describe(struct ld_supply *supply)
{
    struct requests *r = (struct requests *)supply;
    const json_int_t next_counter = (json_int_t)atomic_load(&r->next_counter);
    return json_pack("{s:s, s:I, s:I}", "name", supply->name, "requests", (json_int_t)r->item_count,
                     "next_counter", next_counter);
}

static void close_supply(struct ld_supply *supply)
{
    struct requests *r = (struct requests *)supply;
    if (r->map)
        munmap(r->map, r->map_bytes);
    free(r->items);
    free(r->prefix);
    free(r->suffix);
    free(r->whole);
    free(r);
}

static const struct ld_supply_ops supply_ops = {
    .open = open_source, .describe = describe, .close = close_supply};

static bool add_item(struct requests *r, struct item item, struct ld_problem *problem)
{
    if ((r->item_count & (r->item_count - 1)) == 0) {
        const size_t room = r->item_count ? 2 * (size_t)r->item_count : 1;
        struct item *grown =
            room > LD_REQUESTS_MAX ? NULL : realloc(r->items, room * sizeof(*grown));
        if (!grown)
            return ld_problem_set(problem, "more than %d requests", LD_REQUESTS_MAX);
        r->items = grown;
    }
    item.counts = memmem(item.at, item.bytes, "@@@@@@@@@@@@", LD_COUNTER_DIGITS) != NULL;
    if (!r->supply.resp && item.expected_bytes == 3 && strspn(item.expected, "0123456789") >= 3)
        item.status = (uint16_t)strtoul(item.expected, NULL, 10);
    r->items[r->item_count++] = item;
    r->supply.request_bytes_max = (uint32_t)pc_max_u64(r->supply.request_bytes_max, item.bytes);
    return true;
}

static bool map_file(struct requests *r, const char *path, struct ld_problem *problem)
{
    struct stat st;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        ld_problem_set(problem, "%s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return false;
    }
    r->map_bytes = (size_t)st.st_size;
    r->map = st.st_size ? mmap(NULL, r->map_bytes, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    close(fd);
    if (r->map != MAP_FAILED)
        return true;
    r->map = NULL;
    return ld_problem_set(problem, "%s: empty, or it cannot be mapped", path);
}

/* One "<bytes> <expected>\n<request>" at *at; moves past it. */
static bool parse_framed(struct requests *r, const char **at, const char *end, const char *expect)
{
    const char *p = *at;
    uint64_t bytes = 0;
    const char *const line_end = memchr(p, '\n', (size_t)(end - p));
    while (line_end && p < line_end && *p >= '0' && *p <= '9' && bytes <= LD_REQUEST_BYTES_MAX)
        bytes = bytes * 10 + (uint64_t)(*p++ - '0');
    if (!line_end || p == *at || *p != ' ' || bytes == 0 || bytes > LD_REQUEST_BYTES_MAX ||
        bytes > (size_t)(end - line_end - 1) || line_end - p > LD_EXPECT_BYTES)
        return false;
    const struct item item = {.at = (const uint8_t *)line_end + 1,
                              .bytes = (uint32_t)bytes,
                              .expected = expect ? expect : p + 1,
                              .expected_bytes =
                                  (uint16_t)(expect ? strlen(expect) : (size_t)(line_end - p - 1))};
    struct ld_problem ignored;
    *at = line_end + 1 + bytes;
    return add_item(r, item, &ignored);
}

static bool load_file(struct requests *r, const char *path, const char *expect,
                      struct ld_problem *problem)
{
    if (!map_file(r, path, problem))
        return false;
    const char *begin = r->map, *p = begin, *end = begin + r->map_bytes;
    while (p < end) {
        const char *at = p;
        if (!parse_framed(r, &p, end, expect))
            return ld_problem_set(problem,
                                  "%s: request %u at byte %td is not '<bytes> <expected>' and a "
                                  "line end before that many bytes (at most %d)",
                                  path, r->item_count + 1, at - begin, LD_REQUEST_BYTES_MAX);
    }
    return true;
}

/* Tokens, one per line; empty lines and lines that begin with '#' do not count. */
static bool load_tokens(struct requests *r, const char *path, const char *expect,
                        struct ld_problem *problem)
{
    if (!map_file(r, path, problem))
        return false;
    const char *p = r->map, *end = p + r->map_bytes;
    for (unsigned line = 1; p < end; line++) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        const char *stop = nl ? nl : end;
        size_t n = (size_t)(stop - p);
        n -= n && p[n - 1] == '\r';
        const bool is_token = n && *p != '#';
        if (is_token && (n > LD_TOKEN_BYTES_MAX || memchr(p, ' ', n)))
            return ld_problem_set(problem, "%s:%u: not a token", path, line);
        const struct item item = {.at = (const uint8_t *)p,
                                  .bytes = (uint32_t)n,
                                  .expected = expect ? expect : "",
                                  .expected_bytes = (uint16_t)(expect ? strlen(expect) : 0)};
        if (is_token && !add_item(r, item, problem))
            return false;
        p = nl ? nl + 1 : end;
    }
    return r->item_count ? true : ld_problem_set(problem, "%s: no token in it", path);
}

/* --- the plain request ---------------------------------------------------------------------- */

static char *read_text(const char *path, size_t *ret_bytes, struct ld_problem *problem)
{
    FILE *f = fopen(path, "re");
    char *text = malloc(LD_REQUEST_BYTES_MAX);
    const size_t n = f && text ? fread(text, 1, LD_REQUEST_BYTES_MAX, f) : 0;
    const bool good = f && text && !ferror(f) && feof(f);
    if (!good)
        ld_problem_set(problem, "%s: %s", path,
                       f && !ferror(f) ? "larger than a request may be" : strerror(errno));
    if (f)
        fclose(f);
    if (!good) {
        free(text);
        return NULL;
    }
    *ret_bytes = n;
    return text;
}

static bool has_header(const struct ld_options *o, const char *name)
{
    for (unsigned i = 0; i < o->headers.count; i++)
        if (strncasecmp(o->headers.items[i], name, strlen(name)) == 0)
            return true;
    return false;
}

/* Everything before the token of an Authorization field that is written last. */
static void write_http_head(FILE *f, const struct ld_options *o, size_t body_bytes)
{
    fprintf(f, "%s %s HTTP/1.1\r\n", o->method, o->target.path);
    if (!has_header(o, "host:"))
        fprintf(f, "Host: %s\r\n", o->host_header ? o->host_header : o->target.authority);
    for (unsigned i = 0; i < o->headers.count; i++)
        fprintf(f, "%s\r\n", o->headers.items[i]);
    if ((body_bytes || o->body || o->body_file) && !has_header(o, "content-length:"))
        fprintf(f, "Content-Length: %zu\r\n", body_bytes);
    if (o->body && !has_header(o, "content-type:"))
        fputs("Content-Type: application/json\r\n", f);
}

static bool make_http(struct requests *r, const struct ld_options *o, struct ld_problem *problem)
{
    size_t body_bytes = o->body ? strlen(o->body) : 0, prefix_bytes = 0, suffix_bytes = 0;
    char *from_file = NULL;
    if (o->body_file && !(from_file = read_text(o->body_file, &body_bytes, problem)))
        return false;
    FILE *head = open_memstream((char **)&r->prefix, &prefix_bytes);
    FILE *tail = open_memstream((char **)&r->suffix, &suffix_bytes);
    if (head && tail) {
        write_http_head(head, o, body_bytes);
        fputs(o->bearer_file ? "Authorization: Bearer " : "", head);
        fputs(o->bearer_file ? "\r\n\r\n" : "\r\n", tail);
        fwrite(from_file ? from_file : o->body ? o->body : "", 1, body_bytes, tail);
    }
    const bool good = head && tail;
    if (head)
        fclose(head);
    if (tail)
        fclose(tail);
    free(from_file);
    r->prefix_bytes = (uint32_t)prefix_bytes;
    r->suffix_bytes = (uint32_t)suffix_bytes;
    r->is_head = strcmp(o->method, "HEAD") == 0;
    return good ? true : ld_problem_set(problem, "no memory for the request");
}

/* The words of a command line (split at blanks) as an array of bulk strings. */
static bool make_resp(struct requests *r, const struct ld_options *o, struct ld_problem *problem)
{
    size_t words = 0, bytes = 0;
    for (const char *p = o->command; *(p += strspn(p, " ")); p += strcspn(p, " "))
        words++;
    FILE *f = words ? open_memstream((char **)&r->prefix, &bytes) : NULL;
    if (!f)
        return ld_problem_set(problem, "--command: no word in it");
    fprintf(f, "*%zu\r\n", words);
    for (const char *p = o->command; *(p += strspn(p, " "));) {
        const size_t n = strcspn(p, " ");
        fprintf(f, "$%zu\r\n%.*s\r\n", n, (int)n, p);
        p += n;
    }
    fclose(f);
    r->prefix_bytes = (uint32_t)bytes;
    return true;
}

/* The whole request is one item: then a run of '@' in it counts, wherever it stands. */
static bool join_parts(struct requests *r, const char *expect, struct ld_problem *problem)
{
    const size_t bytes = (size_t)r->prefix_bytes + r->suffix_bytes;
    uint8_t *whole = realloc(r->prefix, bytes);
    if (!whole)
        return ld_problem_set(problem, "no memory for the request");
    if (r->suffix)
        memcpy(whole + r->prefix_bytes, r->suffix, r->suffix_bytes);
    free(r->suffix);
    r->whole = whole;
    r->prefix = r->suffix = NULL;
    r->prefix_bytes = r->suffix_bytes = 0;
    return add_item(r,
                    (struct item){.at = whole,
                                  .bytes = (uint32_t)bytes,
                                  .expected = expect ? expect : "",
                                  .expected_bytes = (uint16_t)(expect ? strlen(expect) : 0)},
                    problem);
}

static bool make_plain(struct requests *r, const struct ld_options *o, struct ld_problem *problem)
{
    if (!(o->target.resp ? make_resp(r, o, problem) : make_http(r, o, problem)))
        return false;
    if (o->bearer_file && !load_tokens(r, o->bearer_file, o->expect, problem))
        return false;
    return o->bearer_file ? true : join_parts(r, o->expect, problem);
}

struct ld_supply *ld_requests_open(const struct ld_options *o, struct ld_problem *problem)
{
    struct requests *r = calloc(1, sizeof(*r));
    if (!r) {
        ld_problem_set(problem, "no memory");
        return NULL;
    }
    r->class = (struct ld_class){.name = "request", .help = "every request", .in_total = true};
    r->counter_start = o->counter;
    atomic_init(&r->next_counter, o->counter);
    r->supply = (struct ld_supply){.ops = &supply_ops,
                                   .name = o->requests_file ? "requests" : "plain",
                                   .classes = &r->class,
                                   .class_count = 1,
                                   .resp = o->target.resp};
    if (!(o->requests_file ? load_file(r, o->requests_file, o->expect, problem)
                           : make_plain(r, o, problem))) {
        close_supply(&r->supply);
        return NULL;
    }
    r->supply.request_bytes_max += r->prefix_bytes + r->suffix_bytes;
    return &r->supply;
}
