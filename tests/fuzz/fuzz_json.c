/* SPDX-License-Identifier: Apache-2.0
 * Any text: the JSON reader and jansson must agree about whether it is JSON, except where our
 * limits or jansson's numbers end; and all getters must cope with what was accepted. */
#include <jansson.h>
#include <stdlib.h>

#include "base/json.h"

#define TOKENS 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool jansson_accepts(const uint8_t *data, size_t size, enum json_error_code *ret_code)
{
    json_error_t error;
    json_t *j = json_loadb((const char *)data, size,
                           JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    *ret_code = j ? json_error_unknown : json_error_code(&error);
    json_decref(j);
    return j != NULL;
}

static void check_string(const struct pc_json *doc, const struct pc_json_token *t)
{
    static uint8_t room[1 << 16];
    struct pc_buf b = pc_buf_of(room, sizeof room);
    struct pc_bytes s;
    int rc = pc_json_string(doc, t, &b, &s);
    PC_ASSERT(rc == 0 || t->n > sizeof room);
    PC_ASSERT(rc || s.n <= t->n);
    PC_ASSERT(rc || pc_json_equals_bytes(doc, t, s));
}

/* Whatever is a number: the exact reading, which cuts digits off, and the approximate one, which
 * may round up to the next integer, must not contradict. */
static void check_number(const struct pc_json *doc, const struct pc_json_token *t)
{
    int64_t exact;
    double d;
    if (pc_json_scaled(doc, t, 0, &exact, NULL) || pc_json_number(doc, t, &d))
        return;
    PC_ASSERT(d - (double)exact <= 1 + (double)llabs(exact) / 1e15);
    PC_ASSERT((double)exact - d <= 1 + (double)llabs(exact) / 1e15);
}

static void check_value(const struct pc_json *doc, const struct pc_json_token *t)
{
    uint32_t n = 0;
    bool b;
    switch (pc_json_type(t)) {
    case PC_JSON_STRING: check_string(doc, t); return;
    case PC_JSON_NUMBER: check_number(doc, t); return;
    case PC_JSON_BOOL: PC_ASSERT(pc_json_bool(doc, t, &b) == 0); return;
    default: break;
    }
    PC_JSON_FOREACH(doc, t, at)
    {
        n++;
        if (t->type == PC_JSON_OBJECT)
            check_string(doc, at);
    }
    PC_ASSERT(t->type == PC_JSON_NULL || n == t->count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct pc_json_token tokens[TOKENS];
    struct pc_json doc;
    struct pc_json_error error = {0, NULL};
    enum json_error_code code;
    int rc = pc_json_parse(pc_bytes_of(data, size), tokens, TOKENS, NULL, &doc, &error);
    PC_ASSERT(rc == 0 || (error.what && error.offset <= size));
    for (uint32_t i = 0; rc == 0 && i < doc.count; i++)
        check_value(&doc, &tokens[i]);
    if (rc == PC_E_TOO_LARGE || memchr(data, 0, size)) /* jansson takes a NUL for the end */
        return 0;
    bool theirs = jansson_accepts(data, size, &code);
    PC_ASSERT(rc == 0 || !theirs);
    PC_ASSERT(rc != 0 || theirs || code == json_error_numeric_overflow ||
              code == json_error_null_byte_in_key);
    return 0;
}
