/* SPDX-License-Identifier: Apache-2.0
 * The configuration from PORTCULLIS_… variables, of the environment or of an env file. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/config_internal.h"

#define PREFIX        "PORTCULLIS_"
#define PREFIX_CHARS  (sizeof PREFIX - 1)
#define ENV_LINES_MAX 4096
#define INDEX_DIGITS  3

/* Variables that are for the command, or for tests, and no keys. */
static const char *const not_keys[] = {"CONFIG", "ENV_FILE", "URL", "EDGE", "BIN"};

struct target {
    const struct pc_key *key;
    const struct pc_key *list; /* NULL: a key of the root */
    unsigned index;            /* of the list */
};

/* When name begins with path in upper case, dots as underscores: what follows; else NULL. */
static const char *after_path(const char *name, const char *path)
{
    for (; *path; path++, name++)
        if (*name != (*path == '.' ? '_' : toupper((unsigned char)*path)))
            return NULL;
    return name;
}

static const struct pc_key *find_key(const struct pc_key_table *t, const char *name)
{
    for (unsigned i = 0; i < t->count; i++) {
        const char *rest = after_path(name, t->keys[i].path);
        if (t->keys[i].type != PC_KEY_LIST && rest && !*rest)
            return &t->keys[i];
    }
    return NULL;
}

/* "_12_NAME" after a list's path. */
static bool find_entry_key(const struct pc_key *list, const char *rest, struct target *ret_target)
{
    char *end;
    if (rest[0] != '_' || !isdigit((unsigned char)rest[1]))
        return false;
    unsigned long index = strtoul(rest + 1, &end, 10);
    if (*end != '_' || end - rest > 1 + INDEX_DIGITS || index >= list->list->max)
        return false;
    const struct pc_key *key = find_key(&list->list->table, end + 1);
    if (!key)
        return false;
    *ret_target = (struct target){key, list, (unsigned)index};
    return true;
}

static bool find_target(const char *name, struct target *ret_target)
{
    const struct pc_key *key = find_key(&pc_config_root, name);
    if (key) {
        *ret_target = (struct target){.key = key};
        return true;
    }
    for (unsigned i = 0; i < pc_config_root.count; i++) {
        const struct pc_key *k = &pc_config_root.keys[i];
        const char *rest = k->type == PC_KEY_LIST ? after_path(name, k->path) : NULL;
        if (rest && find_entry_key(k, rest, ret_target))
            return true;
    }
    return false;
}

static bool is_no_key(const char *name, size_t n)
{
    for (size_t i = 0; i < PC_COUNT(not_keys); i++)
        if (strlen(not_keys[i]) == n && strncmp(not_keys[i], name, n) == 0)
            return true;
    return false;
}

/* The listener whose port the short variable replaces, or NULL. */
static const char *listener_of_port(const char *name)
{
    return strcmp(name, "HTTP_PORT") == 0 ? "http" : strcmp(name, "RESP_PORT") == 0 ? "resp" : NULL;
}

static int set_port(struct pc_config_loader *l, const char *listener, const char *variable,
                    const char *value)
{
    struct pc_config *c = l->config;
    struct pc_address address;
    uint64_t port;
    char text[PC_UNIX_PATH_MAX + 8];
    struct pc_buf b = pc_buf_of(text, sizeof text);
    if (pc_bytes_to_u64(pc_bytes_str(value), &port) || port > UINT16_MAX)
        return pc_fail(l->why, -EINVAL, "%s: " PREFIX "%s: not a port", l->origin, variable);
    for (unsigned i = 0; i < c->listener_count; i++) {
        const struct pc_config_listener *each = &c->listeners[i];
        if (strcmp(each->name, listener) != 0)
            continue;
        if (pc_address_parse(pc_bytes_str(each->address), &address) || address.ip.family == 0)
            break;
        address.port = (uint16_t)port;
        pc_address_format(&address, &b);
        const struct pc_key *list = pc_config_key(&pc_config_root, "listeners");
        const struct pc_record r = pc_config_entry(c, list, i);
        return pc_config_set(l, &r, pc_config_key(r.table, "address"), pc_bytes_of(text, b.len));
    }
    return pc_fail(l->why, -EINVAL, "%s: " PREFIX "%s: no listener \"%s\" with a port", l->origin,
                   variable, listener);
}

static int set_entry_value(struct pc_config_loader *l, const struct target *t, const char *value)
{
    unsigned count = *pc_config_list_count(l->config, t->list);
    struct pc_record r = pc_config_entry(l->config, t->list, t->index);
    if (t->index > count)
        return pc_fail(l->why, -EINVAL, "%s: %s%s: there is no entry before it", l->origin, r.name,
                       t->key->path);
    int err = t->index == count ? pc_config_add_entry(l, t->list, &r) : 0;
    return err ? err : pc_config_set(l, &r, t->key, pc_bytes_str(value));
}

