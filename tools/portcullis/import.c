/* SPDX-License-Identifier: Apache-2.0
 * portcullis revoke --import FILE: every line of an NDJSON file becomes a revocation.
 *
 * Lines are sent in chunks, as JSON arrays, over several connections at once. A chunk counts when
 * the server has acknowledged it, so what is reported as done is durable. FILE.progress keeps the
 * offset up to which everything is acknowledged; it is removed at the end. Since revoking twice is
 * harmless, resuming may repeat what was in flight.
 *
 * Chunks are in a ring of `window` slots in file order; the offset moves over the acknowledged
 * ones at its front. A chunk that the server refuses (400, or 413: too much at once) is halved
 * until the bad lines stand alone; they are reported by number and left out. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sha256.h"
#include "client.h"
#include "link/change.h"

#define CHUNK_LINES      2000
#define CHUNK_BYTES      (256 * 1024) /* servers take bodies of 1 MiB */
#define LINE_MAX_BYTES   (64 * 1024)
#define CONNECTIONS_MAX  64
#define CONNECTIONS      4
#define TRIES_MAX        10
#define RETRY_FIRST_MS   100
#define RETRY_MAX_MS     5000
#define BAD_LINES_SHOWN  20
#define HEAD_BYTES       4096 /* of the file, hashed to know it again */
#define NS_PER_MS        1000000
#define SAVE_INTERVAL_MS 1000
#define SHOW_INTERVAL_MS 200

enum chunk_state { FREE, READY, SENT, ACKED };

struct chunk {
    enum chunk_state state;
    size_t from, to;     /* bytes of the file */
    uint64_t first_line; /* number of the line at `from` */
    uint64_t lines;      /* good ones in body */
    char *body;          /* "[…]", terminated */
    unsigned tries;
    int64_t not_before_ns; /* READY: wait for this after a failure */
    CURL *transfer;        /* SENT */
    struct answer answer;
};

struct import {
    struct client client;
    CURLM *multi;
    const char *name;
    char progress_name[CLI_PATH_MAX];
    const uint8_t *data;
    size_t size;
    size_t read_to;     /* cut into chunks up to here */
    uint64_t read_line; /* number of the next line */
    size_t acked_to;    /* everything before it is acknowledged (or bad) */
    uint64_t acked_line;
    uint64_t done, bad;
    unsigned window, head, count; /* ring: chunk[head] … are in file order */
    struct chunk chunk[2 * CONNECTIONS_MAX];
    unsigned connections, in_flight;
    int64_t started_ns, saved_ns, shown_ns;
    size_t started_at;
    bool terminal;
    int status; /* not CLI_OK: stop */
};

/* ---- Lines. ---- */

static void report_bad(struct import *im, uint64_t line, const char *why)
{
    if (im->terminal && im->bad < BAD_LINES_SHOWN)
        fputs("\r\033[K", stderr);
    if (im->bad < BAD_LINES_SHOWN)
        fprintf(stderr, "portcullis: %s:%" PRIu64 ": %s\n", im->name, line, why);
    else if (im->bad == BAD_LINES_SHOWN)
        fprintf(stderr, "portcullis: more bad lines are only counted\n");
    im->bad++;
}

/* NULL when the object looks like a revocation; the server has the last word. */
static const char *fault_of(const json_t *object)
{
    if (!json_is_object(object))
        return "not a JSON object";
    if (json_object_get(object, "token"))
        return json_is_string(json_object_get(object, "token")) ? NULL : "token is no text";
    const char *name = json_string_value(json_object_get(object, "kind"));
    enum pc_kind kind = name ? pc_kind_of_name(pc_bytes_str(name)) : PC_KIND_NONE;
    if (kind == PC_KIND_NONE)
        return "has no kind that is known";
    if (kind != PC_KIND_ALL && kind != PC_KIND_ISSUER &&
        json_string_length(json_object_get(object, "id")) == 0)
        return "has no id";
    return NULL;
}

