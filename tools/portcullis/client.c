/* SPDX-License-Identifier: Apache-2.0
 * Finding the server and the credential, and one HTTP request at a time. */
#include "client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONNECT_TIMEOUT_MS 5000L
#define TOTAL_TIMEOUT_MS   60000L
#define LISTENERS_FILE_MAX (64 * 1024)

/* ---- Where. ---- */

static int set_url(struct client *cl, const char *url)
{
    size_t n = strlen(url);
    if (n >= sizeof cl->url)
        return cli_fail(CLI_USAGE, "the URL is too long");
    if (strncmp(url, "unix:", 5) == 0) {
        snprintf(cl->socket, sizeof cl->socket, "%s", url + 5);
        snprintf(cl->url, sizeof cl->url, "http://localhost");
        return CLI_OK;
    }
    snprintf(cl->url, sizeof cl->url, "%s%s", strstr(url, "://") ? "" : "http://", url);
    for (n = strlen(cl->url); n && cl->url[n - 1] == '/'; n--)
        cl->url[n - 1] = 0;
    return CLI_OK;
}

/* The address of the listener "http", else of the first, that the running server wrote down. */
static bool url_of_data_dir(const struct cli *c, struct client *cl)
{
    char path[CLI_PATH_MAX];
    const char *address = NULL;
    size_t i;
    json_t *each;
    snprintf(path, sizeof path, "%s/listeners.json", cli_data_dir(c));
    json_t *doc = json_load_file(path, 0, NULL);
    json_array_foreach(json_object_get(doc, "listeners"), i, each)
    {
        const char *name = json_string_value(json_object_get(each, "name"));
        if (i == 0 || (name && strcmp(name, "http") == 0))
            address = json_string_value(json_object_get(each, "address"));
    }
    bool found = address && set_url(cl, address) == CLI_OK;
    json_decref(doc);
    return found;
}

static int find_url(const struct cli *c, struct client *cl)
{
    const char *url = c->o.url ? c->o.url : cli_env(c, "PORTCULLIS_URL");
    const char *port = cli_env(c, "PORTCULLIS_HTTP_PORT");
    char text[64];
    if (url)
        return set_url(cl, url);
    if (url_of_data_dir(c, cl))
        return CLI_OK;
    snprintf(text, sizeof text, "http://127.0.0.1:%s", port ? port : "8080");
    return set_url(cl, text);
}

/* ---- Who. ---- */

static int add_header(struct client *cl, const char *line)
{
    struct curl_slist *longer = curl_slist_append(cl->headers, line);
    if (!longer)
        return cli_fail(CLI_NO, "out of memory");
    cl->headers = longer;
    return CLI_OK;
}

/* Whether the server is on this machine, as far as its address says so by itself. */
static bool is_here(const struct client *cl)
{
    const char *host = strstr(cl->url, "://");
    host = host ? host + 3 : cl->url;
    size_t n = strcspn(host, "/:?#");
    if (strchr(host, '@'))
        return false;
    if (strncmp(host, "[::1]", 5) == 0 || (n == 9 && strncmp(host, "localhost", n) == 0))
        return true;
    return strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == n;
}

/* A file that was named must work; the one of the data directory is taken if it is there, for the
 * server of this machine only: it is not meant for any other. */
static int find_credential(const struct cli *c, struct client *cl)
{
    char path[CLI_PATH_MAX], line[PC_SECRET_MAX + 32];
    const char *named =
        c->o.credential ? c->o.credential : cli_env(c, "PORTCULLIS_ADMIN_TOKEN_FILE");
    struct pc_secret secret;
    struct pc_why why;
    if (!named) {
        snprintf(path, sizeof path, "%s/admin.token", cli_data_dir(c));
        if (!is_here(cl) || access(path, F_OK) != 0)
            return CLI_OK;
    }
    if (pc_secret_read(named ? named : path, &secret, &why))
        return cli_fail(CLI_NO, "%s", why.text);
    snprintf(line, sizeof line, "Authorization: Bearer %.*s", (int)secret.n,
             (const char *)secret.bytes);
    cl->has_credential = true;
    int status = add_header(cl, line);
    pc_wipe(&secret, sizeof secret);
    pc_wipe(line, sizeof line);
    return status;
}

int client_open(const struct cli *c, struct client *ret_client)
{
    struct client cl = {.headers = NULL};
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int status = find_url(c, &cl);
    if (!status)
        status = find_credential(c, &cl);
    if (!status)
        status = add_header(&cl, "Content-Type: application/json");
    if (!status)
        status = add_header(&cl, "Expect:"); /* no round trip before the body */
    if (status)
        client_close(&cl);
    else
        *ret_client = cl;
    return status;
}

void client_close(struct client *cl)
{
    for (struct curl_slist *h = cl->headers; h; h = h->next)
        pc_wipe(h->data, strlen(h->data));
    curl_slist_free_all(cl->headers);
    cl->headers = NULL;
}

/* ---- Requests. ---- */

static size_t take_body(char *p, size_t size, size_t count, void *ctx)
{
    struct answer *a = ctx;
    size_t n = size * count;
    if (n > CLIENT_ANSWER_MAX - a->n) {
        a->too_large = true;
        return 0;
    }
    char *longer = realloc(a->body, a->n + n + 1);
    if (!longer)
        return 0;
    memcpy(longer + a->n, p, n);
    a->body = longer;
    a->n += n;
    longer[a->n] = 0;
    return n;
}

