/* SPDX-License-Identifier: Apache-2.0
 * Administrative calls: reload, snapshot, confirming the clock. */
#include "edge/api/endpoint.h"
#include "edge/api/main_tasks.h"
#include "edge/api/offload.h"

static void answer(struct pc_errand *e, int rc, const char *code)
{
    static const char done[] = "{\"done\":true}\n";
    e->status = 200;
    if (rc < 0) {
        e->status = rc == -EBUSY ? 409 : 400;
        e->code = code;
        return;
    }
    e->content_type = "application/json";
    e->body = (uint8_t *)strdup(done);
    e->body_n = e->body ? sizeof done - 1 : 0;
}

static void reload(struct pc_server *s, struct pc_errand *e)
{
    answer(e, pc_server_reload(s, &e->why), "RELOAD_REFUSED");
}

void pc_handle_reload(struct pc_call *call)
{
    pc_offload_noted(call, "reload", reload);
}

static int confirm_clock(struct pc_writer *w, struct pc_job *job)
{
    (void)job;
    pc_writer_confirm_clock(w);
    return 0;
}

static void run_confirm(struct pc_server *s, struct pc_errand *e)
{
    answer(e, pc_server_run_on_writer(s, confirm_clock, NULL), "NOT_DONE");
}

void pc_handle_clock_confirm(struct pc_call *call)
{
    pc_offload_noted(call, "clock_confirm", run_confirm);
}

static int begin_snapshot(struct pc_writer *w, struct pc_job *job)
{
    (void)job;
    return pc_writer_begin_snapshot(w);
}

static void run_snapshot(struct pc_server *s, struct pc_errand *e)
{
    int rc = pc_server_run_on_writer(s, begin_snapshot, NULL);
    if (rc < 0)
        pc_fail(&e->why, rc,
                rc == -EBUSY ? "a snapshot is being written already"
                             : "the snapshot could not be begun");
    answer(e, rc, "SNAPSHOT_NOT_BEGUN");
}

void pc_handle_snapshot(struct pc_call *call)
{
    pc_offload_noted(call, "snapshot", run_snapshot);
}
