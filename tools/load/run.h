/* SPDX-License-Identifier: Apache-2.0
 * One run: connections, threads, warm-up, measuring, the report. Also the sub-command `run`. */
#ifndef LD_RUN_H
#define LD_RUN_H

#include "load/options.h"
#include "load/report.h"

enum ld_exit {
    LD_EXIT_OK = 0,
    LD_EXIT_BROKEN = 1,
    LD_EXIT_USAGE = 2,
    LD_EXIT_WRONG = 3,
    LD_EXIT_ERRORS = 4
};

/* Opens the supply the options ask for (plain request, file of requests, workload). */
struct ld_supply *ld_run_supply(struct ld_options *, struct ld_problem *);

/* May be called again and again in one process (a sweep does), from its main thread only; the
 * supply stays open. false: the run could not begin (problem). A run ended by Ctrl-C has
 * report->interrupted. The report is initialised here; the caller frees it. */
bool ld_run(const struct ld_options *, struct ld_supply *, struct ld_report *, struct ld_problem *);

/* What the exit status of a run with this report is. */
enum ld_exit ld_run_exit_status(const struct ld_options *, const struct ld_report *);

/* What this machine is. */
void ld_machine_read(struct ld_machine *);

int ld_run_main(int argc, char **argv);

#endif
