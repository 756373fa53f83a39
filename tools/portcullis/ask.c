/* SPDX-License-Identifier: Apache-2.0
 * portcullis check and status: questions to the server. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

/* ---- check ---- */

static void print_text(const json_t *doc, const char *key)
{
    const char *value = json_string_value(json_object_get(doc, key));
    if (value && *value)
        printf("  %-9s %s\n", key, value);
}

static int print_decision(const json_t *doc)
{
    char expires[32];
    bool allow = json_is_true(json_object_get(doc, "allow"));
    const char *code = json_string_value(json_object_get(doc, "code"));
    const json_t *at = json_object_get(doc, "expires_at");
    printf("%s%s%s\n", allow ? "allowed" : "refused", allow || !code ? "" : ": ",
           allow || !code ? "" : code);
    static const char *const keys[] = {"subject", "client", "session", "jti"};
    for (size_t i = 0; i < PC_COUNT(keys); i++)
        print_text(doc, keys[i]);
    if (json_is_integer(at)) {
        cli_format_time((int64_t)json_integer_value(at) * 1000, expires);
        printf("  %-9s %s\n", "expires", expires);
    }
    return allow ? CLI_OK : CLI_NO;
}

static char *check_body(const struct cli *c)
{
    char *token = cli_read_token(c, c->arg_count ? c->args[0] : NULL);
    if (!token)
        return NULL;
    json_t *object = json_pack("{s:s}", "token", token);
    char *body = object ? json_dumps(object, JSON_COMPACT) : NULL;
    if (!body)
        cli_fail(CLI_NO, "the token is not text");
    json_decref(object);
    pc_wipe(token, strlen(token));
    free(token);
    return body;
}

/* The decision arrives with status 200 either way; with another status it is an error, unless it
 * has a verdict. */
static int take_decision(const struct cli *c, const struct client *client, const struct answer *a)
{
    json_t *doc = a->body ? json_loads(a->body, 0, NULL) : NULL;
    int status;
    if (!json_is_boolean(json_object_get(doc, "allow")))
        status = client_explain(client, a);
    else if (c->o.json)
        status = printf("%s\n", a->body) > 0 && json_is_true(json_object_get(doc, "allow"))
                     ? CLI_OK
                     : CLI_NO;
    else
        status = print_decision(doc);
    json_decref(doc);
    return status;
}

int cli_check(struct cli *c)
{
    struct client client;
    struct answer a;
    char *body = check_body(c);
    if (!body)
        return CLI_USAGE;
    int status = client_open(c, &client);
    if (!status) {
        client_call(&client, "POST", "/v1/check", body, &a);
        status = take_decision(c, &client, &a);
        free(a.body);
        client_close(&client);
    }
    pc_wipe(body, strlen(body));
    free(body);
    return status;
}

/* ---- status ---- */

/* Nested members as "a.b: value", arrays on one line. */
static void print_health(const json_t *object, const char *prefix)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        char path[256];
        snprintf(path, sizeof path, "%s%s", prefix, key);
        if (json_is_object(value)) {
            size_t n = strlen(path);
            snprintf(path + n, sizeof path - n, ".");
            print_health(value, path);
            continue;
        }
        char *text =
            json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        printf("%-32s %s\n", path, text ? text : json_string_value(value));
        free(text);
    }
}

/* A call without a body whose success needs no words. */
static int post(struct cli *c, const char *path)
{
    struct client client;
    struct answer a;
    int status = client_open(c, &client);
    if (status)
        return status;
    client_call(&client, "POST", path, NULL, &a);
    status = a.status == 200 ? CLI_OK : client_explain(&client, &a);
    free(a.body);
    client_close(&client);
    return status;
}

int cli_snapshot(struct cli *c)
{
    return post(c, "/admin/snapshot");
}

int cli_confirm_clock(struct cli *c)
{
    return post(c, "/admin/clock/confirm");
}

int cli_status(struct cli *c)
{
    struct client client;
    struct answer a;
    int status = client_open(c, &client);
    if (status)
        return status;
    client_call(&client, "GET", "/health", NULL, &a);
    json_t *doc = a.body && a.status ? json_loads(a.body, 0, NULL) : NULL;
    /* An unhealthy server says so with 503 and the same body. */
    if (!json_is_object(doc) || json_object_get(doc, "error")) {
        status = client_explain(&client, &a);
    } else {
        if (c->o.json)
            printf("%s\n", a.body);
        else
            print_health(doc, "");
        status = a.status == 200 ? CLI_OK : CLI_NO;
    }
    json_decref(doc);
    free(a.body);
    client_close(&client);
    return status;
}
