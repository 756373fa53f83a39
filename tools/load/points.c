/* SPDX-License-Identifier: Apache-2.0
 * Reader of points. One table per kind of object says which members there are, where their values
 * go and what range they have; whatever is not in a table is refused, because a misspelt member
 * that is passed over is a capacity planned from a default. Any thread; reads one file. */
#include "load/points.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const ld_table_names[LD_TABLES] = {
    "revoked", "sessions", "subjects", "limit_keys", "cached_tokens",
};

enum kind { NUMBER, TEXT, TEXT_SHORT, BOOLEAN };

/* A member that is one value. */
struct member {
    const char *name;
    enum kind kind;
    size_t offset;
    double min, max;
};

#define NUMBER_OF(type, member, min, max)                                                          \
    {                                                                                              \
#member, NUMBER, offsetof(struct type, member), min, max                                   \
    }
#define TEXT_OF(type, member)                                                                      \
    {                                                                                              \
#member, TEXT, offsetof(struct type, member), 0, 0                                         \
    }

#define LEAST 1e-9
#define MOST  1e15

static const struct member top_members[] = {
    TEXT_OF(ld_points, when),
    TEXT_OF(ld_points, command),
    TEXT_OF(ld_points, what),
    {"quick",            BOOLEAN,    offsetof(struct ld_points, quick),            0, 0},
    NUMBER_OF(ld_points, empty_bytes, 0, MOST),
    NUMBER_OF(ld_points, request_bytes, 1, 1e9),
    NUMBER_OF(ld_points, answer_bytes, 1, 1e9),
    NUMBER_OF(ld_points, change_bytes, 1, 1e9),
    NUMBER_OF(ld_points, snapshot_entry_bytes, 1, 1e9),
    NUMBER_OF(ld_points, apply_cpu_us, LEAST, 1e9),
    NUMBER_OF(ld_points, durable_per_s, LEAST, 1e12),
    NUMBER_OF(ld_points, fsync_us, LEAST, 1e9),
    NUMBER_OF(ld_points, decision_us, LEAST, 1e9),
    NUMBER_OF(ld_points, decision_scv, 0, 1e6),
    NUMBER_OF(ld_points, verify_us, LEAST, 1e9),
    {"verify_algorithm", TEXT_SHORT, offsetof(struct ld_points, verify_algorithm), 0, 0},
    NUMBER_OF(ld_points, cache_entries, 1, 1e9),
};
static const struct member machine_members[] = {
    TEXT_OF(ld_points, cpu_model),
    TEXT_OF(ld_points, kernel),
    NUMBER_OF(ld_points, cpus, 1, 1e6),
    NUMBER_OF(ld_points, memory_bytes, 1, MOST),
};
static const struct member cpu_members[] = {
    NUMBER_OF(ld_cpu_point, cores, 1, 4096),
    NUMBER_OF(ld_cpu_point, cpu_us, LEAST, 1e9),
    NUMBER_OF(ld_cpu_point, rate_per_s, LEAST, 1e12),
};
static const struct member in_process_members[] = {
    {"threads", NUMBER, offsetof(struct ld_usl_point, n),    1,     4096},
    {"per_s",   NUMBER, offsetof(struct ld_usl_point, rate), LEAST, 1e12},
};
static const struct member latency_members[] = {
    {"floor",     BOOLEAN, offsetof(struct ld_latency_point, is_floor),  0, 0   },
    NUMBER_OF(ld_latency_point, load, LEAST, 1),
    NUMBER_OF(ld_latency_point, rate_per_s, LEAST, 1e12),
    NUMBER_OF(ld_latency_point, p50_us, 0, 1e12),
    NUMBER_OF(ld_latency_point, p90_us, 0, 1e12),
    NUMBER_OF(ld_latency_point, p99_us, 0, 1e12),
    {"p99.9_us",  NUMBER,  offsetof(struct ld_latency_point, p99_9_us),  0, 1e12},
    {"p99.99_us", NUMBER,  offsetof(struct ld_latency_point, p99_99_us), 0, 1e12},
};
/* Pairs are read into this and then appended. */
struct pair {
    double x, y;
};
static const struct member memory_members[] = {
    {"entries", NUMBER, offsetof(struct pair, x), 1, 1e12},
    {"bytes",   NUMBER, offsetof(struct pair, y), 0, MOST},
};
static const struct member start_members[] = {
    {"entries", NUMBER, offsetof(struct pair, x), 0, 1e12},
    {"seconds", NUMBER, offsetof(struct pair, y), 0, 1e9 },
};

/* Members of the top that are objects or lists, and "format". */
static const char *const top_others[] = {"format",  "machine", "cpu",   "in_process",
                                         "latency", "memory",  "start", "validation"};

struct place {
    const char *file;
    char at[160]; /* "memory.revoked[2]", empty at the top */
    struct ld_problem *problem;
};

