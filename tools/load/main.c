/* SPDX-License-Identifier: Apache-2.0
 * portcullis-load: a load harness that does not flatter, and a capacity planner. Each sub-command
 * is one row; it gets its own name as argv[0]. */
#include <stdio.h>
#include <string.h>

#include "load/commands.h"
#include "load/mint.h"
#include "load/run.h"
#include "load/workload.h"

struct command {
    const char *name;
    int (*main)(int argc, char **argv);
    const char *help;
};

static const struct command commands[] = {
    {"run",       ld_run_main,       "drive a server and report what it did"                            },
    {"mint",      ld_mint_main,      "mint tokens, and the key set that trusts them, in advance"        },
    {"workloads", ld_workloads_main, "list the workloads for run --workload"                            },
    {"sweep",     ld_sweep_main,     "find the highest rate that meets an objective"                    },
    {"report",    ld_report_main,    "show a saved result, as text or as a page"                        },
    {"plan",      ld_plan_main,      "how many cores, nodes, bytes a target needs, from measured points"},
};

static void print_help(FILE *to)
{
    fputs("usage: portcullis-load COMMAND [OPTION...]\n\n", to);
    for (size_t i = 0; i < PC_COUNT(commands); i++)
        fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].help);
    fputs("\nportcullis-load COMMAND --help lists its options; portcullis-load --version\n", to);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return LD_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("portcullis-load " PC_VERSION);
        return LD_EXIT_OK;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return LD_EXIT_OK;
    }
    for (size_t i = 0; i < PC_COUNT(commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].main(argc - 1, argv + 1);
    fprintf(stderr, "portcullis-load: there is no command '%s'; --help lists them\n", argv[1]);
    return LD_EXIT_USAGE;
}
