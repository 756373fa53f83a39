/* SPDX-License-Identifier: Apache-2.0
 * Requests with places in them: an HTTP request or a RESP command whose path, fields, body or words
 * may say {token} and the like. Compiled once, immutable then; rendering writes only to memory of
 * the caller, allocates nothing and takes some ten nanoseconds: long runs of bytes (the token, the
 * fixed head) become pieces of the request where they stand, only short ones are copied.
 *
 * Lengths that depend on the values (Content-Length, $n of a RESP word) are computed. "{{" stands
 * for a brace; a JSON body needs that only before a word that is a place's name, because any other
 * "{" stands for itself. */
#ifndef LD_TEMPLATE_H
#define LD_TEMPLATE_H

#include "base/bytes.h"
#include "load/source.h"

enum ld_var {
    LD_VAR_TOKEN,
    LD_VAR_JTI,    /* of that token */
    LD_VAR_SUB,    /* its subject */
    LD_VAR_KEY,    /* of a population of keys */
    LD_VAR_IP,     /* a client's address, made of the key or of a number */
    LD_VAR_N,      /* a number that grows with every request, twelve digits */
    LD_VAR_ADMIN,  /* the administrator's token */
    LD_VAR_VALUE,  /* what a flag is set to */
    LD_VAR_ISSUER, /* of the tokens */
    LD_VARS
};

enum {
    LD_TEMPLATE_SEGMENTS_MAX = 96,
    LD_TEMPLATE_BYTES_MAX = 64 << 10, /* fixed bytes of one request */
    LD_TEMPLATE_WORDS_MAX = 32,
    LD_TEMPLATE_SCRATCH = 16 << 10, /* what render() may copy */
};

struct ld_template;

/* An HTTP request; fields: whole lines "Name: value", without line ends. Host is written first,
 * then a Content-Length where body is not NULL. On failure the text names the place. */
struct ld_http_form {
    const char *method, *authority, *path, *body;
    const char *const *fields;
    unsigned field_count;
};
bool ld_template_http(const struct ld_http_form *form, struct ld_template **ret_template,
                      struct ld_problem *);
bool ld_template_resp(const char *const *words, unsigned count, struct ld_template **ret_template,
                      struct ld_problem *);
void ld_template_free(struct ld_template *t);

/* Whether the place occurs. */
bool ld_template_uses(const struct ld_template *t, enum ld_var var);
/* Fixed bytes and, for each place, how often it stands there: what a rendered request is bounded
 * by. */
size_t ld_template_bound(const struct ld_template *t, const size_t var_max[LD_VARS]);

/* Fills pieces and piece_count of the request. Pieces point into the template, into the values and
 * into scratch (LD_TEMPLATE_SCRATCH bytes). false: the values do not fit into scratch. */
bool ld_template_render(const struct ld_template *t, const struct pc_bytes values[LD_VARS],
                        uint8_t *scratch, struct ld_request *ret_request);

#endif