static bool fail(const struct place *p, const char *name, const char *what)
{
    return ld_problem_set(p->problem, "%s: %s%s%.60s: %s", p->file, p->at, *p->at ? "." : "", name,
                          what);
}

static bool read_text(const struct place *p, const char *name, const json_t *v, char *dst,
                      size_t cap)
{
    if (!json_is_string(v))
        return fail(p, name, "not a text");
    if (json_string_length(v) >= cap)
        return fail(p, name, "longer than allowed");
    snprintf(dst, cap, "%s", json_string_value(v));
    return true;
}

static bool read_member(const struct place *p, const struct member *m, const json_t *v, void *base)
{
    char *to = (char *)base + m->offset;
    if (m->kind == TEXT)
        return read_text(p, m->name, v, to, LD_POINTS_TEXT);
    if (m->kind == TEXT_SHORT)
        return read_text(p, m->name, v, to, sizeof(((struct ld_points *)0)->verify_algorithm));
    if (m->kind == BOOLEAN) {
        if (!json_is_boolean(v))
            return fail(p, m->name, "neither true nor false");
        *(bool *)(void *)to = json_is_true(v);
        return true;
    }
    if (!json_is_number(v))
        return fail(p, m->name, "not a number");
    double value = json_number_value(v);
    if (!(value >= m->min && value <= m->max)) {
        char text[96];
        snprintf(text, sizeof(text), "%g is not between %g and %g", value, m->min, m->max);
        return fail(p, m->name, text);
    }
    memcpy(to, &value, sizeof(value));
    return true;
}

static bool is_among(const char *name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(name, names[i]))
            return true;
    return false;
}

/* All members of the table, and none besides those and `others`. */
static bool read_object(const struct place *p, const json_t *object, const struct member *members,
                        size_t n, const char *const *others, size_t others_n, void *base)
{
    if (!json_is_object(object))
        return ld_problem_set(p->problem, "%s: %s: not an object", p->file, p->at);
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_object_get(object, members[i].name);
        if (!v)
            return fail(p, members[i].name, "missing");
        if (!read_member(p, &members[i], v, base))
            return false;
    }
    const char *name;
    json_t *v;
    json_object_foreach((json_t *)object, name, v)
    { /* the macro takes no const */
        bool known = is_among(name, others, others_n);
        for (size_t i = 0; i < n && !known; i++)
            known = !strcmp(name, members[i].name);
        if (!known)
            return fail(p, name, "not a member this program knows");
    }
    return true;
}

struct list {
    const char *name;
    const struct member *members;
    size_t members_n;
    size_t size; /* of an element */
    size_t least;
};

/* A list of objects into an array of LD_POINTS_MAX elements. */
static bool read_list(const struct place *above, const json_t *in, const struct list *l,
                      void *array, size_t *ret_n)
{
    const json_t *v = json_object_get(in, l->name);
    if (!json_is_array(v))
        return fail(above, l->name, v ? "not a list" : "missing");
    size_t n = json_array_size(v);
    if (n < l->least || n > LD_POINTS_MAX) {
        char text[64];
        snprintf(text, sizeof(text), "%zu elements (%zu to %d)", n, l->least, LD_POINTS_MAX);
        return fail(above, l->name, text);
    }
    for (size_t i = 0; i < n; i++) {
        struct place p = *above;
        snprintf(p.at, sizeof(p.at), "%.60s%s%.60s[%zu]", above->at, *above->at ? "." : "", l->name,
                 i);
        if (!read_object(&p, json_array_get(v, i), l->members, l->members_n, NULL, 0,
                         (char *)array + i * l->size))
            return false;
    }
    *ret_n = n;
    return true;
}

static bool read_pairs(const struct place *above, const json_t *in, const char *name,
                       const struct member *members, struct ld_pair_points *to)
{
    struct pair pairs[LD_POINTS_MAX];
    struct list l = {name, members, 2, sizeof(*pairs), 1};
    if (!read_list(above, in, &l, pairs, &to->n))
        return false;
    for (size_t i = 0; i < to->n; i++) {
        to->x[i] = pairs[i].x;
        to->y[i] = pairs[i].y;
    }
    return true;
}

static bool read_memory(const struct place *top, const json_t *root, struct ld_points *to)
{
    struct place p = *top;
    snprintf(p.at, sizeof(p.at), "memory");
    const json_t *memory = json_object_get(root, "memory");
    if (!read_object(&p, memory, NULL, 0, ld_table_names, LD_TABLES, NULL))
        return false;
    for (int i = 0; i < LD_TABLES; i++)
        if (!read_pairs(&p, memory, ld_table_names[i], memory_members, &to->memory[i]))
            return false;
    return true;
}