static bool line_is_good(struct import *im, uint64_t number, const char *line, size_t n)
{
    json_error_t where;
    if (n > LINE_MAX_BYTES) {
        report_bad(im, number, "too long");
        return false;
    }
    json_t *object = json_loadb(line, n, JSON_REJECT_DUPLICATES, &where);
    const char *fault = object ? fault_of(object) : where.text;
    if (fault)
        report_bad(im, number, fault);
    json_decref(object);
    return !fault;
}

static bool is_blank(const char *line, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strchr(" \t\r", line[i]))
            return false;
    return true;
}

/* Cuts the next chunk out of the file; false at its end or without memory. */
static bool cut_chunk(struct import *im, struct chunk *c)
{
    char *body = malloc(CHUNK_BYTES + LINE_MAX_BYTES + 4);
    struct pc_buf b = pc_buf_of(body, CHUNK_BYTES + LINE_MAX_BYTES + 4);
    *c = (struct chunk){.from = im->read_to, .first_line = im->read_line, .body = body};
    if (!body) {
        im->status = cli_fail(CLI_NO, "out of memory");
        return false;
    }
    pc_buf_char(&b, '[');
    while (im->read_to < im->size && c->lines < CHUNK_LINES && b.len < CHUNK_BYTES) {
        const char *line = (const char *)im->data + im->read_to;
        const char *end = memchr(line, '\n', im->size - im->read_to);
        size_t n = end ? (size_t)(end - line) : im->size - im->read_to;
        if (!is_blank(line, n) && line_is_good(im, im->read_line, line, n)) {
            if (c->lines++)
                pc_buf_char(&b, ',');
            pc_buf_put(&b, line, n);
        }
        im->read_to += n + (end != NULL);
        im->read_line++;
    }
    pc_buf_lit(&b, "]\0");
    PC_ASSERT(!b.overflow);
    c->to = im->read_to;
    c->state = c->lines ? READY : ACKED;
    return c->to > c->from;
}

/* ---- Progress. ---- */

/* The head of the file tells whether it is the one that was begun. */
static void hash_head(const struct import *im, char ret_hex[2 * PC_SHA256_BYTES + 1])
{
    uint8_t digest[PC_SHA256_BYTES];
    pc_sha256(im->data, pc_min_u64(im->size, HEAD_BYTES), digest);
    pc_hex_encode(digest, sizeof digest, ret_hex);
    ret_hex[2 * PC_SHA256_BYTES] = 0;
}

static void save_progress(struct import *im)
{
    char head[2 * PC_SHA256_BYTES + 1], text[512];
    struct pc_why why;
    hash_head(im, head);
    int n = snprintf(text, sizeof text,
                     "{\"size\":%zu,\"head_sha256\":\"%s\",\"offset\":%zu,\"line\":%" PRIu64
                     ",\"revoked\":%" PRIu64 "}\n",
                     im->size, head, im->acked_to, im->acked_line, im->done);
    PC_ASSERT(n > 0 && (size_t)n < sizeof text);
    if (pc_secret_write(im->progress_name, pc_bytes_of(text, (size_t)n), &why))
        cli_fail(CLI_NO, "%s (the import goes on)", why.text);
    im->saved_ns = pc_clock_mono_ns();
}

static void load_progress(struct import *im)
{
    char head[2 * PC_SHA256_BYTES + 1];
    json_t *doc = json_load_file(im->progress_name, 0, NULL);
    const char *known = json_string_value(json_object_get(doc, "head_sha256"));
    json_int_t offset = json_integer_value(json_object_get(doc, "offset"));
    json_int_t line = json_integer_value(json_object_get(doc, "line"));
    hash_head(im, head);
    bool same = known && strcmp(known, head) == 0 &&
                json_integer_value(json_object_get(doc, "size")) == (json_int_t)im->size;
    if (same && offset > 0 && (size_t)offset <= im->size && line > 0 &&
        im->data[offset - 1] == '\n') {
        im->read_to = im->acked_to = im->started_at = (size_t)offset;
        im->read_line = im->acked_line = (uint64_t)line;
        fprintf(stderr, "Resuming at line %lld.\n", (long long)line);
    }
    json_decref(doc);
}

