/* SPDX-License-Identifier: Apache-2.0
 * The file of administrators' tokens. Loading and changing: start-up, reload and the command;
 * verifying: any thread. */
#include "base/admin_tokens.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/secret.h"

#define VERSION      1
#define TEXT_PREFIX  "pcadm_"
#define PREFIX_CHARS (sizeof TEXT_PREFIX - 1)
#define SECRET_BYTES 32
#define SECRET_CHARS (2 * SECRET_BYTES)
#define TEXT_CHARS   (PREFIX_CHARS + PC_ADMIN_TOKEN_ID_CHARS + 1 + SECRET_CHARS)
#define NEVER        INT64_MAX

_Static_assert(TEXT_CHARS < PC_ADMIN_TOKEN_TEXT_MAX, "a token's text fits");

static const struct {
    enum pc_admin_role role;
    const char *name;
} roles[] = {
    {PC_ADMIN_ADMIN,    "admin"   },
    {PC_ADMIN_OPERATOR, "operator"},
    {PC_ADMIN_VIEWER,   "viewer"  },
    {PC_ADMIN_GATEWAY,  "gateway" },
};

const char *pc_admin_role_name(enum pc_admin_role role)
{
    const unsigned both = (unsigned)PC_ADMIN_GATEWAY | PC_ADMIN_VIEWER;
    if ((unsigned)role == both)
        return "gateway,viewer";
    for (size_t i = 0; i < PC_COUNT(roles); i++)
        if (pc_admin_may(role, roles[i].role))
            return roles[i].name;
    return NULL;
}

enum pc_admin_role pc_admin_role_of_name(struct pc_bytes name)
{
    for (size_t i = 0; i < PC_COUNT(roles); i++)
        if (pc_bytes_eq_str(name, roles[i].name))
            return roles[i].role;
    return PC_ADMIN_NONE;
}

static bool is_alive(const struct pc_admin_token *t, int64_t now_s)
{
    return t->revoked_s == NEVER && now_s < t->expires_s;
}

/* ---- From JSON. ---- */

/* A time, or null = never. */
static bool read_time(const json_t *object, const char *key, int64_t *ret_time)
{
    const json_t *value = json_object_get(object, key);
    if (json_is_null(value))
        *ret_time = NEVER;
    else if (json_is_integer(value) && json_integer_value(value) >= 0)
        *ret_time = json_integer_value(value);
    else
        return false;
    return true;
}

static bool read_text(const json_t *object, const char *key, size_t min, size_t max, char *dst)
{
    const json_t *value = json_object_get(object, key);
    size_t n = json_string_length(value);
    if (!json_is_string(value) || n < min || n > max || strlen(json_string_value(value)) != n)
        return false;
    memcpy(dst, json_string_value(value), n + 1);
    return true;
}

static bool read_token(const json_t *object, struct pc_admin_token *t)
{
    char hash[SECRET_CHARS + 1], role[16];
    if (!json_is_object(object) || json_object_size(object) != 7 ||
        !read_text(object, "id", PC_ADMIN_TOKEN_ID_CHARS, PC_ADMIN_TOKEN_ID_CHARS, t->id) ||
        !read_text(object, "name", 1, PC_ADMIN_TOKEN_NAME_MAX, t->name) ||
        !read_text(object, "role", 1, sizeof role - 1, role) ||
        !read_text(object, "sha256", SECRET_CHARS, SECRET_CHARS, hash) ||
        pc_hex_decode(pc_bytes_str(hash), t->hash, sizeof t->hash))
        return false;
    t->role = pc_admin_role_of_name(pc_bytes_str(role));
    return t->role != PC_ADMIN_NONE && read_time(object, "created", &t->created_s) &&
           read_time(object, "expires", &t->expires_s) &&
           read_time(object, "revoked", &t->revoked_s);
}

static int read_list(const json_t *list, const char *path, struct pc_admin_tokens *t,
                     struct pc_why *why)
{
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n > PC_ADMIN_TOKENS_MAX)
        return pc_fail(why, PC_E_DAMAGED, "%s: \"tokens\" is no list of at most %d", path,
                       PC_ADMIN_TOKENS_MAX);
    t->tokens = calloc(n + 1, sizeof *t->tokens);
    if (!t->tokens)
        return pc_fail(why, -ENOMEM, "%s: out of memory", path);
    for (; t->count < n; t->count++)
        if (!read_token(json_array_get(list, t->count), &t->tokens[t->count]))
            return pc_fail(why, PC_E_DAMAGED, "%s: token %zu is malformed", path, t->count + 1);
    return 0;
}

