/* SPDX-License-Identifier: Apache-2.0
 * portcullis flags list, get, set, unset and reload: one request each. */
#include <stdlib.h>
#include <string.h>

#include "client.h"

/* ---- Requests. ---- */

/* "/flags/KEY", percent-encoded; a key that needs it is refused by the server, with words. */
static int flag_path(const char *key, char *path, size_t size)
{
    char *escaped = curl_easy_escape(NULL, key, 0);
    if (!escaped)
        return cli_fail(CLI_NO, "out of memory");
    int n = snprintf(path, size, "/flags/%s", escaped);
    curl_free(escaped);
    return n > 0 && (size_t)n < size ? CLI_OK : cli_fail(CLI_USAGE, "the key is too long");
}

/* Sends, and shows the answer: as it is with --json, else through show(). */
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
    if (a.status != 200)
        status = client_explain(&client, &a);
    else if (c->o.json)
        printf("%s\n", a.body ? a.body : "");
    else if ((doc = client_json(&a)))
        status = show(doc);
    else
        status = CLI_SERVER;
    json_decref(doc);
    free(a.body);
    client_close(&client);
    return status;
}

/* ---- Answers. ---- */

static char *value_text(const json_t *object)
{
    return json_dumps(json_object_get(object, "value"), JSON_ENCODE_ANY | JSON_COMPACT);
}

static const char *text_of(const json_t *object, const char *member)
{
    const char *text = json_string_value(json_object_get(object, member));
    return text ? text : "";
}

static int show_list(const json_t *doc)
{
    const char *key;
    json_t *flag;
    json_object_foreach(json_object_get(doc, "flags"), key, flag)
    {
        char *value = value_text(flag);
        printf("%-32s %-8s %-16s %s\n", key, text_of(flag, "type"), text_of(flag, "source"),
               value ? value : "");
        free(value);
    }
    return CLI_OK;
}

/* One flag, as far as the answer tells of it; what the server warns of goes to standard error. */
static int show_flag(const json_t *doc)
{
    static const char *const members[] = {"source", "type", "category"};
    const json_t *flag = json_object_get(doc, "flag");
    const char *warning = text_of(doc, "warning");
    if (!json_is_object(flag)) {
        printf("%s\n", text_of(doc, "message"));
        return CLI_OK;
    }
    char *value = value_text(flag);
    printf("%-9s %s\n%-9s %s\n", "key", text_of(flag, "key"), "value", value ? value : "");
    free(value);
    for (size_t i = 0; i < PC_COUNT(members); i++)
        if (*text_of(flag, members[i]))
            printf("%-9s %s\n", members[i], text_of(flag, members[i]));
    if (*warning)
        fprintf(stderr, "portcullis: %s\n", warning);
    return CLI_OK;
}

static int show_message(const json_t *doc)
{
    printf("%s\n", text_of(doc, "message"));
    return CLI_OK;
}

/* ---- Subcommands. ---- */

int cli_flags_list(struct cli *c)
{
    return call(c, "GET", "/flags", NULL, show_list);
}

int cli_flags_get(struct cli *c)
{
    char path[CLI_PATH_MAX];
    int status = flag_path(c->args[0], path, sizeof path);
    return status ? status : call(c, "GET", path, NULL, show_flag);
}

/* {"value":…}: what is JSON is meant as such, unless --string says otherwise. */
static char *set_body(const struct cli *c)
{
    json_t *object = json_object();
    json_t *value =
        c->o.string ? NULL : json_loads(c->args[1], JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    if (!value)
        value = json_string(c->args[1]);
    json_object_set_new(object, "value", value);
    if (c->o.ephemeral)
        json_object_set_new(object, "ephemeral", json_true());
    if (c->o.reason)
        json_object_set_new(object, "reason", json_string(c->o.reason));
    char *body = value ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    return body;
}

int cli_flags_set(struct cli *c)
{
    char path[CLI_PATH_MAX];
    int status = flag_path(c->args[0], path, sizeof path);
    char *body = status ? NULL : set_body(c);
    if (!status && !body)
        status = cli_fail(CLI_NO, "out of memory, or a text that is not UTF-8");
    if (!status)
        status = call(c, "POST", path, body, show_flag);
    free(body);
    return status;
}

int cli_flags_unset(struct cli *c)
{
    char path[CLI_PATH_MAX];
    int status = flag_path(c->args[0], path, sizeof path);
    return status ? status : call(c, "DELETE", path, NULL, show_flag);
}

int cli_flags_reload(struct cli *c)
{
    return call(c, "POST", "/admin/flags/reload", NULL, show_message);
}
