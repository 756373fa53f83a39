/* SPDX-License-Identifier: Apache-2.0
 * From layers to a snapshot: collect what each layer says of a key, settle which counts, lay all
 * of it out in one allocation. Runs on the writer for every change of a flag, and wherever a file
 * is tried out. Pure.
 *
 *   one allocation:  struct pc_flags | flags[count] | slots[mask + 1] | texts */
#include <stdlib.h>

#include "edge/state/flags_internal.h"
#include "edge/state/registers.h"

#define ADMIN_PREFIX "admin:"
/* What is known of one key so far. Byte runs are the layers', or the drafts' own `made`. */
struct draft {
    struct pc_bytes key, value, category, description, actor, variable;
    enum pc_flag_type type;
    enum pc_flag_source from;
    bool has_runtime, ephemeral, ignored;
};

struct drafts {
    struct draft *at;
    uint32_t count;
    uint32_t known;     /* the first ones, sorted, are built in or of the file */
    struct pc_buf made; /* keys and values of variables */
    uint32_t runtime_count;
    struct pc_why *why;
};

/* ---- collecting ---- */

static int compare_drafts(const void *a, const void *b)
{
    return flag_key_compare(((const struct draft *)a)->key, ((const struct draft *)b)->key);
}

static void sort(struct drafts *d)
{
    qsort(d->at, d->count, sizeof *d->at, compare_drafts);
}

/* Of the first n drafts, which are sorted. */
static struct draft *find(const struct drafts *d, uint32_t n, struct pc_bytes key)
{
    struct draft wanted = {.key = key};
    return bsearch(&wanted, d->at, n, sizeof *d->at, compare_drafts);
}

static void add_entry(struct drafts *d, const struct flag_entry *e, enum pc_flag_source from)
{
    d->at[d->count++] = (struct draft){.key = e->key,
                                       .value = e->value,
                                       .category = e->category,
                                       .description = e->description,
                                       .type = e->type,
                                       .from = from};
}

static void add_known(struct drafts *d, const struct pc_flag_layer *file)
{
    for (uint32_t i = 0; i < FLAG_BUILTINS; i++)
        add_entry(d, &flag_builtins[i], PC_FLAG_FROM_DEFAULT);
    for (uint32_t i = 0; file && i < file->count; i++) {
        const struct flag_entry *e = &file->entries[i];
        struct draft *known = find(d, FLAG_BUILTINS, e->key);
        if (!known) {
            add_entry(d, e, PC_FLAG_FROM_FILE);
            continue;
        }
        PC_ASSERT(known->type == e->type); /* the file's reader has seen to it */
        known->value = e->value;
        known->from = PC_FLAG_FROM_FILE;
        if (e->category.n)
            known->category = e->category;
        if (e->description.n)
            known->description = e->description;
    }
    sort(d);
    d->known = d->count;
}

/* ---- the environment ---- */

/* The name of a key's variable, without FLAG_: "auth.enable_2fa" is AUTH_ENABLE_2FA. */
static bool names_key(struct pc_bytes name, struct pc_bytes key)
{
    if (name.n != key.n)
        return false;
    for (size_t i = 0; i < key.n; i++) {
        uint8_t c = key.p[i];
        if (c >= 'a' && c <= 'z')
            c = (uint8_t)(c - 'a' + 'A');
        else if (c == '.' || c == '-')
            c = '_';
        if (c != name.p[i])
            return false;
    }
    return true;
}

/* A key nobody knows yet: lower case, its first underscore the dot. */
static struct pc_bytes make_key(struct drafts *d, struct pc_bytes name)
{
    const uint8_t *at = d->made.p + d->made.len;
    bool dotted = false;
    for (size_t i = 0; i < name.n; i++) {
        uint8_t c = name.p[i];
        bool dot = c == '_' && !dotted;
        dotted |= dot;
        pc_buf_char(&d->made, (char)(dot ? '.' : c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c));
    }
    return pc_bytes_of(at, name.n);
}

/* The draft a variable is about, added if need be. */
static int resolve(struct drafts *d, const struct flag_variable *v, struct draft **ret_draft)
{
    const size_t prefix = sizeof FLAG_PREFIX - 1;
    struct pc_bytes name = pc_bytes_of(v->name.p + prefix, v->name.n - prefix);
    struct pc_why inner = {{0}};
    struct draft *found = NULL;
    for (uint32_t i = 0; i < d->known; i++) {
        if (!names_key(name, d->at[i].key))
            continue;
        if (found)
            return pc_fail(d->why, -EINVAL, "%.*s could be the flag %.*s or %.*s", (int)v->name.n,
                           (const char *)v->name.p, (int)found->key.n, (const char *)found->key.p,
                           (int)d->at[i].key.n, (const char *)d->at[i].key.p);
        found = &d->at[i];
    }
    if (!found) {
        struct pc_bytes key = make_key(d, name);
        if (pc_flag_key_check(key, &inner) < 0)
            return pc_fail(d->why, -EINVAL, "%.*s: it would be the flag \"%.*s\": %s",
                           (int)v->name.n, (const char *)v->name.p, (int)key.n, (const char *)key.p,
                           inner.text);
        found = &d->at[d->count++];
        *found = (struct draft){.key = key};
    }
    *ret_draft = found;
    return 0;
}

