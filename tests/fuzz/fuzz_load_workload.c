/* SPDX-License-Identifier: Apache-2.0
 * Workload files of portcullis-load. Input: the text. Checked: what is accepted can be asked, and
 * what is refused is explained with the file's name. */
#include "load/workload.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ld_workload *w = NULL;
    struct ld_problem problem = {""};
    if (!ld_workload_read("input", pc_bytes_of(data, size), &w, &problem)) {
        PC_ASSERT(!w && strncmp(problem.text, "input", 5) == 0);
        return 0;
    }
    PC_ASSERT(w->name && w->request_count > 0 && w->request_count <= LD_WL_REQUESTS_MAX);
    for (unsigned i = 0; i < w->request_count; i++) {
        const struct ld_wl_request *r = &w->requests[i];
        PC_ASSERT(r->ask < LD_ASKS && r->clients > 0 && r->policy < (int)w->policy_count);
        PC_ASSERT(r->flag < (int)w->flag_count && (r->path || r->word_count > 0));
    }
    ld_workload_free(w);
    return 0;
}