static void show_progress(struct import *im, bool last)
{
    int64_t now_ns = pc_clock_mono_ns();
    if (!im->terminal || (!last && now_ns - im->shown_ns < SHOW_INTERVAL_MS * NS_PER_MS))
        return;
    im->shown_ns = now_ns;
    enum { WIDTH = 30 };
    char bar[WIDTH + 1];
    double part = im->size ? (double)im->acked_to / (double)im->size : 1;
    double seconds = (double)(now_ns - im->started_ns) / 1e9;
    int full = (int)(part * WIDTH);
    memset(bar, '.', WIDTH);
    memset(bar, '#', (size_t)full);
    bar[WIDTH] = 0;
    fprintf(stderr, "\r\033[K[%s] %3d %%  %" PRIu64 " revoked  %.0f/s%s", bar, (int)(part * 100),
            im->done, seconds > 0 ? (double)im->done / seconds : 0, last ? "\n" : "");
}

/* ---- Sending. ---- */

static void send_chunk(struct import *im, struct chunk *c)
{
    c->transfer = client_prepare(&im->client, "POST", "/v1/revoke", c->body, &c->answer);
    if (!c->transfer) {
        im->status = cli_fail(CLI_NO, "out of memory");
        return;
    }
    curl_easy_setopt(c->transfer, CURLOPT_PRIVATE, c);
    curl_multi_add_handle(im->multi, c->transfer);
    c->state = SENT;
    c->tries++;
    im->in_flight++;
}

/* Too busy, or not there for a moment: the same again, later. */
static void retry_later(struct import *im, struct chunk *c)
{
    if (c->tries >= TRIES_MAX) {
        im->status = client_explain(&im->client, &c->answer);
        return;
    }
    int64_t wait_ms = pc_min_i64((int64_t)RETRY_FIRST_MS << (c->tries - 1), RETRY_MAX_MS);
    c->not_before_ns = pc_clock_mono_ns() + wait_ms * NS_PER_MS;
    c->state = READY;
}

/* The request itself is at fault: sending the same again would not help. */
static bool is_refusal(long status)
{
    return status == 400 || status == 413 || status == 422;
}

/* Sends lines [from, to) of the array one by one or in halves, until only bad ones are refused. */
static void isolate(struct import *im, const json_t *lines, size_t from, size_t to,
                    const uint64_t *numbers)
{
    json_t *part = json_array();
    struct answer a;
    for (size_t i = from; i < to; i++)
        json_array_append(part, json_array_get(lines, i));
    char *body = json_dumps(part, JSON_COMPACT);
    json_decref(part);
    if (!body && !im->status)
        im->status = cli_fail(CLI_NO, "out of memory");
    if (im->status) {
        free(body);
        return;
    }
    client_call(&im->client, "POST", "/v1/revoke", body, &a);
    free(body);
    if (a.status == 200 || a.status == 202) {
        im->done += to - from;
    } else if (!is_refusal(a.status)) {
        im->status = client_explain(&im->client, &a);
    } else if (to - from == 1) {
        json_t *doc = a.body ? json_loads(a.body, 0, NULL) : NULL;
        const char *why =
            json_string_value(json_object_get(json_object_get(doc, "error"), "message"));
        report_bad(im, numbers[from], why ? why : "refused by the server");
        json_decref(doc);
    } else {
        size_t middle = from + (to - from) / 2;
        isolate(im, lines, from, middle, numbers);
        isolate(im, lines, middle, to, numbers);
    }
    free(a.body);
}

