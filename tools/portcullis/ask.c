/* SPDX-License-Identifier: Apache-2.0
 * portcullis status, and calls without a body: snapshot, confirm-clock, reload. */
#include <stdlib.h>
#include <string.h>

#include "client.h"

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

int cli_reload(struct cli *c)
{
    return post(c, "/admin/reload");
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
    json_t *doc = a.status ? client_parse(&a) : NULL;
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
