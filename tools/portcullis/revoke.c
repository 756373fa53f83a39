/* SPDX-License-Identifier: Apache-2.0
 * portcullis revoke, unrevoke and revocation get: one request each. Imports are in import.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "link/change.h"

/* Adds member key to object unless value is NULL. */
static void add_text(json_t *object, const char *key, const char *value)
{
    if (value)
        json_object_set_new(object, key, json_string(value));
}

/* How the kinds are named on the command line: KIND [ID]; an issuer's name is the issuer itself. */
static int add_identity(const struct cli *c, json_t *object)
{
    enum pc_kind kind = pc_kind_of_name(pc_bytes_str(c->args[0]));
    const char *id = c->arg_count > 1 ? c->args[1] : NULL;
    if (kind == PC_KIND_NONE)
        return cli_usage(c,
                         "%s is no kind: token, session, family, subject, client, key, issuer "
                         "or all",
                         c->args[0]);
    if (kind == PC_KIND_ALL && id)
        return cli_usage(c, "all has no id");
    if (kind != PC_KIND_ALL && !id)
        return cli_usage(c, "%s needs an id", c->args[0]);
    if (c->o.cutoff && kind != PC_KIND_ISSUER)
        return cli_usage(c, "--cutoff is for issuers; other kinds have no choice");
    add_text(object, "kind", c->args[0]);
    if (c->o.cutoff)
        json_object_set_new(object, "cutoff", json_true());
    if (kind == PC_KIND_ISSUER) {
        add_text(object, "issuer", id);
        return CLI_OK;
    }
    add_text(object, "id", id);
    add_text(object, "issuer", c->o.issuer);
    return CLI_OK;
}

static int add_expiry(const struct cli *c, json_t *object)
{
    int64_t ms;
    uint64_t seconds;
    if (c->o.ttl && c->o.exp)
        return cli_usage(c, "either --ttl or --expires-at");
    if (c->o.ttl) {
        if (!cli_duration(c, "--ttl", c->o.ttl, &ms))
            return CLI_USAGE;
        if (ms < 1000)
            return cli_usage(c, "--ttl must be at least 1s");
        json_object_set_new(object, "ttl", json_integer(ms / 1000));
    }
    if (c->o.exp) {
        if (pc_bytes_to_u64(pc_bytes_str(c->o.exp), &seconds) || seconds > INT64_MAX / 1000)
            return cli_usage(c, "--expires-at must be Unix seconds");
        json_object_set_new(object, "expires_at", json_integer((json_int_t)seconds));
    }
    return CLI_OK;
}

/* The body of a revocation, from a token or from kind and id. */
static int build_body(const struct cli *c, json_t *object)
{
    if (c->o.token_file) {
        if (c->arg_count)
            return cli_usage(c, "either KIND and ID or --token-file");
        char *token = cli_read_token(c, NULL);
        if (!token)
            return CLI_NO;
        add_text(object, "token", token);
        pc_wipe(token, strlen(token));
        free(token);
    } else {
        if (c->arg_count == 0)
            return cli_usage(c, "what is to be revoked?");
        int status = add_identity(c, object);
        if (status)
            return status;
    }
    add_text(object, "reason", c->o.reason);
    return add_expiry(c, object);
}

static int say_done(const struct cli *c, const struct answer *a, bool undo)
{
    if (c->o.json) {
        printf("%s\n", a->body ? a->body : "");
        return CLI_OK;
    }
    json_t *doc = client_parse(a);
    const json_t *count = json_object_get(doc, "revoked");
    if (undo || !json_is_integer(count))
        printf("%s\n", undo ? "un-revoked" : "revoked");
    else
        printf("revoked %lld\n", (long long)json_integer_value(count));
    json_decref(doc);
    return CLI_OK;
}

static int send_body(const struct cli *c, json_t *object, bool undo)
{
    struct client client;
    struct answer a;
    char *body = json_dumps(object, JSON_COMPACT);
    if (!body)
        return cli_fail(CLI_NO, "out of memory, or a text that is not UTF-8");
    int status = client_open(c, &client);
    if (!status) {
        client_call(&client, undo ? "DELETE" : "POST", "/v1/revoke", body, &a);
        status = a.status == 200 || a.status == 202 ? say_done(c, &a, undo)
                                                    : client_explain(&client, &a);
        free(a.body);
        client_close(&client);
    }
    pc_wipe(body, strlen(body));
    free(body);
    return status;
}

