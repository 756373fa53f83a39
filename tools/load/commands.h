/* SPDX-License-Identifier: Apache-2.0
 * The sub-commands that make plans and pages. */
#ifndef LD_COMMANDS_H
#define LD_COMMANDS_H

int ld_plan_main(int argc, char **argv);
int ld_sweep_main(int argc, char **argv);
/* Re-renders a saved result of run or sweep. */
int ld_report_main(int argc, char **argv);

#endif
