/* SPDX-License-Identifier: Apache-2.0
 * portcullis check and explain: a decision about a token and a request, and why it is so. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

/* ---- The question. ---- */

static bool set_text(json_t *object, const char *key, const char *value)
{
    return !value || json_object_set_new(object, key, json_string(value)) == 0;
}

/* What the gateway would say of its client's request. */
static json_t *request_of(const struct cli *c)
{
    json_t *request = json_object();
    if (set_text(request, "method", c->o.method) && set_text(request, "host", c->o.host) &&
        set_text(request, "path", c->o.path) && set_text(request, "ip", c->o.ip))
        return request;
    json_decref(request);
    return NULL;
}

static char *body_of(const struct cli *c, const char *token)
{
    json_t *object = json_object();
    bool good = json_object_set_new(object, "request", request_of(c)) == 0 &&
                set_text(object, "token", token) && set_text(object, "route", c->o.route);
    char *body = good ? json_dumps(object, JSON_COMPACT) : NULL;
    if (!body)
        cli_fail(CLI_NO, "the token or an option is not text");
    json_decref(object);
    return body;
}

static char *read_body(const struct cli *c)
{
    if (c->o.anonymous)
        return body_of(c, NULL);
    char *token = cli_read_token(c, c->arg_count ? c->args[0] : NULL);
    if (!token)
        return NULL;
    char *body = body_of(c, token);
    pc_wipe(token, strlen(token));
    free(token);
    return body;
}

/* ---- A decision. ---- */

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static void print_text(const char *name, const char *value)
{
    if (*value)
        printf("  %-9s %s\n", name, value);
}

static void print_limits(const json_t *limits)
{
    size_t i;
    json_t *limit;
    json_array_foreach((json_t *)(uintptr_t)limits, i, limit)
    {
        int64_t retry_ms = json_integer_value(json_object_get(limit, "retry_after_ms"));
        printf("  %-9s %s: %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " left", "limit",
               text_of(limit, "policy"), json_integer_value(json_object_get(limit, "remaining")),
               json_integer_value(json_object_get(limit, "limit")));
        if (retry_ms > 0)
            printf(", again in %" PRId64 " s", (retry_ms + 999) / 1000);
        putchar('\n');
    }
}

static void print_flags(const json_t *flags)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)flags, key, value)
    {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        printf("  %-9s %s = %s\n", "flag", key, text ? text : "?");
        free(text);
    }
}

static int print_decision(const json_t *doc)
{
    static const char *const keys[] = {"subject", "client", "session", "jti"};
    bool allow = json_is_true(json_object_get(doc, "allow"));
    const json_t *at = json_object_get(doc, "expires_at");
    const json_t *headers = json_object_get(doc, "headers");
    char expires[32];
    printf(allow ? "allowed\n" : "refused: %s\n", text_of(doc, "code"));
    for (size_t i = 0; i < PC_COUNT(keys); i++)
        print_text(keys[i], text_of(doc, keys[i]));
    if (json_is_integer(at)) {
        cli_format_time((int64_t)json_integer_value(at) * 1000, expires);
        print_text("expires", expires);
    }
    print_text("route", text_of(headers, "X-Portcullis-Route"));
    print_text("shadow", text_of(headers, "X-Portcullis-Shadow"));
    print_limits(json_object_get(doc, "limits"));
    print_flags(json_object_get(doc, "flags"));
    return allow ? CLI_OK : CLI_NO;
}

/* ---- Why. ---- */

static int print_steps(const json_t *doc)
{
    bool allow = json_is_true(json_object_get(doc, "allow"));
    size_t i;
    json_t *step;
    printf("would be %s: %s, status %" JSON_INTEGER_FORMAT "\n", allow ? "allowed" : "refused",
           text_of(doc, "code"), json_integer_value(json_object_get(doc, "status")));
    json_array_foreach(json_object_get(doc, "steps"), i, step)
    {
        printf("  %-8s %-20s %s\n", text_of(step, "outcome"), text_of(step, "step"),
               text_of(step, "detail"));
    }
    print_text("shadow", text_of(doc, "shadow"));
    return allow ? CLI_OK : CLI_NO;
}

/* ---- Both. ---- */

/* The decision arrives with status 200 either way; with another status it is an error, unless it
 * has a verdict. */
static int take_answer(const struct cli *c, const struct client *client, const struct answer *a,
                       int (*print)(const json_t *doc))
{
    json_t *doc = client_parse(a);
    int status;
    if (!json_is_boolean(json_object_get(doc, "allow"))) {
        status = client_explain(client, a);
    } else if (c->o.json) {
        printf("%s\n", a->body);
        status = json_is_true(json_object_get(doc, "allow")) ? CLI_OK : CLI_NO;
    } else {
        status = print(doc);
    }
    json_decref(doc);
    return status;
}

static int ask(struct cli *c, const char *path, int (*print)(const json_t *doc))
{
    struct client client;
    struct answer a;
    if (c->o.anonymous && (c->arg_count || c->o.token_file))
        return cli_usage(c, "--anonymous is without a token");
    char *body = read_body(c);
    if (!body)
        return CLI_USAGE;
    int status = client_open(c, &client);
    if (!status) {
        client_call(&client, "POST", path, body, &a);
        status = take_answer(c, &client, &a, print);
        free(a.body);
        client_close(&client);
    }
    pc_wipe(body, strlen(body));
    free(body);
    return status;
}

int cli_check(struct cli *c)
{
    return ask(c, "/v1/check", print_decision);
}

int cli_explain(struct cli *c)
{
    return ask(c, "/v1/explain", print_steps);
}
