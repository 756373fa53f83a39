/* SPDX-License-Identifier: Apache-2.0
 * portcullis doctor: is this machine fit to run the server, and if not, what is to be changed.
 * Reads and probes; the only thing it writes is a small file in the data directory to time the
 * disk. */
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli.h"

#define KERNEL_MAJOR   6
#define KERNEL_MINOR   1 /* Debian 12 */
#define FILES_WANTED   65536
#define SYNC_ROUNDS    32
#define SYNC_BYTES     4096
#define SYNC_SLOW_US   10000
#define DISK_WANTED    (UINT64_C(1) << 30)
#define CLOCK_ERROR_US 500000
#define RING_ENTRIES   64

enum verdict { GOOD, WARN, FAIL, VERDICTS };

struct report {
    unsigned counts[VERDICTS];
};

/* "ok    kernel      text" and, unless all is good, what to do about it. */
static PC_PRINTF(5, 6) void say(struct report *r, enum verdict v, const char *topic,
                                const char *advice, const char *fmt, ...)
{
    static const char *const words[] = {"ok", "warn", "FAIL"};
    va_list args;
    printf("%-5s %-12s ", words[v], topic);
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    putchar('\n');
    if (v != GOOD && advice)
        printf("%-18s → %s\n", "", advice);
    r->counts[v]++;
}

/* The first line of a small file of /proc or /sys; false when it cannot be read. */
static bool read_line(const char *path, char *dst, size_t size)
{
    FILE *f = fopen(path, "re");
    bool ok = f && fgets(dst, (int)size, f);
    if (f)
        fclose(f);
    if (ok)
        dst[strcspn(dst, "\n")] = 0;
    return ok;
}

/* ---- Kernel and io_uring. ---- */

static void check_kernel(struct report *r)
{
    struct utsname u;
    unsigned major = 0, minor = 0;
    uname(&u);
    sscanf(u.release, "%u.%u", &major, &minor);
    bool old = major < KERNEL_MAJOR || (major == KERNEL_MAJOR && minor < KERNEL_MINOR);
    say(r, old ? FAIL : GOOD, "kernel", "the server needs Linux 6.1 or newer", "%s %s", u.sysname,
        u.release);
}

/* Why a ring was refused, from what the kernel says about itself. */
static const char *why_refused(int err)
{
    char line[64], status[64] = "";
    if (read_line("/proc/sys/kernel/io_uring_disabled", line, sizeof line) && line[0] != '0')
        return "sysctl kernel.io_uring_disabled is not 0: set it to 0 (or 1 and add this user to "
               "kernel.io_uring_group)";
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(status, sizeof status, f))
        if (strncmp(status, "Seccomp:", 8) == 0)
            break;
    if (f)
        fclose(f);
    if ((err == -EPERM || err == -ENOSYS || err == -EACCES) && strstr(status, "2"))
        return "a seccomp filter forbids it (containers: allow io_uring_setup, io_uring_enter and "
               "io_uring_register in the profile)";
    if (err == -ENOSYS)
        return "the kernel was built without CONFIG_IO_URING";
    if (err == -ENOMEM)
        return "raise RLIMIT_MEMLOCK (systemd: LimitMEMLOCK=infinity)";
    return "see the kernel's log";
}

static void check_io_uring(struct report *r)
{
    struct io_uring ring;
    struct io_uring_params p = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL,
    };
    int err = io_uring_queue_init_params(RING_ENTRIES, &ring, &p);
    if (err) {
        say(r, FAIL, "io_uring", why_refused(err), "refused: %s", pc_strerror(err));
        return;
    }
    struct io_uring_probe *probe = io_uring_get_probe_ring(&ring);
    bool known = probe && io_uring_opcode_supported(probe, IORING_OP_SEND_ZC);
    say(r, GOOD, "io_uring", NULL, "allowed, with deferred task work; operations up to %u%s",
        probe ? probe->last_op : 0, known ? "" : " (an old set: fewer are used)");
    io_uring_free_probe(probe);
    io_uring_queue_exit(&ring);
}

static void check_buffer_ring(struct report *r)
{
    struct io_uring ring;
    void *memory = NULL;
    if (io_uring_queue_init(RING_ENTRIES, &ring, 0))
        return; /* said above */
    int err = -ENOMEM;
    if (posix_memalign(&memory, 4096, 4096) == 0) {
        struct io_uring_buf_reg reg = {
            .ring_addr = (uint64_t)(uintptr_t)memory, .ring_entries = 16, .bgid = 1};
        memset(memory, 0, 4096);
        err = io_uring_register_buf_ring(&ring, &reg, 0);
    }
    say(r, err ? FAIL : GOOD, "buffer rings", why_refused(err), "%s",
        err ? pc_strerror(err) : "provided buffer rings work");
    io_uring_queue_exit(&ring);
    free(memory);
}

/* ---- Limits. ---- */

static void check_limits(struct report *r)
{
    struct rlimit files, memory;
    getrlimit(RLIMIT_NOFILE, &files);
    getrlimit(RLIMIT_MEMLOCK, &memory);
    say(r, files.rlim_max < FILES_WANTED ? WARN : GOOD, "open files",
        "each connection is one: raise the hard limit (systemd: LimitNOFILE=524288)",
        "limit %llu, may be raised to %llu", (unsigned long long)files.rlim_cur,
        (unsigned long long)files.rlim_max);
    if (memory.rlim_cur == RLIM_INFINITY)
        say(r, GOOD, "locked memory", NULL, "no limit");
    else
        say(r, GOOD, "locked memory", NULL, "limit %llu KiB (since Linux 5.12 rings do not count)",
            (unsigned long long)memory.rlim_cur / 1024);
}