/* Line numbers of the lines that are in the chunk's body: blank and bad ones are not. */
static void number_lines(const struct import *im, const struct chunk *c, const json_t *lines,
                         uint64_t *numbers)
{
    uint64_t number = c->first_line;
    size_t found = 0, n;
    for (size_t at = c->from; at < c->to && found < json_array_size(lines); at += n + 1, number++) {
        const char *line = (const char *)im->data + at;
        const char *end = memchr(line, '\n', c->to - at);
        n = end ? (size_t)(end - line) : c->to - at;
        json_t *object = json_loadb(line, n, JSON_REJECT_DUPLICATES, NULL);
        if (object && !fault_of(object))
            numbers[found++] = number;
        json_decref(object);
    }
    PC_ASSERT(found == json_array_size(lines));
}

static void refused_chunk(struct import *im, struct chunk *c)
{
    json_t *lines = json_loads(c->body, 0, NULL);
    uint64_t *numbers = calloc(json_array_size(lines) + 1, sizeof *numbers);
    if (!lines || !numbers) {
        im->status = cli_fail(CLI_NO, "out of memory");
    } else {
        number_lines(im, c, lines, numbers);
        isolate(im, lines, 0, json_array_size(lines), numbers);
    }
    free(numbers);
    json_decref(lines);
    /* Stopped in the middle, it is not acknowledged: the next run sends all of it again. */
    c->state = im->status ? READY : ACKED;
}

static void chunk_answered(struct import *im, struct chunk *c, CURLcode code)
{
    long status = 0;
    if (code == CURLE_OK)
        curl_easy_getinfo(c->transfer, CURLINFO_RESPONSE_CODE, &status);
    c->answer.status = status;
    curl_multi_remove_handle(im->multi, c->transfer);
    curl_easy_cleanup(c->transfer);
    c->transfer = NULL;
    im->in_flight--;
    if (status == 200 || status == 202) {
        im->done += c->lines;
        c->state = ACKED;
    } else if (status == 0 || status == 503 || status == 429) {
        retry_later(im, c);
    } else if (is_refusal(status)) {
        refused_chunk(im, c);
    } else {
        im->status = client_explain(&im->client, &c->answer);
        c->state = READY;
    }
    free(c->answer.body);
    c->answer.body = NULL;
}

/* ---- The ring. ---- */

static struct chunk *slot(struct import *im, unsigned i)
{
    return &im->chunk[(im->head + i) % im->window];
}

static void fill(struct import *im)
{
    while (!im->status && im->count < im->window && im->read_to < im->size) {
        if (!cut_chunk(im, slot(im, im->count)))
            return;
        im->count++;
    }
}

/* Moves the acknowledged offset over what is done at the front. */
static void advance(struct import *im)
{
    while (im->count && slot(im, 0)->state == ACKED) {
        struct chunk *c = slot(im, 0);
        PC_ASSERT(c->from == im->acked_to);
        im->acked_to = c->to;
        im->head = (im->head + 1) % im->window;
        im->count--;
        im->acked_line = im->count ? slot(im, 0)->first_line : im->read_line;
        free(c->body);
        *c = (struct chunk){.state = FREE};
    }
    if (pc_clock_mono_ns() - im->saved_ns > SAVE_INTERVAL_MS * (int64_t)NS_PER_MS)
        save_progress(im);
}

static void start_ready(struct import *im)
{
    int64_t now_ns = pc_clock_mono_ns();
    for (unsigned i = 0; i < im->count && im->in_flight < im->connections && !im->status; i++)
        if (slot(im, i)->state == READY && slot(im, i)->not_before_ns <= now_ns)
            send_chunk(im, slot(im, i));
}

static void take_answers(struct import *im)
{
    int running, left;
    CURLMsg *message;
    curl_multi_perform(im->multi, &running);
    while ((message = curl_multi_info_read(im->multi, &left))) {
        struct chunk *c;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&c);
        chunk_answered(im, c, code);
    }
}