/* Values of a pass: 0 are keys of the root and entries 0, i are entries i, and the last are ports,
 * so that the order of variables does not matter. */
#define PORT_PASS UINT_MAX

static int apply(struct pc_config_loader *l, unsigned pass, const char *name, const char *value)
{
    struct target t;
    const char *listener = listener_of_port(name);
    if (listener)
        return pass == PORT_PASS ? set_port(l, listener, name, value) : 0;
    if (!find_target(name, &t))
        return pc_fail(l->why, -EINVAL, "%s: unknown variable " PREFIX "%s", l->origin, name);
    if (t.index > l->last_index)
        l->last_index = t.index;
    if (t.index != pass)
        return 0;
    if (t.list)
        return set_entry_value(l, &t, value);
    struct pc_record root = pc_config_root_record(l->config);
    return pc_config_set(l, &root, t.key, pc_bytes_str(value));
}

static int apply_variable(struct pc_config_loader *l, unsigned pass, const char *variable)
{
    char name[128];
    const char *equals = strchr(variable, '=');
    if (strncmp(variable, PREFIX, PREFIX_CHARS) != 0 || !equals)
        return 0;
    size_t n = (size_t)(equals - variable) - PREFIX_CHARS;
    if (is_no_key(variable + PREFIX_CHARS, n))
        return 0;
    if (n >= sizeof name)
        return pc_fail(l->why, -EINVAL, "%s: unknown variable " PREFIX "%.40s…", l->origin,
                       variable + PREFIX_CHARS);
    memcpy(name, variable + PREFIX_CHARS, n);
    name[n] = 0;
    return apply(l, pass, name, equals + 1);
}

static int apply_pass(struct pc_config_loader *l, unsigned pass, char *const *environ)
{
    int err = 0;
    for (char *const *v = environ; *v && !err; v++)
        err = apply_variable(l, pass, *v);
    return err;
}

static int apply_all(struct pc_config_loader *l, const char *origin, char *const *environ)
{
    int err = 0;
    l->origin = origin;
    l->last_index = 0;
    for (unsigned pass = 0; pass <= l->last_index && !err; pass++)
        err = apply_pass(l, pass, environ);
    return err ? err : apply_pass(l, PORT_PASS, environ);
}

int pc_config_load_environ(struct pc_config_loader *l, char *const *environ)
{
    return apply_all(l, "environment", environ);
}

/* ---- The env file: NAME=value, the value perhaps in quotes; # begins a comment line. ---- */

static char *trim(char *s)
{
    while (*s == ' ' || *s == '\t')
        s++;
    char *end = s + strlen(s);
    while (end > s && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
        *--end = 0;
    return s;
}

/* Takes matching quotes off the value of "NAME=value", in place. */
static void unquote(char *variable)
{
    char *value = strchr(variable, '=') + 1;
    size_t n = strlen(value);
    if (n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n - 1] == value[0]) {
        memmove(value, value + 1, n - 2);
        value[n - 2] = 0;
    }
}

/* Splits text, in place, into variables; others than ours are somebody else's and are kept out. */
static int split_env_file(struct pc_config_loader *l, const char *path, char *text,
                          char **variables)
{
    unsigned n = 0, line_number = 0;
    for (char *line = text, *next; line; line = next) {
        if ((next = strchr(line, '\n')))
            *next++ = 0;
        line_number++;
        line = trim(line);
        if (*line == 0 || *line == '#')
            continue;
        if (!strchr(line, '='))
            return pc_fail(l->why, -EINVAL, "%s:%u: not NAME=value", path, line_number);
        if (n == ENV_LINES_MAX)
            return pc_fail(l->why, PC_E_TOO_LARGE, "%s: more than %d lines", path, ENV_LINES_MAX);
        unquote(line);
        variables[n++] = line;
    }
    variables[n] = NULL;
    return 0;
}

int pc_config_load_env_file(struct pc_config_loader *l, const char *path)
{
    struct pc_bytes content;
    int err = pc_config_read_file(path, l->why, &content);
    if (err)
        return err;
    char *text = pc_config_alloc(l->config, content.n + 1);
    char **variables = pc_config_alloc(l->config, (ENV_LINES_MAX + 1) * sizeof *variables);
    if (text && variables) {
        memcpy(text, content.p, content.n);
        err = split_env_file(l, path, text, variables);
    } else {
        err = pc_fail(l->why, -ENOMEM, "%s: out of memory", path);
    }
    free((void *)(uintptr_t)content.p);
    return err ? err : apply_all(l, path, variables);
}
