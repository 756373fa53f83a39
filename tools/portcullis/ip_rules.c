/* SPDX-License-Identifier: Apache-2.0
 * portcullis ip-rules list, add and remove. */
#include <stdlib.h>
#include <string.h>

#include "client.h"

#define PATH  "/admin/ip-rules"
#define PAGE  "1000"
#define NEVER "never"

static const char *text_of(const json_t *object, const char *member)
{
    const char *text = json_string_value(json_object_get(object, member));
    return text ? text : "";
}

/* ---- list ---- */

/* Appends "&name=value", percent-encoded. */
static bool add_parameter(char *path, size_t size, const char *name, const char *value)
{
    char *escaped = value ? curl_easy_escape(NULL, value, 0) : NULL;
    size_t used = strlen(path);
    int n = escaped ? snprintf(path + used, size - used, "&%s=%s", name, escaped) : 0;
    bool fits = (!value || escaped) && n >= 0 && (size_t)n < size - used;
    curl_free(escaped);
    return fits;
}

static void show_rule(const json_t *rule)
{
    char until[32] = NEVER;
    const json_t *expires = json_object_get(rule, "expires_at");
    if (json_is_number(expires))
        cli_format_time((int64_t)(json_number_value(expires) * 1000), until);
    printf("%-16s %-5s %-43s %-10s %-20s %s%s%s\n", text_of(rule, "set"), text_of(rule, "action"),
           text_of(rule, "cidr"), text_of(rule, "source"), until, text_of(rule, "reason"),
           json_is_true(json_object_get(rule, "dormant")) ? " (dormant: no such set)" : "",
           json_is_true(json_object_get(rule, "expired")) ? " (expired)" : "");
}

/* Shows a page; *ret_next is malloced, NULL after the last one. */
static int show_page(const struct cli *c, const struct answer *a, char **ret_next)
{
    json_t *doc = client_json(a), *rule;
    size_t i;
    if (!doc)
        return CLI_SERVER;
    const char *next = json_string_value(json_object_get(doc, "next"));
    if (c->o.json)
        fputs(a->body, stdout);
    else
        json_array_foreach(json_object_get(doc, "rules"), i, rule) show_rule(rule);
    *ret_next = next ? strdup(next) : NULL;
    json_decref(doc);
    return CLI_OK;
}

static int list_page(struct cli *c, const struct client *client, char **after)
{
    char path[CLI_PATH_MAX] = PATH "?limit=" PAGE;
    struct answer a;
    if (!add_parameter(path, sizeof path, "set", c->o.set) ||
        !add_parameter(path, sizeof path, "source", c->o.source) ||
        !add_parameter(path, sizeof path, "after", *after))
        return cli_fail(CLI_USAGE, "the name of the set is too long");
    free(*after);
    *after = NULL;
    client_call(client, "GET", path, NULL, &a);
    int status = a.status == 200 ? show_page(c, &a, after) : client_explain(client, &a);
    free(a.body);
    return status;
}

int cli_ip_rules_list(struct cli *c)
{
    struct client client;
    char *after = NULL;
    int status = client_open(c, &client);
    if (status)
        return status;
    do {
        status = list_page(c, &client, &after);
    } while (status == CLI_OK && after);
    free(after);
    client_close(&client);
    return status;
}

/* ---- add and remove ---- */

static int send_change(struct cli *c, const char *method, json_t *object)
{
    struct client client;
    struct answer a;
    json_t *doc = NULL;
    char *body = json_dumps(object, JSON_COMPACT);
    int status = body ? client_open(c, &client) : cli_fail(CLI_NO, "a text is not UTF-8");
    if (status) {
        free(body);
        return status;
    }
    client_call(&client, method, PATH, body, &a);
    if (a.status != 200)
        status = client_explain(&client, &a);
    else if (c->o.json)
        fputs(a.body ? a.body : "", stdout);
    else if ((doc = client_json(&a)))
        printf("%s\n", text_of(doc, "message"));
    else
        status = CLI_SERVER;
    json_decref(doc);
    free(a.body);
    free(body);
    client_close(&client);
    return status;
}

static json_t *rule_of(const struct cli *c, const char *cidr)
{
    json_t *object = json_object();
    json_object_set_new(object, "cidr", json_string(cidr));
    if (c->o.set)
        json_object_set_new(object, "set", json_string(c->o.set));
    if (c->o.reason)
        json_object_set_new(object, "reason", json_string(c->o.reason));
    return object;
}

int cli_ip_rules_add(struct cli *c)
{
    json_t *object = rule_of(c, c->args[1]);
    char *end = NULL;
    int64_t ttl_ms = 0;
    long long at = c->o.exp ? strtoll(c->o.exp, &end, 10) : 0;
    int status = CLI_OK;
    json_object_set_new(object, "action", json_string(c->args[0]));
    if (c->o.exp && (*end || at <= 0))
        status = cli_usage(c, "--expires-at is a time in Unix seconds, not \"%s\"", c->o.exp);
    else if (c->o.exp)
        json_object_set_new(object, "expires_at", json_integer(at));
    if (!status && c->o.ttl && !cli_duration(c, "ttl", c->o.ttl, &ttl_ms))
        status = CLI_USAGE;
    else if (!status && c->o.ttl)
        json_object_set_new(object, "ttl", json_real((double)ttl_ms / 1000));
    if (!status)
        status = send_change(c, "POST", object);
    json_decref(object);
    return status;
}

int cli_ip_rules_remove(struct cli *c)
{
    json_t *object = rule_of(c, c->args[0]);
    int status = send_change(c, "DELETE", object);
    json_decref(object);
    return status;
}
