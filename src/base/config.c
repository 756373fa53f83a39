/* SPDX-License-Identifier: Apache-2.0
 * Loading a configuration: defaults, file, overlay, env file, environment, then the rules over
 * several keys. Start-up, reload and the command only. */
#include "base/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/config_internal.h"
#include "base/sha256.h"

/* Everything that a configuration points to hangs on this list and goes with it. */
struct block {
    struct block *next;
    max_align_t bytes[];
};

void *pc_config_alloc(struct pc_config *c, size_t n)
{
    struct block *b = calloc(1, sizeof *b + n);
    if (!b)
        return NULL;
    b->next = c->memory;
    c->memory = b;
    return b->bytes;
}

const char *pc_config_strdup(struct pc_config *c, struct pc_bytes text)
{
    char *copy = pc_config_alloc(c, text.n + 1);
    if (copy && text.n)
        memcpy(copy, text.p, text.n);
    return copy;
}

void pc_config_free(struct pc_config *c)
{
    if (!c)
        return;
    for (struct block *b = c->memory, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    free(c);
}

/* ---- Records. ---- */

struct pc_record pc_config_root_record(struct pc_config *c)
{
    return (struct pc_record){.table = &pc_config_root, .base = c};
}

unsigned *pc_config_list_count(struct pc_config *c, const struct pc_key *list_key)
{
    return (unsigned *)(void *)((uint8_t *)c + list_key->list->count_offset);
}

struct pc_record pc_config_entry(struct pc_config *c, const struct pc_key *list_key, unsigned i)
{
    const struct pc_list *list = list_key->list;
    uint8_t *entries = *(uint8_t **)(void *)((uint8_t *)c + list_key->offset);
    struct pc_record r = {.table = &list->table, .base = entries + i * list->entry_bytes};
    struct pc_buf name = pc_buf_of(r.name, sizeof r.name - 1);
    PC_ASSERT(i < list->max && entries);
    pc_buf_fmt(&name, "%s[%u].", list_key->path, i);
    return r;
}

const struct pc_key *pc_config_key(const struct pc_key_table *t, const char *path)
{
    for (unsigned i = 0; i < t->count; i++)
        if (strcmp(t->keys[i].path, path) == 0)
            return &t->keys[i];
    PC_ASSERT(!"no such key");
    return NULL;
}

/* ---- Setting one value. ---- */

static int refuse(struct pc_config_loader *l, const struct pc_record *r, const struct pc_key *k,
                  int err, const char *what)
{
    return pc_fail(l->why, err, "%s: %s%s: %s", l->origin, r->name, k->path, what);
}

/* The code point of the UTF-8 sequence at s, its length to *ret_n; 0 when there is none. */
static uint32_t code_point(const uint8_t *s, size_t n, size_t *ret_n)
{
    static const uint32_t first[] = {0, 0, 0x80, 0x800, 0x10000}; /* shorter forms are refused */
    size_t length = s[0] < 0x80             ? 1
                    : (s[0] & 0xe0) == 0xc0 ? 2
                    : (s[0] & 0xf0) == 0xe0 ? 3
                    : (s[0] & 0xf8) == 0xf0 ? 4
                                            : 0;
    if (length == 0 || length > n)
        return 0;
    uint32_t value = length == 1 ? s[0] : s[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (s[i] & 0x3f);
    }
    *ret_n = length;
    return value < first[length] ? 0 : value;
}

/* What YAML can carry and a terminal can show: no control characters, no surrogates. */
static bool is_printable(struct pc_bytes text)
{
    for (size_t i = 0, n = 0; i < text.n; i += n) {
        uint32_t c = code_point(text.p + i, text.n - i, &n);
        if (c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0xd800 && c < 0xe000) || c == 0xfeff ||
            c == 0xfffe || c == 0xffff || c == 0x2028 || c == 0x2029 || c > 0x10ffff)
            return false;
    }
    return true;
}

static int set_text(struct pc_config_loader *l, const struct pc_record *r, const struct pc_key *k,
                    struct pc_bytes text)
{
    if (text.n > PC_CONFIG_TEXT_MAX)
        return refuse(l, r, k, PC_E_TOO_LARGE, "too long");
    if (!is_printable(text))
        return refuse(l, r, k, -EINVAL, "has a control character or is not UTF-8");
    const char *copy = pc_config_strdup(l->config, text);
    if (!copy)
        return refuse(l, r, k, -ENOMEM, "out of memory");
    *(const char **)pc_key_value(r, k) = copy;
    return 0;
}