static int add_variable(struct drafts *d, const struct flag_variable *v)
{
    struct draft *draft = NULL;
    struct pc_why inner = {{0}};
    int rc = resolve(d, v, &draft);
    if (rc < 0)
        return rc;
    size_t start = d->made.len;
    rc = flag_value_from_text(v->text, draft->type, &d->made, &draft->type, &inner);
    if (rc < 0)
        return pc_fail(d->why, rc, "%.*s (flag %.*s): %s", (int)v->name.n, (const char *)v->name.p,
                       (int)draft->key.n, (const char *)draft->key.p, inner.text);
    draft->value = pc_bytes_of(d->made.p + start, d->made.len - start);
    draft->variable = v->name;
    draft->from = PC_FLAG_FROM_ENVIRONMENT;
    return 0;
}

/* Room for the keys and values the variables may become: text that is no JSON grows when quoted. */
static size_t room_for_variables(const struct pc_flag_layer *environment)
{
    size_t n = 0;
    for (uint32_t i = 0; environment && i < environment->count; i++)
        n += environment->variables[i].name.n +
             pc_min_u64(6 * environment->variables[i].text.n + 22, PC_FLAG_VALUE_MAX + 22);
    return n;
}

/* ---- runtime ---- */

static bool write_again(struct pc_bytes value, struct pc_buf *b, enum pc_flag_type *type)
{
    struct pc_json_token tokens[PC_FLAG_VALUE_TOKENS + 1];
    struct pc_json doc;
    return pc_json_parse(value, tokens, PC_COUNT(tokens), NULL, &doc, NULL) == 0 &&
           pc_flag_value_write(&doc, doc.tokens, *type, b, type, NULL) == 0 &&
           pc_bytes_eq(pc_bytes_of(b->p, b->len), value);
}

/* `sorted` drafts can be searched; registers name each key once. */
static void add_register(struct drafts *d, uint32_t sorted, const struct pc_register *reg)
{
    uint8_t scratch[PC_FLAG_VALUE_MAX + 32];
    struct pc_buf b = pc_buf_of(scratch, sizeof scratch);
    struct draft *draft = find(d, sorted, reg->key);
    enum pc_flag_type type = draft ? draft->type : PC_FLAG_NO_TYPE;
    /* It was checked when it was set; but the file may have another type for it since. */
    bool fits = write_again(reg->value, &b, &type);
    if (!draft) {
        if (!fits)
            return;
        draft = &d->at[d->count++];
        *draft = (struct draft){.key = reg->key, .type = type};
    }
    draft->has_runtime = true;
    draft->ephemeral = reg->ephemeral;
    draft->ignored = !fits;
    if (!fits || draft->from == PC_FLAG_FROM_ENVIRONMENT)
        return;
    draft->value = reg->value;
    draft->actor = reg->actor;
    draft->from = PC_FLAG_FROM_ADMIN;
}

static uint32_t count_live(const struct pc_registers *runtime)
{
    uint32_t n = 0;
    size_t at = 0;
    while (pc_registers_next(runtime, &at))
        n++;
    return n;
}

static void add_runtime(struct drafts *d, const struct pc_registers *runtime)
{
    const struct pc_register *reg;
    uint32_t sorted = d->count;
    size_t at = 0;
    while ((reg = pc_registers_next(runtime, &at)))
        add_register(d, sorted, reg);
    sort(d);
}

/* ---- the snapshot ---- */

/* A category nobody named is the key's first part. */
static struct pc_bytes category_of(const struct draft *d)
{
    const uint8_t *dot = d->category.n ? NULL : memchr(d->key.p, '.', d->key.n);
    if (d->category.n)
        return d->category;
    return dot ? pc_bytes_of(d->key.p, (size_t)(dot - d->key.p)) : PC_LIT("general");
}

static size_t text_bytes(const struct draft *d)
{
    return d->key.n + sizeof "\"\":" + d->value.n + category_of(d).n + d->description.n +
           sizeof ADMIN_PREFIX + d->actor.n + d->variable.n;
}

static struct pc_bytes keep(struct pc_buf *b, struct pc_bytes s)
{
    const uint8_t *at = b->p + b->len;
    pc_buf_bytes(b, s);
    PC_ASSERT(!b->overflow);
    return pc_bytes_of(at, s.n);
}

static struct pc_bytes keep_source(struct pc_buf *b, const struct draft *d)
{
    switch (d->from) {
    case PC_FLAG_FROM_DEFAULT: return PC_LIT("default");
    case PC_FLAG_FROM_FILE: return PC_LIT("file");
    case PC_FLAG_FROM_ENVIRONMENT: return PC_LIT("environment");
    case PC_FLAG_FROM_ADMIN: break;
    }
    struct pc_bytes prefix = keep(b, PC_LIT(ADMIN_PREFIX)),
                    name = keep(b, pc_flag_actor_name(d->actor));
    return pc_bytes_of(prefix.p, prefix.n + name.n);
}

