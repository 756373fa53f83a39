/* SPDX-License-Identifier: Apache-2.0
 * Self-contained pages of what was found: style and charts inside, no script, nothing loaded from
 * anywhere; light and dark as the reader's system says. The building blocks are in html.c, each
 * kind of page in its own file. One thread at a time; writes one file. */
#ifndef LD_HTML_H
#define LD_HTML_H

#include <jansson.h>
#include <stdio.h>

#include "load/plan.h"
#include "load/report.h"
#include "load/sweep.h"

enum ld_tone { LD_TONE_PLAIN, LD_TONE_GOOD, LD_TONE_WARN, LD_TONE_BAD };

/* ---- pages: path "-" is standard output; false: the problem says why ---- */

bool ld_html_write_run(const struct ld_report *r, const char *path, struct ld_problem *problem);

/* What a sweep knows besides its steps; texts are borrowed. */
struct ld_sweep_about {
    const char *command, *started_at;
    const char *loop_note;
    const struct ld_slo *slo;
    const struct ld_machine *machine;
    const json_t *options; /* of the runs; NULL: unknown */
};
bool ld_html_write_sweep(const struct ld_sweep *s, const struct ld_sweep_about *about,
                         const char *path, struct ld_problem *problem);
bool ld_html_write_plan(const struct ld_plan *p, const char *command, const char *path,
                        struct ld_problem *problem);

/* ---- building blocks ---- */

/* Opens path and writes everything up to the heading; ld_html_end() closes both. */
FILE *ld_html_begin(const char *path, const char *title, const char *about,
                    struct ld_problem *problem);
bool ld_html_end(FILE *f, const char *path, struct ld_problem *problem);
void ld_html_heading(FILE *f, const char *text);
/* A box with one message; BAD ones are announced to screen readers at once. */
void ld_html_note(FILE *f, enum ld_tone tone, const char *format, ...) PC_PRINTF(3, 4);
/* What the kind of loop means for the latencies. */
void ld_html_loop_note(FILE *f, bool open_loop);
void ld_html_tiles_begin(FILE *f);
void ld_html_tile(FILE *f, enum ld_tone tone, const char *name, const char *value,
                  const char *about);
void ld_html_tiles_end(FILE *f);
/* A table: headings separated by '|'; then cells one by one, a row each time they are used up. */
struct ld_html_table {
    FILE *f;
    unsigned columns, at;
};
struct ld_html_table ld_html_table_begin(FILE *f, const char *caption, const char *headings);
void ld_html_cell(struct ld_html_table *t, const char *format, ...) PC_PRINTF(2, 3);
void ld_html_cell_unit(struct ld_html_table *t, enum ld_unit unit, double value);
void ld_html_table_end(struct ld_html_table *t);
/* Command, machine, options and what else repeats it. options may be NULL. */
void ld_html_repeat(FILE *f, const char *command, const struct ld_machine *machine,
                    const json_t *options, const json_t *workload);

#endif