static bool read_format(const struct place *p, const json_t *root)
{
    const char *format = json_string_value(json_object_get(root, "format"));
    if (!format)
        return ld_problem_set(p->problem, "%s: no file of points (no member \"format\")", p->file);
    if (strcmp(format, LD_POINTS_FORMAT))
        return ld_problem_set(p->problem, "%s: format '%.40s'; this program reads '%s'", p->file,
                              format, LD_POINTS_FORMAT);
    return true;
}

static bool read_root(const struct place *p, const json_t *root, struct ld_points *to)
{
    static const struct list cpu = {"cpu", cpu_members, PC_COUNT(cpu_members),
                                    sizeof(struct ld_cpu_point), 1},
                             in_process = {"in_process", in_process_members,
                                           PC_COUNT(in_process_members),
                                           sizeof(struct ld_usl_point), 1},
                             latency = {"latency", latency_members, PC_COUNT(latency_members),
                                        sizeof(struct ld_latency_point), 0};
    struct place machine = *p;
    snprintf(machine.at, sizeof(machine.at), "machine");
    return read_format(p, root) &&
           read_object(p, root, top_members, PC_COUNT(top_members), top_others,
                       PC_COUNT(top_others), to) &&
           read_object(&machine, json_object_get(root, "machine"), machine_members,
                       PC_COUNT(machine_members), NULL, 0, to) &&
           read_list(p, root, &cpu, to->cpu, &to->cpu_n) &&
           read_list(p, root, &in_process, to->in_process, &to->in_process_n) &&
           read_list(p, root, &latency, to->latency, &to->latency_n) && read_memory(p, root, to) &&
           read_pairs(p, root, "start", start_members, &to->start);
}

bool ld_points_parse(const char *text, size_t n, const char *name, struct ld_points *ret_points,
                     struct ld_problem *problem)
{
    json_error_t error;
    json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        return ld_problem_set(problem, "%s:%d: %s", name, error.line, error.text);
    struct place p = {.file = name, .problem = problem};
    struct ld_points *points = calloc(1, sizeof(*points));
    if (points)
        snprintf(points->path, sizeof(points->path), "%s", name);
    bool ok = points ? read_root(&p, root, points) : ld_problem_set(problem, "out of memory");
    if (ok)
        *ret_points = *points;
    free(points);
    json_decref(root);
    return ok;
}

bool ld_points_read(const char *path, struct ld_points *ret_points, struct ld_problem *problem)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return ld_problem_set(problem, "%s: %s", path, strerror(errno));
    char *text = malloc(LD_POINTS_BYTES_MAX + 1);
    size_t n = text ? fread(text, 1, LD_POINTS_BYTES_MAX + 1, f) : 0;
    bool ok = text && !ferror(f);
    fclose(f);
    if (!ok)
        ld_problem_set(problem, "%s: cannot be read", path);
    else if (n > LD_POINTS_BYTES_MAX)
        ok = ld_problem_set(problem, "%s: larger than %d bytes", path, LD_POINTS_BYTES_MAX);
    else
        ok = ld_points_parse(text, n, path, ret_points, problem);
    free(text);
    return ok;
}

static void add_floor(struct ld_floor *f, double load, double percentile, double us)
{
    if (f->n < LD_FLOOR_POINTS_MAX)
        f->points[f->n++] = (struct ld_floor_point){load, percentile, us};
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double ld_points_latency_us(const struct ld_points *p, bool of_floor, double load, size_t offset)
{
    double values[LD_POINTS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < p->latency_n; i++) {
        const struct ld_latency_point *one = &p->latency[i];
        if (one->is_floor == of_floor && one->load == load)
            memcpy(&values[n++], (const char *)one + offset, sizeof(*values));
    }
    if (!n)
        return NAN;
    qsort(values, n, sizeof(*values), by_value);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* Whether no earlier point is of the floor at that load. */
static bool is_first_of_load(const struct ld_points *p, size_t i)
{
    bool first = p->latency[i].is_floor;
    for (size_t j = 0; j < i && first; j++)
        first = !(p->latency[j].is_floor && p->latency[j].load == p->latency[i].load);
    return first;
}

void ld_points_floor(const struct ld_points *p, struct ld_floor *ret_floor)
{
    static const struct {
        double percentile;
        size_t offset;
    } columns[] = {
        {50,    offsetof(struct ld_latency_point, p50_us)   },
        {90,    offsetof(struct ld_latency_point, p90_us)   },
        {99,    offsetof(struct ld_latency_point, p99_us)   },
        {99.9,  offsetof(struct ld_latency_point, p99_9_us) },
        {99.99, offsetof(struct ld_latency_point, p99_99_us)},
    };
    struct ld_floor f = {.n = 0};
    for (size_t i = 0; i < p->latency_n; i++) {
        double load = p->latency[i].load;
        for (size_t c = 0; is_first_of_load(p, i) && c < PC_COUNT(columns); c++)
            add_floor(&f, load, columns[c].percentile,
                      ld_points_latency_us(p, true, load, columns[c].offset));
    }
    *ret_floor = f;
}
