/* SPDX-License-Identifier: Apache-2.0
 * The CPUs this process may use: affinity mask and cgroup quota (version 2 and version 1). */
#include "edge/api/cpus.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

/* CPUs of the affinity mask, in order. */
static unsigned allowed_cpus(int cpus[PC_CORES_MAX])
{
    cpu_set_t set;
    unsigned n = 0;
    if (sched_getaffinity(0, sizeof set, &set) < 0)
        return 0;
    for (int cpu = 0; cpu < CPU_SETSIZE && n < PC_CORES_MAX; cpu++)
        if (CPU_ISSET(cpu, &set))
            cpus[n++] = cpu;
    return n;
}

/* Two numbers of one file ("max 100000" has only the second): the quota in CPUs, 0 = none. */
static double quota_v2(void)
{
    long long quota, period;
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (!f)
        return 0;
    int n = fscanf(f, "%lld %lld", &quota, &period);
    fclose(f);
    return n == 2 && quota > 0 && period > 0 ? (double)quota / (double)period : 0;
}

static long long read_number(const char *path)
{
    long long value = 0;
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    int n = fscanf(f, "%lld", &value);
    fclose(f);
    return n == 1 ? value : 0;
}

static double quota_v1(void)
{
    long long quota = read_number("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
    long long period = read_number("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
    return quota > 0 && period > 0 ? (double)quota / (double)period : 0;
}

static double quota_cpus(void)
{
    double quota = quota_v2();
    return quota > 0 ? quota : quota_v1();
}

unsigned pc_cores_to_use(const struct pc_config *c)
{
    int cpus[PC_CORES_MAX];
    double quota = quota_cpus();
    unsigned n = c->cores ? (unsigned)c->cores : allowed_cpus(cpus);
    if (c->cores == 0 && quota > 0 && quota < (double)n)
        n = (unsigned)quota;
    if (n > PC_CORES_MAX)
        n = PC_CORES_MAX;
    return n ? n : 1;
}

bool pc_cpus_to_pin(const struct pc_config *c, unsigned cores, int cpus[PC_CORES_MAX])
{
    unsigned n = allowed_cpus(cpus);
    if (c->pin == PC_PIN_OFF || n < cores)
        return false;
    return c->pin == PC_PIN_ON || (quota_cpus() == 0 && n == cores && cores > 1);
}

uint32_t pc_masked_features(const struct pc_config *c)
{
    uint32_t mask = 0;
    for (unsigned i = 0; i < c->io_uring.mask.n; i++) {
        if (strcmp(c->io_uring.mask.v[i], "no_iowait") == 0)
            mask |= PC_FEATURE_NO_IOWAIT;
        if (strcmp(c->io_uring.mask.v[i], "newer-than-6.1") == 0)
            mask = UINT32_MAX;
    }
    return mask;
}