CURL *client_prepare(const struct client *cl, const char *method, const char *path,
                     const char *body, struct answer *answer)
{
    char url[CLIENT_URL_MAX + CLI_PATH_MAX];
    CURL *h = curl_easy_init();
    if (!h)
        return NULL;
    snprintf(url, sizeof url, "%s%s", cl->url, path);
    *answer = (struct answer){.status = 0};
    curl_easy_setopt(h, CURLOPT_URL, url);
    if (*cl->socket)
        curl_easy_setopt(h, CURLOPT_UNIX_SOCKET_PATH, cl->socket);
    curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(h, CURLOPT_HTTPHEADER, cl->headers);
    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, answer->error);
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, answer);
    curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, TOTAL_TIMEOUT_MS);
    curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h, CURLOPT_NOPROXY, "*"); /* a credential goes to the named server only */
    curl_easy_setopt(h, CURLOPT_USERAGENT, "portcullis/" PC_VERSION);
    if (body) {
        curl_easy_setopt(h, CURLOPT_POSTFIELDS, body);
        curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
    }
    return h;
}

void client_call(const struct client *cl, const char *method, const char *path, const char *body,
                 struct answer *ret_answer)
{
    CURL *h = client_prepare(cl, method, path, body, ret_answer);
    if (!h) {
        *ret_answer = (struct answer){.status = 0};
        snprintf(ret_answer->error, sizeof ret_answer->error, "out of memory");
        return;
    }
    CURLcode code = curl_easy_perform(h);
    if (code == CURLE_OK)
        curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &ret_answer->status);
    else if (!ret_answer->error[0])
        snprintf(ret_answer->error, sizeof ret_answer->error, "%s", curl_easy_strerror(code));
    curl_easy_cleanup(h);
}

/* ---- What the server said. ---- */

/* The length of a control character at p (C0, DEL, or C1 in UTF-8), 0 for anything else. */
static size_t control_length(const char *p, size_t left)
{
    unsigned char c = (unsigned char)p[0];
    if (c < 0x20 || c == 0x7f)
        return 1;
    return c == 0xc2 && left > 1 && (unsigned char)p[1] < 0xa0 ? 2 : 0;
}

/* Control characters move a terminal's cursor, hide lines, set titles; keys of limits and subjects
 * of tokens are chosen by strangers. They are shown as \u001b. */
static void defuse_string(json_t *string)
{
    const char *text = json_string_value(string);
    size_t n = json_string_length(string), used = 0, at = 0;
    char *copy = malloc(6 * n + 1);
    while (copy && at < n) {
        size_t control = control_length(text + at, n - at);
        if (control == 0) {
            copy[used++] = text[at++];
            continue;
        }
        used += (size_t)snprintf(copy + used, sizeof "\\u0000", "\\u%04x",
                                 (unsigned char)text[at + control - 1]);
        at += control;
    }
    if (!copy || (used != n && json_string_setn(string, copy, used) < 0))
        json_string_setn(string, "", 0);
    free(copy);
}

static void defuse(json_t *doc)
{
    const char *key;
    json_t *value;
    size_t i;
    if (json_is_string(doc))
        defuse_string(doc);
    json_array_foreach(doc, i, value) defuse(value);
    json_object_foreach(doc, key, value) defuse(value);
}

json_t *client_parse(const struct answer *a)
{
    json_t *doc =
        a->body ? json_loads(a->body, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL) : NULL;
    defuse(doc);
    return doc;
}

/* The message in {"error":{"code","message"}}, or the whole body. */
static int explain_error(const struct client *cl, const struct answer *a)
{
    json_t *doc = client_parse(a);
    const json_t *error = json_object_get(doc, "error");
    const char *code = json_string_value(json_object_get(error, "code"));
    const char *message = json_string_value(json_object_get(error, "message"));
    if (code)
        cli_fail(CLI_SERVER, "%s (%s, status %ld)", message ? message : "refused", code, a->status);
    else
        cli_fail(CLI_SERVER, "the server answered with status %ld%s%.200s", a->status,
                 a->body ? ": " : "", a->body ? a->body : "");
    if ((a->status == 401 || a->status == 403) && !cl->has_credential)
        fputs(
            "No credential was sent: use --credential FILE, PORTCULLIS_ADMIN_TOKEN_FILE, or, for a "
            "server on this machine, run where the data directory has admin.token.\n",
            stderr);
    json_decref(doc);
    return CLI_SERVER;
}

int client_explain(const struct client *cl, const struct answer *a)
{
    if (a->status)
        return explain_error(cl, a);
    const char *where = *cl->socket ? cl->socket : cl->url;
    return cli_fail(CLI_SERVER, "no answer from %s: %s", where,
                    a->too_large ? "the answer is too large" : a->error);
}

json_t *client_json(const struct answer *a)
{
    json_t *doc = client_parse(a);
    if (!doc)
        cli_fail(CLI_SERVER, "the server's answer is not JSON");
    return doc;
}
