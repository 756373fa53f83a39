/* SPDX-License-Identifier: Apache-2.0
 * Blocks of counters and the Prometheus renderer. Creating and rendering: any thread, nothing here
 * runs on a core. Invariants I1 … I3 are in metrics.h. */
#include "base/metrics.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_SECOND 1e9

struct pc_metrics {
    unsigned cores, blocks; /* blocks = cores + writer + main */
    struct pc_metrics_names names;
    struct pc_metrics_block *block;
};

/* ---- The tables of metrics_table.h as data: a family, then its series. ---- */

enum type { COUNTER, GAUGE_NS, GAUGE };
enum scope { ALL, CORE };
enum scale { NS, ONE };

struct row {
    const char *name; /* NULL for a series */
    const char *help; /* family */
    enum type type;   /* family */
    enum scope scope; /* family */
    unsigned slot;
    const char *labels; /* series; NULL for a vector */
    unsigned size;      /* vector */
};

#define FAMILY(n, t, s, h) {.name = (n), .help = (h), .type = (t), .scope = (s)},
#define SERIES(id, text)   {.slot = PC_M_##id, .labels = (text), .size = 1},
#define VECTOR(id, count)  {.slot = PC_M_##id, .size = (count)},
static const struct row rows[] = {PC_METRICS(FAMILY, SERIES, VECTOR)};

struct histogram_row {
    const char *name, *help; /* family; NULL for a series */
    enum scale scale;
    unsigned first, last;
    unsigned histogram;
    const char *labels;
};

#define H_FAMILY(n, sc, f, l, h)                                                                   \
    {.name = (n), .help = (h), .scale = (sc), .first = (f), .last = (l)},
#define H_SERIES(id, text) {.histogram = PC_H_##id, .labels = (text)},
static const struct histogram_row histogram_rows[] = {PC_HISTOGRAMS(H_FAMILY, H_SERIES)};

/* ---- Blocks. ---- */

int pc_metrics_create(unsigned cores, const struct pc_metrics_names *names,
                      struct pc_metrics **ret_metrics)
{
    PC_ASSERT(names->decisions.count <= PC_METRICS_DECISIONS_MAX);
    PC_ASSERT(names->shadow_decisions.count <= PC_METRICS_DECISIONS_MAX);
    PC_ASSERT(names->resp_commands.count <= PC_METRICS_RESP_COMMANDS_MAX);
    struct pc_metrics *m = calloc(1, sizeof *m);
    if (!m)
        return -ENOMEM;
    m->cores = cores;
    m->blocks = cores + 2;
    m->names = *names;
    m->block = aligned_alloc(PC_CACHE_LINE, m->blocks * sizeof *m->block);
    if (!m->block) {
        free(m);
        return -ENOMEM;
    }
    memset(m->block, 0, m->blocks * sizeof *m->block);
    *ret_metrics = m;
    return 0;
}

void pc_metrics_destroy(struct pc_metrics *m)
{
    if (m)
        free(m->block);
    free(m);
}

struct pc_metrics_block *pc_metrics_core(struct pc_metrics *m, unsigned core)
{
    PC_ASSERT(core < m->cores);
    return &m->block[core];
}

struct pc_metrics_block *pc_metrics_writer(struct pc_metrics *m)
{
    return &m->block[m->cores];
}

struct pc_metrics_block *pc_metrics_main(struct pc_metrics *m)
{
    return &m->block[m->cores + 1];
}

uint64_t pc_metrics_total(const struct pc_metrics *m, unsigned slot)
{
    uint64_t sum = 0;
    PC_ASSERT(slot < PC_M_COUNT);
    for (unsigned i = 0; i < m->blocks; i++)
        sum += pc_metric_get(&m->block[i], slot);
    return sum;
}

/* ---- Histograms. ---- */

/* The smallest value above bucket `at`. */
static uint64_t bucket_end(unsigned at)
{
    if (at < 4)
        return at + 1;
    unsigned e = at / 4 + 1;
    return (uint64_t)(4 + at % 4 + 1) << (e - 2);
}

static uint64_t sum_histogram(const struct pc_metrics *m, unsigned histogram,
                              struct pc_histogram_data *ret_sum)
{
    uint64_t count = 0;
    memset(ret_sum, 0, sizeof *ret_sum);
    PC_ASSERT(histogram < PC_H_COUNT);
    for (unsigned i = 0; i < m->blocks; i++) {
        const struct pc_histogram_data *h = &m->block[i].histogram[histogram];
        ret_sum->sum += __atomic_load_n(&h->sum, __ATOMIC_RELAXED);
        for (unsigned b = 0; b < PC_HISTOGRAM_BUCKETS; b++) {
            uint64_t n = __atomic_load_n(&h->bucket[b], __ATOMIC_RELAXED);
            ret_sum->bucket[b] += n;
            count += n;
        }
    }
    return count;
}