static void fill_flag(struct pc_flag *f, const struct draft *d, struct pc_buf *b)
{
    const uint8_t *at = b->p + b->len;
    pc_buf_char(b, '"');
    f->key = keep(b, d->key);
    pc_buf_lit(b, "\":");
    f->value = keep(b, d->value);
    f->attach = pc_bytes_of(at, (size_t)(b->p + b->len - at));
    f->category = keep(b, category_of(d));
    f->description = keep(b, d->description);
    f->source = keep_source(b, d);
    f->variable = keep(b, d->variable);
    f->hash = pc_flag_hash(d->key);
    f->type = d->type;
    f->from = d->from;
    f->has_runtime = d->has_runtime;
    f->ephemeral = d->ephemeral;
    PC_ASSERT(f->type != PC_FLAG_NO_TYPE && f->value.n > 0); /* I3 */
}

static void insert(struct pc_flag_slot *slots, uint32_t mask, uint64_t hash, uint32_t index)
{
    uint32_t i = (uint32_t)hash & mask;
    while (slots[i].index)
        i = (i + 1) & mask;
    slots[i] = (struct pc_flag_slot){(uint32_t)(hash >> 32), index + 1};
}

static bool is_true(const struct pc_flags *f, struct pc_bytes key)
{
    const struct pc_flag *flag = pc_flags_find(f, key);
    PC_ASSERT(flag && flag->type == PC_FLAG_BOOLEAN); /* built in */
    return pc_bytes_eq(flag->value, PC_LIT("true"));
}

static int lay_out(const struct drafts *d, struct pc_flags **ret)
{
    uint32_t slots_n = 2;
    size_t texts = 0;
    while (slots_n < 2 * d->count)
        slots_n *= 2;
    for (uint32_t i = 0; i < d->count; i++)
        texts += text_bytes(&d->at[i]);
    size_t flags_bytes = d->count * sizeof(struct pc_flag);
    size_t slots_bytes = slots_n * sizeof(struct pc_flag_slot);
    size_t bytes = sizeof(struct pc_flags) + flags_bytes + slots_bytes + texts;
    struct pc_flags *f = calloc(1, bytes);
    if (!f)
        return -ENOMEM;
    struct pc_flag *flags = (void *)(f + 1);
    struct pc_flag_slot *slots = (void *)((uint8_t *)flags + flags_bytes);
    struct pc_buf b = pc_buf_of((uint8_t *)slots + slots_bytes, texts);
    f->flags = flags;
    f->slots = slots;
    f->mask = slots_n - 1;
    f->bytes = bytes;
    f->runtime_count = d->runtime_count;
    for (f->count = 0; f->count < d->count; f->count++) {
        const struct draft *draft = &d->at[f->count];
        PC_ASSERT(f->count == 0 || flag_key_compare(draft[-1].key, draft->key) < 0); /* I2 */
        fill_flag(&flags[f->count], draft, &b);
        insert(slots, f->mask, flags[f->count].hash, f->count);
        f->ignored += draft->ignored;
        if (draft->ignored && !f->first_ignored)
            f->first_ignored = &flags[f->count];
    }
    f->maintenance = is_true(f, PC_LIT("maintenance.mode_enabled"));
    f->rate_limit_strict = is_true(f, PC_LIT("api.rate_limit_strict"));
    *ret = f;
    return 0;
}

static int collect(struct drafts *d, const struct pc_flag_layer *file,
                   const struct pc_registers *runtime, const struct pc_flag_layer *environment)
{
    add_known(d, file);
    for (uint32_t i = 0; environment && i < environment->count; i++) {
        int rc = add_variable(d, &environment->variables[i]);
        if (rc < 0)
            return rc;
    }
    sort(d);
    add_runtime(d, runtime);
    return 0;
}

int pc_flags_compile(const struct pc_flag_layer *file, const struct pc_registers *runtime,
                     const struct pc_flag_layer *environment, struct pc_flags **ret,
                     struct pc_why *why)
{
    struct drafts d = {.why = why, .runtime_count = count_live(runtime)};
    size_t room = room_for_variables(environment);
    PC_ASSERT(!file || !file->variables);
    PC_ASSERT(!environment || !environment->entries);
    if (d.runtime_count > PC_FLAG_RUNTIME_MAX)
        return pc_fail(why, PC_E_FULL, "at most %d flags may hold a runtime value",
                       PC_FLAG_RUNTIME_MAX);
    size_t max = FLAG_BUILTINS + pc_flag_layer_count(file) + d.runtime_count +
                 pc_flag_layer_count(environment);
    size_t drafts_bytes = max * sizeof *d.at;
    d.at = malloc(drafts_bytes + room);
    if (!d.at)
        return pc_fail(why, -ENOMEM, "no memory for %zu flags", max);
    d.made = pc_buf_of((uint8_t *)d.at + drafts_bytes, room);
    int rc = collect(&d, file, runtime, environment);
    if (rc == 0 && (rc = lay_out(&d, ret)) < 0)
        pc_fail(why, rc, "no memory for %zu flags", max);
    free(d.at);
    return rc;
}