static int set_choice(struct pc_config_loader *l, const struct pc_record *r, const struct pc_key *k,
                      struct pc_bytes text)
{
    for (unsigned i = 0; i < PC_KEY_CHOICES_MAX && k->choices[i]; i++)
        if (pc_bytes_eq_str(text, k->choices[i])) {
            *(unsigned *)pc_key_value(r, k) = i;
            return 0;
        }
    return refuse(l, r, k, -EINVAL, "not one of its words");
}

static int set_bool(struct pc_config_loader *l, const struct pc_record *r, const struct pc_key *k,
                    struct pc_bytes text)
{
    bool on = pc_bytes_eq_str(text, "true");
    if (!on && !pc_bytes_eq_str(text, "false"))
        return refuse(l, r, k, -EINVAL, "must be true or false");
    *(bool *)pc_key_value(r, k) = on;
    return 0;
}

static int set_fraction(struct pc_config_loader *l, const struct pc_record *r,
                        const struct pc_key *k, struct pc_bytes text)
{
    char copy[32], *end;
    if (text.n == 0 || text.n >= sizeof copy)
        return refuse(l, r, k, -EINVAL, "not a number");
    memcpy(copy, text.p, text.n);
    copy[text.n] = 0;
    double value = strtod(copy, &end);
    if (*end || !(copy[0] == '.' || (copy[0] >= '0' && copy[0] <= '9')))
        return refuse(l, r, k, -EINVAL, "not a number");
    if (!(value >= 0 && value <= 1))
        return refuse(l, r, k, -ERANGE, "must be between 0 and 1");
    *(double *)pc_key_value(r, k) = value;
    return 0;
}

static void put_bound(struct pc_buf *b, const struct pc_key *k, int64_t bound)
{
    if (k->type == PC_KEY_DURATION)
        pc_duration_format(bound, b);
    else if (k->type == PC_KEY_SIZE)
        pc_size_format((uint64_t)bound, b);
    else
        pc_buf_i64(b, bound);
}

/* Says the range in the key's own unit. */
static int out_of_range(struct pc_config_loader *l, const struct pc_record *r,
                        const struct pc_key *k)
{
    char text[96];
    struct pc_buf b = pc_buf_of(text, sizeof text - 1);
    pc_buf_lit(&b, "must be between ");
    put_bound(&b, k, k->min);
    pc_buf_lit(&b, " and ");
    put_bound(&b, k, k->max);
    text[b.len] = 0;
    return refuse(l, r, k, -ERANGE, text);
}

static int set_number(struct pc_config_loader *l, const struct pc_record *r, const struct pc_key *k,
                      struct pc_bytes text)
{
    uint64_t value = 0;
    int64_t ms = 0;
    int err = k->type == PC_KEY_DURATION ? pc_duration_parse(text, &ms)
              : k->type == PC_KEY_SIZE   ? pc_size_parse(text, &value)
                                         : pc_bytes_to_u64(text, &value);
    if (err == -EINVAL)
        return refuse(l, r, k, err,
                      k->type == PC_KEY_DURATION
                          ? "not a duration (write 100ms, 5s, 15m, 24h or 7d)"
                      : k->type == PC_KEY_SIZE ? "not a size (write 512B, 16KiB, 1MiB or 4GiB)"
                                               : "not a whole number");
    if (k->type == PC_KEY_DURATION)
        value = (uint64_t)ms;
    if (err || value < (uint64_t)k->min || value > (uint64_t)k->max)
        return out_of_range(l, r, k);
    if (k->type == PC_KEY_DURATION)
        *(int64_t *)pc_key_value(r, k) = (int64_t)value;
    else
        *(uint64_t *)pc_key_value(r, k) = value;
    return 0;
}

static int set_mode(struct pc_config_loader *l, const struct pc_record *r, const struct pc_key *k,
                    struct pc_bytes text)
{
    if (pc_mode_parse(text, pc_key_value(r, k)))
        return refuse(l, r, k, -EINVAL, "not a file mode such as 0660");
    return 0;
}

