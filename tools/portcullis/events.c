/* SPDX-License-Identifier: Apache-2.0
 * portcullis events: what the server tells of on /v1/events, a line of JSON each.
 *
 * A stream that ends is opened again behind the last event, so that nothing is missed as long as
 * the server remembers it; where it does not it says so itself (event "reset"). */
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

#define LINE_MAX_BYTES (64u << 10) /* of the stream; the server's are at most 16 KiB */
#define REFUSAL_MAX    4096        /* bytes of an answer that is no stream */
#define RETRY_MS       2000        /* before a stream is opened again */
#define ID_MAX         128
#define NAME_MAX_BYTES 32

struct watcher {
    CURL *h;
    struct answer answer; /* what was said where no stream was given */
    char *line;           /* [LINE_MAX_BYTES] */
    size_t n;
    char *data; /* of the event at hand; NULL: none */
    char event[NAME_MAX_BYTES], id[ID_MAX];
    unsigned long left; /* events still wanted; 0: all there will be */
    bool done;          /* as many as were wanted */
    bool full;          /* a line too long, or no memory: the stream cannot be read */
};

static void copy(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from);
}

/* One event is complete. */
static void print_event(struct watcher *w)
{
    if (w->event[0] && w->data) {
        printf("{\"event\":\"%s\",\"id\":\"%s\",\"data\":%s}\n", w->event, w->id, w->data);
        fflush(stdout);
        w->done = w->left && --w->left == 0;
    }
    w->event[0] = 0;
    free(w->data);
    w->data = NULL;
}

/* A line of the stream, without its end. */
static void take_line(struct watcher *w, const char *line)
{
    if (!*line) {
        print_event(w);
    } else if (strncmp(line, "event: ", 7) == 0) {
        copy(w->event, sizeof w->event, line + 7);
    } else if (strncmp(line, "id: ", 4) == 0) {
        copy(w->id, sizeof w->id, line + 4);
    } else if (strncmp(line, "data: ", 6) == 0) {
        free(w->data);
        w->data = strdup(line + 6);
        w->full |= !w->data;
    }
}

static size_t take_refusal(struct watcher *w, const char *p, size_t n)
{
    struct answer *a = &w->answer;
    char *longer = n < REFUSAL_MAX - a->n ? realloc(a->body, a->n + n + 1) : NULL;
    if (!longer)
        return 0;
    memcpy(longer + a->n, p, n);
    a->body = longer;
    a->n += n;
    longer[a->n] = 0;
    return n;
}

static size_t take(char *p, size_t size, size_t count, void *ctx)
{
    struct watcher *w = ctx;
    size_t n = size * count;
    long status = 0;
    curl_easy_getinfo(w->h, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200)
        return take_refusal(w, p, n);
    for (size_t i = 0; i < n && !w->done && !w->full; i++) {
        if (p[i] != '\n') {
            w->line[w->n++] = p[i];
            w->full = w->n == LINE_MAX_BYTES;
            continue;
        }
        w->line[w->n] = 0;
        w->n = 0;
        take_line(w, w->line);
    }
    return w->done || w->full ? 0 : n;
}

/* "/v1/events?types=…&last_event_id=…" */
static int make_path(const struct cli *c, const struct watcher *w, char *path, size_t size)
{
    char *types = c->o.types ? curl_easy_escape(NULL, c->o.types, 0) : NULL;
    char *id = w->id[0] ? curl_easy_escape(NULL, w->id, 0) : NULL;
    int n = snprintf(path, size, "/v1/events?%s%s%s%s%s", types ? "types=" : "", types ? types : "",
                     types && id ? "&" : "", id ? "last_event_id=" : "", id ? id : "");
    curl_free(types);
    curl_free(id);
    return n > 0 && (size_t)n < size ? CLI_OK : cli_fail(CLI_USAGE, "--types is too long");
}

/* One stream from its beginning to its end; the answer's status is 0 when there was none. */
static int watch_once(struct cli *c, const struct client *client, struct watcher *w)
{
    char path[CLI_PATH_MAX];
    int status = make_path(c, w, path, sizeof path);
    if (status)
        return status;
    free(w->answer.body);
    w->h = client_prepare(client, "GET", path, NULL, &w->answer);
    if (!w->h)
        return cli_fail(CLI_NO, "out of memory");
    w->n = 0;
    curl_easy_setopt(w->h, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(w->h, CURLOPT_WRITEDATA, w);
    curl_easy_setopt(w->h, CURLOPT_TIMEOUT_MS, 0L);
    curl_easy_setopt(w->h, CURLOPT_TCP_KEEPALIVE, 1L);
    CURLcode code = curl_easy_perform(w->h);
    curl_easy_getinfo(w->h, CURLINFO_RESPONSE_CODE, &w->answer.status);
    if (code != CURLE_OK && !w->answer.error[0])
        copy(w->answer.error, sizeof w->answer.error, curl_easy_strerror(code));
    curl_easy_cleanup(w->h);
    return CLI_OK;
}

/* Whether it is worth trying again: the stream ended, or the server cannot give one now. */
static bool may_try_again(const struct watcher *w, bool was_open)
{
    return !w->full && (w->answer.status == 200 || (was_open && w->answer.status == 0) ||
                        (was_open && w->answer.status == 503));
}

static int watch(struct cli *c, const struct client *client, struct watcher *w)
{
    bool was_open = false;
    for (;;) {
        int status = watch_once(c, client, w);
        if (status || w->done)
            return status;
        was_open |= w->answer.status == 200;
        if (w->full)
            return cli_fail(CLI_NO, "a line of the stream is too long, or memory is short");
        if (!may_try_again(w, was_open))
            return client_explain(client, &w->answer);
        fputs("portcullis: the stream ended; opening it again\n", stderr);
        poll(NULL, 0, RETRY_MS);
    }
}

int cli_events(struct cli *c)
{
    struct watcher w = {.line = malloc(LINE_MAX_BYTES)};
    struct client client;
    char *end = NULL;
    if (c->o.count)
        w.left = strtoul(c->o.count, &end, 10);
    int status = CLI_OK;
    if (!w.line)
        status = cli_fail(CLI_NO, "out of memory");
    else if (c->o.count && (*end || w.left == 0 || c->o.count[0] == '-'))
        status = cli_usage(c, "--count is a number above 0");
    else if (c->o.after && strlen(c->o.after) >= sizeof w.id)
        status = cli_usage(c, "--after is an event's id");
    if (!status)
        status = client_open(c, &client);
    if (!status) {
        copy(w.id, sizeof w.id, c->o.after ? c->o.after : "");
        status = watch(c, &client, &w);
        client_close(&client);
    }
    free(w.answer.body);
    free(w.data);
    free(w.line);
    return status;
}
