/* SPDX-License-Identifier: Apache-2.0
 * What a result was obtained on. */
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "load/run.h"

static void read_cpu_model(struct ld_machine *m)
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "re");
    snprintf(m->cpu_model, sizeof(m->cpu_model), "unknown");
    while (f && fgets(line, sizeof(line), f)) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon)
            continue;
        snprintf(m->cpu_model, sizeof(m->cpu_model), "%.*s", (int)strcspn(colon + 2, "\n"),
                 colon + 2);
        break;
    }
    if (f)
        fclose(f);
}

void ld_machine_read(struct ld_machine *m)
{
    struct utsname name;
    *m = (struct ld_machine){.cpus = (unsigned)sysconf(_SC_NPROCESSORS_ONLN),
                             .memory_bytes =
                                 (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE)};
    read_cpu_model(m);
    if (uname(&name) == 0) {
        snprintf(m->kernel, sizeof(m->kernel), "Linux %.80s", name.release);
        snprintf(m->host, sizeof(m->host), "%.63s", name.nodename);
    }
    snprintf(m->program, sizeof(m->program), "portcullis-load %s", PC_VERSION);
}
