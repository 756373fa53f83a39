/* SPDX-License-Identifier: Apache-2.0
 * A sweep as JSON ("portcullis-sweep/1") and read back from it, for pages made later. What is read
 * comes from outside: the search is run again over the runs in the file, so steps and verdicts are
 * never believed, only figures. */
#ifndef LD_SWEEP_JSON_H
#define LD_SWEEP_JSON_H

#include "load/html.h"

#define LD_SWEEP_FORMAT "portcullis-sweep/1"

json_t *ld_sweep_to_json(const struct ld_sweep *s, const struct ld_sweep_about *about);

/* Texts of ret_about point into the JSON and into ret_slo and ret_machine. */
bool ld_sweep_from_json(const json_t *root, struct ld_sweep *ret_sweep,
                        struct ld_sweep_about *ret_about, struct ld_slo *ret_slo,
                        struct ld_machine *ret_machine, struct ld_problem *problem);

#endif
