/* SPDX-License-Identifier: Apache-2.0
 * Canonical paths and URI references. Checked: a canonical path holds nothing that could be read
 * in two ways, and making the canonical spelling canonical again changes nothing. */
#include <stdlib.h>

#include "edge/wire/path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool contains(struct pc_bytes s, const char *what)
{
    return memmem(s.p, s.n, what, strlen(what)) != NULL;
}

static bool ends_with(struct pc_bytes s, const char *what)
{
    size_t n = strlen(what);
    return s.n >= n && memcmp(s.p + s.n - n, what, n) == 0;
}

static void check_path(struct pc_bytes path, size_t raw_n)
{
    PC_ASSERT(path.n > 0 && path.n <= raw_n && path.p[0] == '/');
    PC_ASSERT(!contains(path, "//") && !contains(path, "/../") && !contains(path, "/./"));
    PC_ASSERT(!ends_with(path, "/..") && !ends_with(path, "/.") && !contains(path, "/..;"));
    for (size_t i = 0; i < path.n; i++)
        PC_ASSERT(path.p[i] >= ' ' && path.p[i] != 0x7f && path.p[i] != '\\');
}

/* Escapes what would be decoded again or is not visible, so that the same path results. */
static size_t escape(struct pc_bytes path, uint8_t *out)
{
    size_t n = 0;
    for (size_t i = 0; i < path.n; i++) {
        if (path.p[i] == '%' || path.p[i] == ' ') {
            memcpy(out + n, path.p[i] == '%' ? "%25" : "%20", 3);
            n += 3;
        } else {
            out[n++] = path.p[i];
        }
    }
    return n;
}

static void check_again(struct pc_bytes path)
{
    uint8_t *escaped = malloc(3 * path.n), *scratch = malloc(3 * path.n);
    struct pc_bytes again;
    PC_ASSERT(escaped && scratch);
    size_t n = escape(path, escaped);
    int rc = pc_path_canonical(pc_bytes_of(escaped, n), scratch, n, &again);
    /* Nothing that was accepted looks like an escape, which would be refused as double encoding. */
    PC_ASSERT(rc == 0 && pc_bytes_eq(again, path));
    free(escaped);
    free(scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *scratch = malloc(size ? size : 1);
    struct pc_bytes path;
    struct pc_uri uri;
    PC_ASSERT(scratch);
    if (pc_path_canonical(pc_bytes_of(data, size), scratch, size, &path) == 0) {
        check_path(path, size);
        check_again(path);
    }
    if (pc_uri_split(pc_bytes_of(data, size), &uri) == 0) {
        size_t parts = uri.authority.n + uri.path.n + uri.query.n + uri.has_query;
        parts += uri.scheme.n ? uri.scheme.n + 3 : 0;
        PC_ASSERT(parts == size && pc_authority_valid(uri.authority));
        (void)pc_authority_host(uri.authority);
    }
    free(scratch);
    return 0;
}