static void run(struct import *im)
{
    fill(im);
    while (!im->status && im->count) {
        start_ready(im);
        curl_multi_poll(im->multi, NULL, 0, RETRY_FIRST_MS, NULL);
        take_answers(im);
        advance(im);
        fill(im);
        show_progress(im, false);
    }
}

static void drop_chunks(struct import *im)
{
    for (unsigned i = 0; i < im->window; i++) {
        struct chunk *c = &im->chunk[i];
        if (c->transfer) {
            curl_multi_remove_handle(im->multi, c->transfer);
            curl_easy_cleanup(c->transfer);
        }
        free(c->answer.body);
        free(c->body);
    }
}

/* ---- The whole. ---- */

static int map_file(struct import *im)
{
    struct stat st;
    int fd = open(im->name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return cli_fail(CLI_NO, "%s: %s", im->name, pc_strerror(-errno));
    int status = CLI_OK;
    im->size = (size_t)st.st_size;
    if (!S_ISREG(st.st_mode)) {
        status =
            cli_fail(CLI_NO, "%s: must be a file, so that the import can be resumed", im->name);
    } else if (im->size) {
        void *p = mmap(NULL, im->size, PROT_READ, MAP_PRIVATE, fd, 0);
        im->data = p;
        if (p == MAP_FAILED)
            status = cli_fail(CLI_NO, "%s: %s", im->name, pc_strerror(-errno));
        else
            madvise(p, im->size, MADV_SEQUENTIAL);
    }
    close(fd);
    return status;
}

static int finish(struct import *im)
{
    show_progress(im, true);
    if (im->status) {
        save_progress(im);
        fprintf(stderr, "Stopped at line %" PRIu64 "; the same command resumes there.\n",
                im->acked_line);
        return im->status;
    }
    unlink(im->progress_name);
    printf("revoked %" PRIu64 ", bad lines %" PRIu64 "\n", im->done, im->bad);
    return im->bad ? CLI_NO : CLI_OK;
}

static int set_connections(const struct cli *c, struct import *im)
{
    uint64_t n = CONNECTIONS;
    if (c->o.connections &&
        (pc_bytes_to_u64(pc_bytes_str(c->o.connections), &n) || n == 0 || n > CONNECTIONS_MAX))
        return cli_usage(c, "--connections must be 1 to %d", CONNECTIONS_MAX);
    im->connections = (unsigned)n;
    im->window = 2 * (unsigned)n;
    return CLI_OK;
}

static int import_with(struct cli *c, struct import *im)
{
    int status = map_file(im);
    if (status)
        return status;
    status = client_open(c, &im->client);
    if (status)
        return status;
    im->multi = curl_multi_init();
    if (!im->multi)
        return cli_fail(CLI_NO, "out of memory");
    curl_multi_setopt(im->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)im->connections);
    curl_multi_setopt(im->multi, CURLMOPT_MAXCONNECTS, (long)im->connections);
    load_progress(im);
    run(im);
    drop_chunks(im);
    curl_multi_cleanup(im->multi);
    client_close(&im->client);
    return finish(im);
}

int cli_import(struct cli *c)
{
    struct import *im = calloc(1, sizeof *im);
    if (!im)
        return cli_fail(CLI_NO, "out of memory");
    im->name = c->o.import;
    im->read_line = im->acked_line = 1;
    im->started_ns = im->saved_ns = pc_clock_mono_ns();
    im->terminal = isatty(STDERR_FILENO);
    snprintf(im->progress_name, sizeof im->progress_name, "%s.progress", im->name);
    int status = set_connections(c, im);
    if (!status)
        status = import_with(c, im);
    if (im->data && im->data != MAP_FAILED)
        munmap((void *)(uintptr_t)im->data, im->size);
    free(im);
    return status;
}