static int revoke_or_clear(struct cli *c, bool undo)
{
    if (undo && (c->o.ttl || c->o.exp))
        return cli_usage(c, "un-revoking takes no expiry");
    json_t *object = json_object();
    if (!object)
        return cli_fail(CLI_NO, "out of memory");
    int status = build_body(c, object);
    if (!status)
        status = send_body(c, object, undo);
    json_decref(object);
    return status;
}

int cli_revoke(struct cli *c)
{
    if (!c->o.import)
        return revoke_or_clear(c, c->o.undo);
    if (c->arg_count || c->o.token_file || c->o.undo || c->o.ttl || c->o.exp || c->o.reason)
        return cli_usage(c, "--import takes everything from its file");
    return cli_import(c);
}

int cli_unrevoke(struct cli *c)
{
    return revoke_or_clear(c, true);
}

/* ---- revocation get ---- */

/* Appends ?name=value, percent-encoded. */
static void add_query(char *path, size_t size, const char *name, const char *value)
{
    size_t n = strlen(path);
    char *escaped = curl_easy_escape(NULL, value, 0);
    snprintf(path + n, size - n, "%c%s=%s", strchr(path, '?') ? '&' : '?', name,
             escaped ? escaped : "");
    curl_free(escaped);
}

/* Times arrive as Unix seconds with a fraction, null where there is none. */
static bool is_time(const char *key)
{
    static const char *const keys[] = {"since", "expires_at", "cleared_at", "cutoff"};
    for (size_t i = 0; i < PC_COUNT(keys); i++)
        if (strcmp(key, keys[i]) == 0)
            return true;
    return false;
}

static void print_member(const char *key, const json_t *value)
{
    char time[32];
    if (json_is_null(value)) {
        printf("%-10s -\n", key);
    } else if (json_is_number(value) && is_time(key)) {
        cli_format_time((int64_t)(json_number_value(value) * 1000), time);
        printf("%-10s %s\n", key, time);
    } else if (json_is_string(value)) {
        printf("%-10s %s\n", key, json_string_value(value));
    } else {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        printf("%-10s %s\n", key, text ? text : "");
        free(text);
    }
}

int cli_revocation_get(struct cli *c)
{
    char path[CLI_PATH_MAX];
    struct client client;
    struct answer a;
    enum pc_kind kind = pc_kind_of_name(pc_bytes_str(c->args[0]));
    if (kind == PC_KIND_NONE)
        return cli_usage(c, "%s is no kind", c->args[0]);
    if (kind != PC_KIND_ALL && c->arg_count < 2)
        return cli_usage(c, "%s needs an id", c->args[0]);
    if (c->arg_count > 1 && strlen(c->args[1]) > PC_ID_MAX)
        return cli_fail(CLI_USAGE, "the id is too long");
    /* In the query, because a path may hold no encoded slash, and issuers are mostly URLs. */
    snprintf(path, sizeof path, "/v1/revocations/%s/-", c->args[0]);
    if (kind != PC_KIND_ALL)
        add_query(path, sizeof path, kind == PC_KIND_ISSUER ? "issuer" : "id", c->args[1]);
    if (kind != PC_KIND_ISSUER && c->o.issuer)
        add_query(path, sizeof path, "issuer", c->o.issuer);
    int status = client_open(c, &client);
    if (status)
        return status;
    client_call(&client, "GET", path, NULL, &a);
    json_t *doc = a.status == 200 ? client_json(&a) : NULL;
    if (a.status != 200) {
        status = client_explain(&client, &a);
    } else if (c->o.json) {
        printf("%s\n", a.body);
    } else {
        const char *key;
        json_t *value;
        json_object_foreach(doc, key, value) print_member(key, value);
        status = doc ? CLI_OK : CLI_SERVER;
    }
    json_decref(doc);
    free(a.body);
    client_close(&client);
    return status;
}