static void check_huge_pages(struct report *r)
{
    char line[128];
    if (!read_line("/sys/kernel/mm/transparent_hugepage/enabled", line, sizeof line)) {
        say(r, WARN, "huge pages", "large tables are slower without", "not available");
        return;
    }
    bool never = strstr(line, "[never]") != NULL;
    say(r, never ? WARN : GOOD, "huge pages",
        "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled: large tables are slower "
        "without",
        "transparent: %s", line);
}

static void check_cpus(struct report *r)
{
    char line[128];
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    if (read_line("/sys/fs/cgroup/cpu.max", line, sizeof line) && strncmp(line, "max", 3) != 0)
        say(r, GOOD, "CPUs", NULL, "%ld online, cgroup quota %s", cpus, line);
    else
        say(r, GOOD, "CPUs", NULL, "%ld online", cpus);
}

/* ---- Clock. ---- */

static void check_clock(struct report *r)
{
    struct timex t = {.modes = 0};
    int state = adjtimex(&t);
    if (state < 0) {
        say(r, WARN, "clock", "cannot tell whether it is synchronised", "%s", pc_strerror(-errno));
        return;
    }
    bool bad = state == TIME_ERROR || (t.status & STA_UNSYNC) || t.maxerror > CLOCK_ERROR_US;
    say(r, bad ? WARN : GOOD, "clock",
        "expiry and cutoffs go by it: run chrony or systemd-timesyncd (containers: on the host)",
        "%s, largest error %ld ms", bad ? "not synchronised" : "synchronised", t.maxerror / 1000);
}

/* ---- Disk. ---- */

static int compare_ns(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* Times small synced writes the way the journal makes them: into blocks written before. */
static int time_syncs(int fd, int64_t times_ns[SYNC_ROUNDS])
{
    static const uint8_t block[SYNC_BYTES];
    for (int i = 0; i < SYNC_ROUNDS; i++)
        if (pwrite(fd, block, sizeof block, (off_t)i * SYNC_BYTES) != SYNC_BYTES)
            return -errno;
    if (fsync(fd) < 0)
        return -errno;
    for (int i = 0; i < SYNC_ROUNDS; i++) {
        int64_t from_ns = pc_clock_mono_ns();
        if (pwrite(fd, block, sizeof block, (off_t)i * SYNC_BYTES) != SYNC_BYTES ||
            fdatasync(fd) < 0)
            return -errno;
        times_ns[i] = pc_clock_mono_ns() - from_ns;
    }
    return 0;
}

static void check_disk(struct report *r, const char *dir)
{
    char path[CLI_PATH_MAX];
    int64_t times_ns[SYNC_ROUNDS];
    struct statvfs fs;
    bool exists = access(dir, F_OK) == 0;
    snprintf(path, sizeof path, "%s/doctor.XXXXXX", exists ? dir : ".");
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0) {
        say(r, FAIL, "disk sync", "the data directory must be writable", "%s: %s", path,
            pc_strerror(-errno));
        return;
    }
    unlink(path);
    int err = time_syncs(fd, times_ns);
    close(fd);
    if (err) {
        say(r, FAIL, "disk sync", "the data directory must be on a disk that can sync", "%s",
            pc_strerror(err));
        return;
    }
    qsort(times_ns, SYNC_ROUNDS, sizeof times_ns[0], compare_ns);
    int64_t median_ns = times_ns[SYNC_ROUNDS / 2];
    double median_us = (double)median_ns / 1000;
    say(r, median_us > SYNC_SLOW_US ? WARN : GOOD, "disk sync",
        "a revocation waits for one: use a disk with power-loss protection, or durability: async",
        "4 KiB fdatasync median %.0f us, slowest %.0f us", median_us,
        (double)times_ns[SYNC_ROUNDS - 1] / 1000);
    if (statvfs(exists ? dir : ".", &fs) == 0) {
        uint64_t left = (uint64_t)fs.f_bavail * fs.f_frsize;
        say(r, left < DISK_WANTED ? WARN : GOOD, "disk space",
            "a full disk means that revocations are refused", "%llu MiB free",
            (unsigned long long)left >> 20);
    }
}

/* ---- The whole. ---- */

static void check_versions(struct report *r)
{
    say(r, GOOD, "libraries", NULL, "liburing " PC_URING_VERSION ", %s, libcurl %s, jansson %s",
        OpenSSL_version(OPENSSL_VERSION_STRING), curl_version_info(CURLVERSION_NOW)->version,
        jansson_version_str());
}

int cli_doctor(struct cli *c)
{
    struct report r = {{0}};
    struct pc_config *config;
    int status = cli_load_config(c, &config);
    if (status)
        return status;
    say(&r, GOOD, "portcullis", NULL, "%s, configuration %s (hash %s)", PC_VERSION,
        cli_config_path(c) ? cli_config_path(c) : "default", config->hash);
    check_kernel(&r);
    check_io_uring(&r);
    check_buffer_ring(&r);
    check_limits(&r);
    check_cpus(&r);
    check_huge_pages(&r);
    check_clock(&r);
    check_disk(&r, config->data_dir);
    check_versions(&r);
    pc_config_free(config);
    printf("%u good, %u warnings, %u failures\n", r.counts[GOOD], r.counts[WARN], r.counts[FAIL]);
    return r.counts[FAIL] ? CLI_NO : CLI_OK;
}
