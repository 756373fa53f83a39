/* SPDX-License-Identifier: Apache-2.0
 * Saved sweeps: whatever the bytes are, they become a page or are refused with a message. The first
 * line is also read as an objective. */
#include <stdlib.h>
#include <string.h>

#include "load/sweep_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void read_objective(const uint8_t *data, size_t n)
{
    char line[LD_SLO_TEXT_MAX + 8];
    struct ld_slo slo;
    struct ld_problem problem = {{0}};
    size_t length = 0;
    while (length < n && length + 1 < sizeof(line) && data[length] != '\n')
        length++;
    memcpy(line, data, length);
    line[length] = 0;
    PC_ASSERT(ld_slo_parse(line, &slo, &problem) ? slo.n > 0 : strlen(problem.text) > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct ld_problem problem = {{0}};
    struct ld_sweep_about about;
    struct ld_machine machine;
    struct ld_slo slo;
    read_objective(data, n);
    json_t *root = json_loadb((const char *)data, n, JSON_REJECT_DUPLICATES, NULL);
    struct ld_sweep *s = malloc(sizeof(*s));
    PC_ASSERT(s);
    if (root && ld_sweep_from_json(root, s, &about, &slo, &machine, &problem))
        PC_ASSERT(ld_html_write_sweep(s, &about, "/dev/null", &problem));
    else
        PC_ASSERT(!root || strlen(problem.text) > 0);
    free(s);
    json_decref(root);
    return 0;
}
