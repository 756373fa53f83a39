/* SPDX-License-Identifier: Apache-2.0
 * For tests: checks the audit in a data directory against its chain and an open journal, as
 * `portcullis audit verify` does. */
#ifndef PC_TESTS_AUDIT_KIT_H
#define PC_TESTS_AUDIT_KIT_H

#include "edge/journal/journal.h"
#include "link/audit_check.h"

struct audit_kit {
    struct pc_audit_check result; /* its counts */
    size_t files;
    char first_problem[512]; /* "" or "audit.jsonl:3: …" */
};

/* The number of problems; what cannot be read aborts. */
unsigned audit_kit_verify(struct audit_kit *k, const struct pc_file_ops *ops, const char *dir,
                          struct pc_journal *j);

#endif