int pc_config_set_words(struct pc_config_loader *l, const struct pc_record *r,
                        const struct pc_key *k, const struct pc_bytes *words, unsigned n)
{
    if (n > PC_CONFIG_WORDS_MAX)
        return refuse(l, r, k, PC_E_TOO_LARGE, "too many words");
    if (n == 0 && *k->default_text)
        return refuse(l, r, k, -EINVAL, "must not be empty");
    const char **v = pc_config_alloc(l->config, (n + 1) * sizeof *v);
    if (!v)
        return refuse(l, r, k, -ENOMEM, "out of memory");
    for (unsigned i = 0; i < n; i++) {
        if (words[i].n == 0 || words[i].n > PC_CONFIG_TEXT_MAX || !is_printable(words[i]))
            return refuse(l, r, k, -EINVAL, "has an empty or impossible word");
        if (!(v[i] = pc_config_strdup(l->config, words[i])))
            return refuse(l, r, k, -ENOMEM, "out of memory");
    }
    *(struct pc_words *)pc_key_value(r, k) = (struct pc_words){v, n};
    pc_record_source(r)[k - r->table->keys] = (uint8_t)l->source;
    return 0;
}

/* Words separated by commas, blanks around them ignored; an empty text is no words. */
static int set_comma_words(struct pc_config_loader *l, const struct pc_record *r,
                           const struct pc_key *k, struct pc_bytes text)
{
    struct pc_bytes words[PC_CONFIG_WORDS_MAX + 1];
    unsigned n = 0;
    size_t at = 0;
    while (text.n && at <= text.n && n <= PC_CONFIG_WORDS_MAX) {
        const uint8_t *comma = at < text.n ? memchr(text.p + at, ',', text.n - at) : NULL;
        size_t from = at, to = comma ? (size_t)(comma - text.p) : text.n;
        at = to + 1;
        while (from < to && text.p[from] == ' ')
            from++;
        while (to > from && text.p[to - 1] == ' ')
            to--;
        words[n++] = pc_bytes_of(text.p + from, to - from);
    }
    return pc_config_set_words(l, r, k, words, n);
}

int pc_config_set(struct pc_config_loader *l, const struct pc_record *r, const struct pc_key *k,
                  struct pc_bytes text)
{
    int err = 0;
    switch (k->type) {
    case PC_KEY_TEXT:
    case PC_KEY_FILE: err = set_text(l, r, k, text); break;
    case PC_KEY_BOOL: err = set_bool(l, r, k, text); break;
    case PC_KEY_UINT:
    case PC_KEY_DURATION:
    case PC_KEY_SIZE: err = set_number(l, r, k, text); break;
    case PC_KEY_FRACTION: err = set_fraction(l, r, k, text); break;
    case PC_KEY_MODE: err = set_mode(l, r, k, text); break;
    case PC_KEY_ENUM: err = set_choice(l, r, k, text); break;
    case PC_KEY_WORDS: err = set_comma_words(l, r, k, text); break;
    case PC_KEY_LIST: PC_ASSERT(!"a list has no value of its own");
    }
    if (!err)
        pc_record_source(r)[k - r->table->keys] = (uint8_t)l->source;
    return err;
}

/* ---- Defaults. ---- */

static int set_defaults(struct pc_config_loader *l, const struct pc_record *r)
{
    for (unsigned i = 0; i < r->table->count; i++) {
        const struct pc_key *k = &r->table->keys[i];
        if (k->type == PC_KEY_LIST)
            continue;
        int err = pc_config_set(l, r, k, pc_bytes_str(k->default_text));
        if (err)
            return err;
    }
    return 0;
}

int pc_config_add_entry(struct pc_config_loader *l, const struct pc_key *list_key,
                        struct pc_record *ret_record)
{
    struct pc_config_loader defaults = {l->config, "default", PC_FROM_DEFAULT, l->why, 0};
    unsigned *count = pc_config_list_count(l->config, list_key);
    struct pc_record r = pc_config_entry(l->config, list_key, *count);
    memset(r.base, 0, list_key->list->entry_bytes);
    int err = set_defaults(&defaults, &r);
    if (err)
        return err;
    ++*count;
    *ret_record = r;
    return 0;
}