static int read_document(const json_t *doc, const char *path, struct pc_admin_tokens *ret_tokens,
                         struct pc_why *why)
{
    struct pc_admin_tokens t = {0};
    const json_t *version = json_object_get(doc, "version");
    if (!json_is_object(doc) || !json_is_integer(version))
        return pc_fail(why, PC_E_DAMAGED, "%s: has no version", path);
    if (json_integer_value(version) != VERSION)
        return pc_fail(why, PC_E_VERSION, "%s: version %lld, but only %d is known", path,
                       (long long)json_integer_value(version), VERSION);
    int err = read_list(json_object_get(doc, "tokens"), path, &t, why);
    if (err)
        pc_admin_tokens_free(&t);
    else
        *ret_tokens = t;
    return err;
}

/* The same care as for a file of secrets: who may write here may administrate. */
static int check_file(int fd, const char *path, struct pc_why *why)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return pc_fail(why, -errno, "%s: %s", path, pc_strerror(-errno));
    if (!S_ISREG(st.st_mode) || (st.st_mode & 0077))
        return pc_fail(why, -EPERM, "%s: must be a file that nobody else may access: chmod 600 it",
                       path);
    if (st.st_size > PC_ADMIN_TOKENS_FILE_MAX)
        return pc_fail(why, PC_E_TOO_LARGE, "%s: larger than %d bytes", path,
                       PC_ADMIN_TOKENS_FILE_MAX);
    return 0;
}

static int load_fd(int fd, const char *path, struct pc_admin_tokens *ret_tokens, struct pc_why *why)
{
    json_error_t where;
    int err = check_file(fd, path, why);
    if (err)
        return err;
    json_t *doc = json_loadfd(fd, JSON_REJECT_DUPLICATES, &where);
    if (!doc)
        return pc_fail(why, PC_E_DAMAGED, "%s:%d: %s", path, where.line, where.text);
    err = read_document(doc, path, ret_tokens, why);
    json_decref(doc);
    return err;
}

int pc_admin_tokens_load(const char *path, struct pc_admin_tokens *ret_tokens, struct pc_why *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT) {
        *ret_tokens = (struct pc_admin_tokens){0};
        return 0;
    }
    if (fd < 0)
        return pc_fail(why, -errno, "%s: %s", path, pc_strerror(-errno));
    int err = load_fd(fd, path, ret_tokens, why);
    close(fd);
    return err;
}

void pc_admin_tokens_free(struct pc_admin_tokens *t)
{
    free(t->tokens);
    *t = (struct pc_admin_tokens){0};
}

/* ---- To JSON. ---- */

static json_t *time_json(int64_t time_s)
{
    return time_s == NEVER ? json_null() : json_integer(time_s);
}

static json_t *token_json(const struct pc_admin_token *t)
{
    char hash[SECRET_CHARS + 1] = "";
    pc_hex_encode(t->hash, sizeof t->hash, hash);
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o}", "id", t->id, "name", t->name, "role",
                     pc_admin_role_name(t->role), "sha256", hash, "created",
                     time_json(t->created_s), "expires", time_json(t->expires_s), "revoked",
                     time_json(t->revoked_s));
}

static char *dump(const struct pc_admin_tokens *t)
{
    char *text = NULL;
    json_t *list = json_array();
    int failed = list == NULL;
    for (size_t i = 0; i < t->count && !failed; i++)
        failed = json_array_append_new(list, token_json(&t->tokens[i]));
    json_t *doc = failed ? NULL : json_pack("{s:i, s:O}", "version", VERSION, "tokens", list);
    if (doc)
        text = json_dumps(doc, JSON_INDENT(2));
    json_decref(doc);
    json_decref(list);
    return text;
}

int pc_admin_tokens_save(const char *path, const struct pc_admin_tokens *t, struct pc_why *why)
{
    char *text = dump(t);
    if (!text)
        return pc_fail(why, -ENOMEM, "%s: out of memory", path);
    int err = pc_secret_write(path, pc_bytes_str(text), why);
    free(text);
    return err;
}

/* ---- A token's text. ---- */

/* The secret's hash, and the id it belongs to; anything else is hashed whole and has no id. */
static struct pc_bytes hash_text(struct pc_bytes text, uint8_t ret_hash[PC_SHA256_BYTES])
{
    if (text.n == TEXT_CHARS && memcmp(text.p, TEXT_PREFIX, PREFIX_CHARS) == 0 &&
        text.p[PREFIX_CHARS + PC_ADMIN_TOKEN_ID_CHARS] == '_') {
        pc_sha256(text.p + TEXT_CHARS - SECRET_CHARS, SECRET_CHARS, ret_hash);
        return pc_bytes_of(text.p + PREFIX_CHARS, PC_ADMIN_TOKEN_ID_CHARS);
    }
    pc_sha256(text.p, text.n, ret_hash);
    return pc_bytes_of(NULL, 0);
}

/* ---- Changing. ---- */

