/* SPDX-License-Identifier: Apache-2.0
 * HTTP to the server, by libcurl. */
#ifndef PC_CLI_CLIENT_H
#define PC_CLI_CLIENT_H

#include <curl/curl.h>

#include "cli.h"

#define CLIENT_ANSWER_MAX (8 * 1024 * 1024)
#define CLIENT_URL_MAX    512

/* Where the server is and who asks. */
struct client {
    char url[CLIENT_URL_MAX];    /* without a slash at the end */
    char socket[CLIENT_URL_MAX]; /* "" or the path of a Unix socket */
    struct curl_slist *headers;  /* Authorization (if there is a credential), Content-Type */
    bool has_credential;
};

struct answer {
    long status; /* 0: no answer, see error */
    char *body;  /* terminated; malloced; may be NULL */
    size_t n;
    bool too_large;
    long retry_after_s;
    char error[CURL_ERROR_SIZE];
};

/* Finds server and credential; a status after saying why. */
int client_open(const struct cli *c, struct client *ret_client);
void client_close(struct client *cl);

/* A transfer prepared for url + path; body NULL: none. answer must outlive it. NULL without memory.
 * The body is not copied. */
CURL *client_prepare(const struct client *cl, const char *method, const char *path,
                     const char *body, struct answer *answer);
/* One request from start to end; the caller frees answer->body. */
void client_call(const struct client *cl, const char *method, const char *path, const char *body,
                 struct answer *ret_answer);
/* For an answer that is no success: says what the server said, and what to do. Returns the
 * status for exit. */
int client_explain(const struct client *cl, const struct answer *a);
/* The body as JSON, its strings without control characters, so that they can be printed; NULL if it
 * is none. */
json_t *client_parse(const struct answer *a);
/* The same; NULL after saying why. */
json_t *client_json(const struct answer *a);

#endif