static int allocate_lists(struct pc_config_loader *l)
{
    for (unsigned i = 0; i < pc_config_root.count; i++) {
        const struct pc_key *k = &pc_config_root.keys[i];
        if (k->type != PC_KEY_LIST)
            continue;
        void *entries = pc_config_alloc(l->config, k->list->max * k->list->entry_bytes);
        if (!entries)
            return pc_fail(l->why, -ENOMEM, "out of memory");
        *(void **)(void *)((uint8_t *)l->config + k->offset) = entries;
    }
    return 0;
}

static const char *resp_words[] = {"resp"};

/* The two listeners and the one prefix that exist without any configuration. */
static int set_default_lists(struct pc_config_loader *l)
{
    const struct pc_key *listeners = pc_config_key(&pc_config_root, "listeners");
    struct pc_config *c = l->config;
    struct pc_record r;
    int err = pc_config_add_entry(l, listeners, &r);
    if (!err)
        err = pc_config_add_entry(l, listeners, &r);
    if (!err)
        err = pc_config_add_entry(l, pc_config_key(&pc_config_root, "resp.prefixes"), &r);
    if (err)
        return err;
    c->listeners[1].name = "resp";
    c->listeners[1].address = "127.0.0.1:6380";
    c->listeners[1].protocols = (struct pc_words){resp_words, 1};
    return 0;
}

/* ---- The whole. ---- */

static int read_fd(int fd, const char *path, struct pc_why *why, struct pc_bytes *ret_text)
{
    uint8_t *text = malloc(PC_CONFIG_FILE_MAX + 1);
    size_t n = 0;
    ssize_t got = 1;
    if (!text)
        return pc_fail(why, -ENOMEM, "%s: out of memory", path);
    while (n <= PC_CONFIG_FILE_MAX && (got = read(fd, text + n, PC_CONFIG_FILE_MAX + 1 - n)) > 0)
        n += (size_t)got;
    if (got < 0 || n > PC_CONFIG_FILE_MAX) {
        int err = got < 0 ? -errno : PC_E_TOO_LARGE;
        free(text);
        return pc_fail(why, err, "%s: %s", path, pc_strerror(err));
    }
    *ret_text = pc_bytes_of(text, n);
    return 0;
}

int pc_config_read_file(const char *path, struct pc_why *why, struct pc_bytes *ret_text)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return pc_fail(why, -errno, "%s: %s", path, pc_strerror(-errno));
    int err = read_fd(fd, path, why, ret_text);
    close(fd);
    return err;
}

/* Identifies what is in effect: two nodes with the same hash run the same configuration. */
static int set_hash(struct pc_config *c)
{
    uint8_t digest[PC_SHA256_BYTES];
    char *text = pc_config_show(c, false);
    if (!text)
        return -ENOMEM;
    pc_sha256(text, strlen(text), digest);
    free(text);
    pc_hex_encode(digest, PC_CONFIG_HASH_CHARS / 2, c->hash);
    return 0;
}

static int load_all(struct pc_config_loader *l, const struct pc_config_options *o)
{
    struct pc_record root = pc_config_root_record(l->config);
    int err = set_defaults(l, &root);
    if (err || (err = allocate_lists(l)) || (err = set_default_lists(l)))
        return err;
    l->source = PC_FROM_FILE;
    if (o->path && (err = pc_config_load_yaml(l, o->path, false)))
        return err;
    l->source = PC_FROM_OVERLAY;
    if (o->overlay && (err = pc_config_load_yaml(l, o->overlay, true)))
        return err;
    l->source = PC_FROM_ENV;
    if (o->env_file && (err = pc_config_load_env_file(l, o->env_file)))
        return err;
    if (o->environ && (err = pc_config_load_environ(l, o->environ)))
        return err;
    l->origin = o->path ? o->path : "configuration";
    return pc_config_derive(l);
}

int pc_config_load(const struct pc_config_options *o, struct pc_config **ret_config,
                   struct pc_why *why)
{
    struct pc_config *c = calloc(1, sizeof *c);
    if (!c)
        return pc_fail(why, -ENOMEM, "out of memory");
    struct pc_config_loader l = {c, "default", PC_FROM_DEFAULT, why, 0};
    c->dev = o->dev;
    int err = load_all(&l, o);
    if (!err && (err = set_hash(c)))
        pc_fail(why, err, "out of memory");
    if (err) {
        pc_config_free(c);
        return err;
    }
    *ret_config = c;
    return 0;
}