static bool is_name(const char *s)
{
    size_t n = strlen(s);
    return n >= 1 && n <= PC_ADMIN_TOKEN_NAME_MAX &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

static int check_new(const struct pc_admin_tokens *t, const char *name, int64_t now_s)
{
    if (!is_name(name))
        return -EINVAL;
    for (size_t i = 0; i < t->count; i++)
        if (strcmp(t->tokens[i].name, name) == 0 && is_alive(&t->tokens[i], now_s))
            return PC_E_DUPLICATE;
    return t->count < PC_ADMIN_TOKENS_MAX ? 0 : PC_E_FULL;
}

/* A zeroed place at the end; the caller counts it in when it is filled. */
static struct pc_admin_token *grow(struct pc_admin_tokens *t)
{
    struct pc_admin_token *tokens = realloc(t->tokens, (t->count + 1) * sizeof *tokens);
    if (!tokens)
        return NULL;
    t->tokens = tokens;
    memset(&tokens[t->count], 0, sizeof *tokens);
    return &tokens[t->count];
}

int pc_admin_tokens_create(struct pc_admin_tokens *t, const char *name, enum pc_admin_role role,
                           int64_t now_s, int64_t expires_s, const uint8_t random[40],
                           char ret_text[PC_ADMIN_TOKEN_TEXT_MAX])
{
    int err = check_new(t, name, now_s);
    if (err)
        return err;
    struct pc_admin_token *added = grow(t);
    if (!added)
        return -ENOMEM;
    PC_ASSERT(pc_admin_role_name(role));
    char *secret = ret_text + PREFIX_CHARS + PC_ADMIN_TOKEN_ID_CHARS + 1;
    memcpy(added->name, name, strlen(name) + 1);
    pc_hex_encode(random, PC_ADMIN_TOKEN_ID_CHARS / 2, added->id);
    memcpy(ret_text, TEXT_PREFIX, PREFIX_CHARS);
    memcpy(ret_text + PREFIX_CHARS, added->id, PC_ADMIN_TOKEN_ID_CHARS);
    secret[-1] = '_';
    pc_hex_encode(random + PC_ADMIN_TOKEN_ID_CHARS / 2, SECRET_BYTES, secret);
    ret_text[TEXT_CHARS] = 0;
    pc_sha256(secret, SECRET_CHARS, added->hash);
    added->role = role;
    added->created_s = now_s;
    added->expires_s = expires_s;
    added->revoked_s = NEVER;
    t->count++;
    PC_ASSERT(pc_admin_tokens_verify(t, pc_bytes_str(ret_text), now_s) || expires_s <= now_s);
    return 0;
}

int pc_admin_tokens_add_text(struct pc_admin_tokens *t, const char *name, enum pc_admin_role role,
                             struct pc_bytes text)
{
    if (!is_name(name) || text.n < PC_ADMIN_TOKEN_TEXT_MIN || text.n > PC_ADMIN_TOKEN_TEXT_MAX)
        return -EINVAL;
    struct pc_admin_token *added = grow(t);
    if (!added)
        return -ENOMEM;
    memcpy(added->name, name, strlen(name) + 1);
    struct pc_bytes id = hash_text(text, added->hash);
    if (id.n)
        memcpy(added->id, id.p, id.n);
    added->role = role;
    added->created_s = 0;
    added->expires_s = added->revoked_s = NEVER;
    t->count++;
    return 0;
}

int pc_admin_tokens_revoke(struct pc_admin_tokens *t, const char *id_or_name, int64_t now_s)
{
    int err = -ENOENT;
    for (size_t i = 0; i < t->count; i++) {
        struct pc_admin_token *each = &t->tokens[i];
        if (!is_alive(each, now_s) ||
            (strcmp(each->id, id_or_name) != 0 && strcmp(each->name, id_or_name) != 0))
            continue;
        each->revoked_s = now_s;
        PC_ASSERT(!is_alive(each, now_s));
        err = 0;
    }
    return err;
}

bool pc_admin_tokens_any_alive(const struct pc_admin_tokens *t, int64_t now_s)
{
    for (size_t i = 0; i < t->count; i++)
        if (is_alive(&t->tokens[i], now_s))
            return true;
    return false;
}

/* ---- Verifying. ---- */

const struct pc_admin_token *pc_admin_tokens_verify(const struct pc_admin_tokens *t,
                                                    struct pc_bytes text, int64_t now_s)
{
    uint8_t hash[PC_SHA256_BYTES];
    const struct pc_admin_token *found = NULL;
    if (text.n > PC_ADMIN_TOKEN_TEXT_MAX)
        return NULL;
    struct pc_bytes id = hash_text(text, hash);
    for (size_t i = 0; i < t->count; i++) {
        const struct pc_admin_token *each = &t->tokens[i];
        /* Both always compared: which tokens exist must not show in the time. */
        bool same_id = pc_bytes_eq_secret(id, pc_bytes_str(each->id));
        bool same_hash = pc_bytes_eq_secret(pc_bytes_of(hash, sizeof hash),
                                            pc_bytes_of(each->hash, sizeof each->hash));
        if (same_id & same_hash & is_alive(each, now_s))
            found = each;
    }
    return found;
}
