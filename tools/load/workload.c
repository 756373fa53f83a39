/* SPDX-License-Identifier: Apache-2.0
 * Finding workload files, and the sub-command that lists them. */
#include "load/workload.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "load/run.h"

#define PATH_MAX_BYTES 512
#define LISTED_MAX     256

/* What ld_workloads_folder() looks at, relative to the program. */
static const char *const beside[] = {
    "../share/portcullis/workloads", /* installed: PREFIX/bin */
    "../../../tools/load/workloads", /* built: build/PRESET/bin */
};

bool ld_workloads_folder(char ret_path[PATH_MAX_BYTES], struct ld_problem *problem)
{
    char program[PATH_MAX_BYTES - 64];
    const char *named = getenv("PORTCULLIS_WORKLOADS");
    if (named) {
        snprintf(ret_path, PATH_MAX_BYTES, "%s", named);
        return true;
    }
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n <= 0)
        return ld_problem_set(problem, "/proc/self/exe: %s", pc_strerror(-errno));
    program[n] = 0;
    *strrchr(program, '/') = 0;
    for (size_t i = 0; i < PC_COUNT(beside); i++) {
        snprintf(ret_path, PATH_MAX_BYTES, "%s/%s", program, beside[i]);
        if (access(ret_path, R_OK) == 0)
            return true;
    }
    return ld_problem_set(problem,
                          "the shipped workloads are not found beside %s; "
                          "PORTCULLIS_WORKLOADS names their folder",
                          program);
}

static bool read_file(const char *path, char *ret_text, size_t *ret_n, struct ld_problem *problem)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return ld_problem_set(problem, "%s: %s", path, pc_strerror(-errno));
    const size_t n = fread(ret_text, 1, LD_WL_FILE_MAX + 1, f);
    const bool ok = !ferror(f);
    fclose(f);
    if (!ok)
        return ld_problem_set(problem, "%s: cannot be read", path);
    *ret_n = n;
    return true;
}

static bool is_path(const char *name)
{
    const size_t n = strlen(name);
    return strchr(name, '/') || (n > 5 && strcmp(name + n - 5, ".yaml") == 0);
}

bool ld_workload_load(const char *name, struct ld_workload **ret_workload,
                      struct ld_problem *problem)
{
    char path[2 * PATH_MAX_BYTES], folder[PATH_MAX_BYTES];
    size_t n = 0;
    if (is_path(name)) {
        snprintf(path, sizeof path, "%s", name);
    } else {
        if (!ld_workloads_folder(folder, problem))
            return false;
        snprintf(path, sizeof path, "%s/%s.yaml", folder, name);
        if (access(path, F_OK) != 0)
            return ld_problem_set(problem,
                                  "there is no workload '%s'; `portcullis-load workloads` lists "
                                  "them, a file of yours is named with its path",
                                  name);
    }
    char *text = malloc(LD_WL_FILE_MAX + 1);
    if (!text)
        return ld_problem_set(problem, "out of memory");
    const bool ok = read_file(path, text, &n, problem) &&
                    ld_workload_read(path, pc_bytes_of(text, n), ret_workload, problem);
    free(text);
    return ok;
}

/* ---- The list. ---- */

static int is_workload(const struct dirent *e)
{
    return is_path(e->d_name) && strcmp(e->d_name, "server.yaml") != 0;
}

static bool list_folder(const char *folder, struct ld_problem *problem)
{
    struct dirent **entries = NULL;
    bool ok = true;
    int n = scandir(folder, &entries, is_workload, alphasort);
    if (n < 0)
        return ld_problem_set(problem, "%s: %s", folder, pc_strerror(-errno));
    for (int i = 0; i < n; i++) {
        char path[2 * PATH_MAX_BYTES];
        struct ld_workload *w = NULL;
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        ok = ok && ld_workload_load(path, &w, problem);
        if (w)
            printf("%-14s %s\n", w->name, w->description);
        ld_workload_free(w);
        free(entries[i]);
    }
    free(entries);
    return ok;
}

int ld_workloads_main(int argc, char **argv)
{
    char folder[PATH_MAX_BYTES];
    struct ld_problem problem = {""};
    if (argc > 1) {
        bool help = strcmp(argv[1], "--help") == 0;
        fputs("usage: portcullis-load workloads\nLists the shipped workload files and the "
              "configuration a server needs for them.\n",
              help ? stdout : stderr);
        return help ? LD_EXIT_OK : LD_EXIT_USAGE;
    }
    if (!ld_workloads_folder(folder, &problem) || !list_folder(folder, &problem)) {
        fprintf(stderr, "portcullis-load: %s\n", problem.text);
        return LD_EXIT_BROKEN;
    }
    printf("\nfiles: %s\nserver: portcullis serve --dev --config %s/server.yaml\n", folder, folder);
    return LD_EXIT_OK;
}