uint64_t pc_metrics_quantile(const struct pc_metrics *m, unsigned histogram, double q)
{
    struct pc_histogram_data h;
    uint64_t count = sum_histogram(m, histogram, &h), seen = 0;
    if (count == 0)
        return 0;
    uint64_t wanted = (uint64_t)(q * (double)count);
    if ((double)wanted < q * (double)count)
        wanted++;
    for (unsigned b = 0; b < PC_HISTOGRAM_BUCKETS; b++)
        if ((seen += h.bucket[b]) >= wanted && seen)
            return bucket_end(b) - 1;
    return bucket_end(PC_HISTOGRAM_BUCKETS - 1) - 1;
}

/* ---- Rendering. ---- */

static void put_header(struct pc_buf *b, const char *name, const char *type, const char *help)
{
    pc_buf_fmt(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* One line: name, labels joined with an optional further one, value. */
static void put_labels(struct pc_buf *b, const char *labels, const char *more)
{
    if (!*labels && !*more)
        return;
    pc_buf_char(b, '{');
    pc_buf_str(b, labels);
    if (*labels && *more)
        pc_buf_char(b, ',');
    pc_buf_str(b, more);
    pc_buf_char(b, '}');
}

static void put_value(struct pc_buf *b, const struct row *family, uint64_t value)
{
    if (family->type == GAUGE_NS)
        pc_buf_fmt(b, " %.9g\n", (double)value / NS_PER_SECOND);
    else if (family->type == GAUGE)
        pc_buf_fmt(b, " %" PRId64 "\n", (int64_t)value); /* a passing below-zero is shown as such */
    else
        pc_buf_fmt(b, " %" PRIu64 "\n", value);
}

static void put_series(struct pc_buf *b, const struct pc_metrics *m, const struct row *family,
                       unsigned slot, const char *labels)
{
    if (family->scope == ALL) {
        pc_buf_str(b, family->name);
        put_labels(b, labels, "");
        put_value(b, family, pc_metrics_total(m, slot));
        return;
    }
    for (unsigned core = 0; core < m->cores; core++) {
        char label[24];
        snprintf(label, sizeof label, "core=\"%u\"", core);
        pc_buf_str(b, family->name);
        put_labels(b, labels, label);
        put_value(b, family, pc_metric_get(&m->block[core], slot));
    }
}

static const struct pc_metrics_labels *labels_of(const struct pc_metrics *m, unsigned slot)
{
    switch (slot) {
    case PC_M_DECISIONS: return &m->names.decisions;
    case PC_M_SHADOW_DECISIONS: return &m->names.shadow_decisions;
    default: return &m->names.resp_commands;
    }
}

static void put_vector(struct pc_buf *b, const struct pc_metrics *m, const struct row *family,
                       const struct row *vector)
{
    const struct pc_metrics_labels *l = labels_of(m, vector->slot);
    PC_ASSERT(l->count <= vector->size);
    for (unsigned i = 0; i < l->count; i++)
        put_series(b, m, family, vector->slot + i, l->texts[i]);
}

static void put_rows(struct pc_buf *b, const struct pc_metrics *m)
{
    const struct row *family = NULL;
    for (size_t i = 0; i < PC_COUNT(rows); i++) {
        const struct row *r = &rows[i];
        if (r->name) {
            family = r;
            put_header(b, r->name, r->type == COUNTER ? "counter" : "gauge", r->help);
            continue;
        }
        PC_ASSERT(family);
        if (r->labels)
            put_series(b, m, family, r->slot, r->labels);
        else
            put_vector(b, m, family, r);
    }
}

static double in_unit(const struct histogram_row *family, uint64_t value)
{
    return family->scale == NS ? (double)value / NS_PER_SECOND : (double)value;
}

static void put_bucket(struct pc_buf *b, const struct histogram_row *family,
                       const struct histogram_row *r, const char *le, uint64_t count)
{
    char label[48];
    snprintf(label, sizeof label, "le=\"%s\"", le);
    pc_buf_fmt(b, "%s_bucket", family->name);
    put_labels(b, r->labels, label);
    pc_buf_fmt(b, " %" PRIu64 "\n", count);
}

/* le bounds are inclusive and ours are the powers of two themselves, so a value of exactly 2^p
 * counts one bound later: a bound says "at most", and that stays true to within one unit. */
static void put_histogram(struct pc_buf *b, const struct pc_metrics *m,
                          const struct histogram_row *family, const struct histogram_row *r)
{
    struct pc_histogram_data h;
    uint64_t count = sum_histogram(m, r->histogram, &h), below = 0;
    char le[32];
    unsigned at = 0;
    for (unsigned p = family->first; p <= family->last; p++) {
        for (; at < PC_HISTOGRAM_BUCKETS && bucket_end(at) <= UINT64_C(1) << p; at++)
            below += h.bucket[at];
        snprintf(le, sizeof le, "%.9g", in_unit(family, UINT64_C(1) << p));
        put_bucket(b, family, r, le, below);
    }
    PC_ASSERT(below <= count); /* I2 */
    put_bucket(b, family, r, "+Inf", count);
    pc_buf_fmt(b, "%s_sum", family->name);
    put_labels(b, r->labels, "");
    pc_buf_fmt(b, " %.9g\n%s_count", in_unit(family, h.sum), family->name);
    put_labels(b, r->labels, "");
    pc_buf_fmt(b, " %" PRIu64 "\n", count);
}

static void put_histograms(struct pc_buf *b, const struct pc_metrics *m)
{
    const struct histogram_row *family = NULL;
    for (size_t i = 0; i < PC_COUNT(histogram_rows); i++) {
        const struct histogram_row *r = &histogram_rows[i];
        if (r->name) {
            family = r;
            put_header(b, r->name, "histogram", r->help);
            continue;
        }
        PC_ASSERT(family);
        put_histogram(b, m, family, r);
    }
}

static void put_process(struct pc_buf *b, const struct pc_metrics_process *p)
{
    const struct {
        const char *name, *type, *help;
        double value;
    } lines[] = {
        {"process_resident_memory_bytes", "gauge",   "Resident memory",                 (double)p->rss_bytes    },
        {"process_virtual_memory_bytes",  "gauge",   "Virtual memory",                  (double)p->virtual_bytes},
        {"process_open_fds",              "gauge",   "Open file descriptors",           (double)p->open_fds     },
        {"process_max_fds",               "gauge",   "Limit of open file descriptors",  (double)p->max_fds      },
        {"process_threads",               "gauge",   "Threads",                         (double)p->threads      },
        {"process_cpu_seconds_total",     "counter", "User and system CPU time",        p->cpu_seconds          },
        {"process_start_time_seconds",    "gauge",   "Start time since the Unix epoch",
         p->start_time_seconds                                                                                  },
    };
    for (size_t i = 0; i < PC_COUNT(lines); i++) {
        put_header(b, lines[i].name, lines[i].type, lines[i].help);
        pc_buf_fmt(b, "%s %.17g\n", lines[i].name, lines[i].value);
    }
    put_header(b, "portcullis_build_info", "gauge", "Version and how it was built");
    pc_buf_fmt(b, "portcullis_build_info{version=\"%s\",compiler=\"%s\",crypto=\"%s\"} 1\n",
               p->version ? p->version : "", p->compiler ? p->compiler : "",
               p->crypto ? p->crypto : "");
}

void pc_metrics_render(const struct pc_metrics *m, const struct pc_metrics_process *process,
                       struct pc_buf *b)
{
    put_rows(b, m);
    put_histograms(b, m);
    if (process)
        put_process(b, process);
}

/* ---- The process, from /proc. ---- */

static void sample_memory(struct pc_metrics_process *p)
{
    unsigned long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f)
        return;
    if (fscanf(f, "%lu %lu", &pages, &resident) == 2) {
        uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
        p->virtual_bytes = pages * page;
        p->rss_bytes = resident * page;
    }
    fclose(f);
}

/* Fields 20 and 22 of /proc/self/stat; the second field may hold blanks, so start after its ')'. */
static void sample_stat(struct pc_metrics_process *p)
{
    char line[1024];
    unsigned long threads = 0;
    unsigned long long start_ticks = 0;
    FILE *f = fopen("/proc/self/stat", "re");
    if (!f)
        return;
    char *got = fgets(line, sizeof line, f), *after = got ? strrchr(line, ')') : NULL;
    fclose(f);
    if (!after || sscanf(after + 1,
                         " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
                         "%lu %*d %llu",
                         &threads, &start_ticks) != 2)
        return;
    struct timespec real, boot;
    clock_gettime(CLOCK_REALTIME, &real);
    clock_gettime(CLOCK_BOOTTIME, &boot);
    p->threads = threads;
    p->start_time_seconds =
        (double)(real.tv_sec - boot.tv_sec) + (double)start_ticks / (double)sysconf(_SC_CLK_TCK);
}

static void sample_fds(struct pc_metrics_process *p)
{
    struct rlimit limit;
    DIR *dir = opendir("/proc/self/fd");
    if (dir) {
        while (readdir(dir))
            p->open_fds++;
        closedir(dir);
        p->open_fds -= pc_min_u64(p->open_fds, 3); /* ".", ".." and the directory itself */
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        p->max_fds = limit.rlim_cur;
}

void pc_metrics_sample_process(struct pc_metrics_process *ret_process)
{
    struct pc_metrics_process p = {.version = PC_VERSION, .compiler = __VERSION__};
    struct rusage usage;
    sample_memory(&p);
    sample_stat(&p);
    sample_fds(&p);
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        p.cpu_seconds = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                        (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    *ret_process = p;
}
