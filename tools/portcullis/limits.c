/* SPDX-License-Identifier: Apache-2.0
 * portcullis limits take, peek, reset and top: one request each. */
#include <stdlib.h>
#include <string.h>

#include "client.h"

/* "/v1/limits/POLICY/KEY", percent-encoded. In a key the server writes ~1 for '/', and a path has
 * no other way to say it. */
static int limit_path(const struct cli *c, char *path, size_t size)
{
    char *policy = curl_easy_escape(NULL, c->args[0], 0);
    char *key = curl_easy_escape(NULL, c->args[1], 0);
    int n = policy && key ? snprintf(path, size, "/v1/limits/%s/%s", policy, key) : -1;
    curl_free(policy);
    curl_free(key);
    if (strchr(c->args[1], '/'))
        return cli_fail(CLI_USAGE, "in a key ~1 stands for '/' (and ~0 for ~, ~2 for |)");
    return n > 0 && (size_t)n < size ? CLI_OK : cli_fail(CLI_USAGE, "the key is too long");
}

/* Sends, and shows the answer: as it is with --json, else through show(). A refused take is an
 * answer too. */
static int call(struct cli *c, const char *method, const char *path, const char *body,
                int (*show)(const json_t *doc))
{
    struct client client;
    struct answer a;
    json_t *doc = NULL;
    int status = client_open(c, &client);
    if (status)
        return status;
    client_call(&client, method, path, body, &a);
    doc = a.status == 200 || a.status == 429 ? client_json(&a) : NULL;
    if (!doc)
        status = a.status == 200 ? CLI_SERVER : client_explain(&client, &a);
    else if (c->o.json)
        printf("%s\n", a.body);
    if (doc && !c->o.json)
        status = show(doc);
    else if (doc)
        status = json_is_false(json_object_get(doc, "allow")) ? CLI_NO : CLI_OK;
    json_decref(doc);
    free(a.body);
    client_close(&client);
    return status;
}

static void show_number(const json_t *doc, const char *name, const char *member)
{
    const json_t *value = json_object_get(doc, member);
    if (json_is_integer(value))
        printf("%-14s %lld\n", name, (long long)json_integer_value(value));
    else
        printf("%-14s %s\n", name, json_is_null(value) ? "-" : "?");
}

static int show_limit(const json_t *doc)
{
    bool allow = json_is_true(json_object_get(doc, "allow"));
    const char *code = json_string_value(json_object_get(doc, "code"));
    printf("%-14s %s\n", allow ? "allowed" : "refused", code ? code : "");
    show_number(doc, "limit", "limit");
    show_number(doc, "remaining", "remaining");
    show_number(doc, "reset_ms", "reset_ms");
    if (!allow)
        show_number(doc, "retry_after_ms", "retry_after_ms");
    return allow ? CLI_OK : CLI_NO;
}

static int show_reset(const json_t *doc)
{
    bool known = json_is_true(json_object_get(doc, "reset"));
    printf("%s\n", known ? "reset" : "the key had taken nothing");
    return CLI_OK;
}

static int show_top(const json_t *doc)
{
    size_t i;
    json_t *key;
    printf("%8s %8s  %-20s %s\n", "refused", "near", "policy", "key");
    json_array_foreach(json_object_get(doc, "keys"), i, key)
    {
        const char *policy = json_string_value(json_object_get(key, "policy"));
        const char *text = json_string_value(json_object_get(key, "key"));
        printf("%8lld %8lld  %-20s %s\n",
               (long long)json_integer_value(json_object_get(key, "refused")),
               (long long)json_integer_value(json_object_get(key, "near_limit")),
               policy ? policy : "", text ? text : "");
    }
    return CLI_OK;
}

/* ---- Subcommands. ---- */

static int take_body(const struct cli *c, char *body, size_t size)
{
    char *end;
    body[0] = 0;
    if (!c->o.cost)
        return CLI_OK;
    errno = 0;
    long long cost = strtoll(c->o.cost, &end, 10);
    if (errno || *end || end == c->o.cost || cost < 0)
        return cli_usage(c, "--cost must be a whole number, not \"%s\"", c->o.cost);
    snprintf(body, size, "{\"cost\":%lld}", cost);
    return CLI_OK;
}

int cli_limits_take(struct cli *c)
{
    char path[CLI_PATH_MAX], body[48];
    int status = limit_path(c, path, sizeof path);
    if (!status)
        status = take_body(c, body, sizeof body);
    return status ? status : call(c, "POST", path, body[0] ? body : NULL, show_limit);
}

int cli_limits_peek(struct cli *c)
{
    char path[CLI_PATH_MAX];
    int status = limit_path(c, path, sizeof path);
    return status ? status : call(c, "GET", path, NULL, show_limit);
}

int cli_limits_reset(struct cli *c)
{
    char path[CLI_PATH_MAX];
    int status = limit_path(c, path, sizeof path);
    return status ? status : call(c, "DELETE", path, NULL, show_reset);
}

int cli_limits_top(struct cli *c)
{
    return call(c, "GET", "/admin/limits/top", NULL, show_top);
}
