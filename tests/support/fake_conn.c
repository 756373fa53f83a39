/* SPDX-License-Identifier: Apache-2.0
 * See fake_conn.h. */
#include "support/fake_conn.h"

#include <stdlib.h>

#include "edge/api/call.h"
#include "edge/api/main_tasks.h"
#include "edge/api/resp_conn.h"
#include "edge/api/unseen.h"

static struct fake_conn *conns[FAKE_CONNS_MAX]; /* what pc_conn_get() finds; by slot */

static struct fake_conn *fake_of(const struct pc_conn *c)
{
    return PC_CONTAINER_OF(c, struct fake_conn, conn);
}

/* NULL: the slot of none. */
static uint32_t slot_of(const struct fake_conn *f)
{
    uint32_t slot = 0;
    while (slot < FAKE_CONNS_MAX && conns[slot] != f)
        slot++;
    return slot;
}

static void open_conn(struct fake_conn *f, struct rig_core *core,
                      void (*init)(struct pc_protocol *, const struct pc_config *))
{
    uint32_t slot = slot_of(f) < FAKE_CONNS_MAX ? slot_of(f) : slot_of(NULL);
    PC_ASSERT(slot < FAKE_CONNS_MAX);
    conns[slot] = f;
    memset(f, 0, sizeof *f);
    init(&f->protocol, core->server.started_as);
    f->info = (struct pc_listener_info){.config = &f->config,
                                        .roles = PC_ROLE_GATEWAY | PC_ROLE_PUBLIC | PC_ROLE_ADMIN};
    f->listener = (struct pc_listener){.fd = -1, .protocol = &f->protocol, .user = &f->info};
    f->conn.core = &core->core;
    f->conn.protocol = &f->protocol;
    f->conn.listener = &f->listener;
    f->conn.peer = (struct pc_peer){
        .ip = {127, 0, 0, 1},
          .family = PC_PEER_V4
    };
    int rc = f->protocol.open(&f->conn);
    PC_ASSERT(rc == 0);
}

void fake_conn_open_http(struct fake_conn *f, struct rig_core *core)
{
    open_conn(f, core, pc_http_protocol_init);
}

void fake_conn_open_resp(struct fake_conn *f, struct rig_core *core)
{
    open_conn(f, core, pc_resp_protocol_init);
}

void fake_conn_close(struct fake_conn *f)
{
    f->protocol.closed(&f->conn);
    conns[slot_of(f)] = NULL;
}

static void take_input(struct fake_conn *f)
{
    for (size_t taken = 1; taken && f->in_n && !f->paused && !f->closing;) {
        taken = f->protocol.input(&f->conn, f->in, f->in_n);
        PC_ASSERT(taken <= f->in_n);
        f->in_n -= taken;
        memmove(f->in, f->in + taken, f->in_n);
    }
}

/* As at the end of a turn. */
static void answer_put_off(struct fake_conn *f)
{
    pc_resp_answer_ahead(pc_worker_of(&f->conn));
    pc_worker_of(&f->conn)->names.view = NULL;
}

static void deliver(struct fake_conn *f)
{
    take_input(f);
    answer_put_off(f);
}

void fake_conn_receive(struct fake_conn *f, struct pc_bytes bytes)
{
    PC_ASSERT(bytes.n <= sizeof f->in - f->in_n);
    memcpy(f->in + f->in_n, bytes.p, bytes.n);
    f->in_n += bytes.n;
    take_input(f);
}

bool fake_conn_end_turn(struct fake_conn *f)
{
    struct pc_worker *w = f->conn.core->user;
    bool waits = w->unseen.first != NULL;
    answer_put_off(f);
    pc_unseen_turn_end(w);
    deliver(f);
    return waits;
}

void fake_conn_feed(struct fake_conn *f, struct pc_bytes bytes)
{
    fake_conn_receive(f, bytes);
    while (fake_conn_end_turn(f)) {
    }
}

static bool answer_jobs(struct rig *r)
{
    bool any = r->answers_n > 0;
    for (size_t i = 0; i < r->answers_n; i++) {
        struct pc_job *job = r->answers[i];
        struct pc_worker *w = job->owner;
        PC_ASSERT(w->jobs_under_way > 0);
        w->jobs_under_way--;
        job->done(job); /* frees it */
    }
    r->answers_n = 0;
    return any;
}

void fake_conn_run_writer(struct fake_conn *f, struct rig *r)
{
    for (bool busy = true; busy;) {
        busy = pc_writer_turn(r->w);
        busy |= answer_jobs(r);
        deliver(f);
    }
}

const char *fake_conn_ask(struct fake_conn *f, struct rig *r, const char *request)
{
    f->out_n = f->in_n = 0;
    f->conn.core->now_ms = atomic_load(&r->wall_ms);
    f->conn.core->now_ns += 1000000000; /* so that the signature budget never ends */
    fake_conn_feed(f, pc_bytes_str(request));
    fake_conn_run_writer(f, r);
    f->out[f->out_n] = 0;
    return (const char *)f->out;
}

unsigned fake_conn_status(const struct fake_conn *f)
{
    static const char head[] = "HTTP/1.1 ";
    if (f->out_n < sizeof head + 3 || memcmp(f->out, head, sizeof head - 1) != 0)
        return 0;
    return (unsigned)strtoul((const char *)f->out + sizeof head - 1, NULL, 10);
}

/* ---- what the loop would do ---- */

struct pc_conn_ref pc_conn_ref(const struct pc_conn *c)
{
    uint32_t slot = slot_of(fake_of(c));
    PC_ASSERT(slot < FAKE_CONNS_MAX);
    return (struct pc_conn_ref){slot, 1, c->core->index};
}

struct pc_conn *pc_conn_get(struct pc_core *core, struct pc_conn_ref ref)
{
    (void)core;
    struct fake_conn *f = ref.slot < FAKE_CONNS_MAX ? conns[ref.slot] : NULL;
    return f && !f->closing ? &f->conn : NULL;
}

void pc_conn_pause(struct pc_conn *c)
{
    fake_of(c)->paused = true;
}

void pc_conn_resume(struct pc_conn *c)
{
    fake_of(c)->paused = false;
}

int pc_conn_expect(struct pc_conn *c, size_t total_bytes)
{
    return total_bytes > c->protocol->input_max_bytes ? PC_E_TOO_LARGE : 0;
}

uint8_t *pc_conn_reserve(struct pc_conn *c, size_t n)
{
    struct fake_conn *f = fake_of(c);
    if (f->no_memory)
        f->closing = f->aborted = true;
    if (f->aborted)
        return NULL;
    PC_ASSERT(n <= FAKE_CONN_OUTPUT_MAX - f->out_n);
    return f->out + f->out_n;
}

void pc_conn_commit(struct pc_conn *c, size_t n)
{
    fake_of(c)->out_n += n;
}

bool pc_conn_write(struct pc_conn *c, struct pc_bytes s)
{
    uint8_t *p = pc_conn_reserve(c, s.n);
    if (!p)
        return false;
    memcpy(p, s.p, s.n);
    pc_conn_commit(c, s.n);
    return true;
}

bool pc_conn_output_full(const struct pc_conn *c)
{
    return fake_of(c)->full;
}

void pc_conn_close_after_flush(struct pc_conn *c)
{
    fake_of(c)->closing = true;
}

void pc_conn_abort(struct pc_conn *c)
{
    fake_of(c)->closing = fake_of(c)->aborted = true;
}

bool pc_conn_closing(const struct pc_conn *c)
{
    return fake_of(c)->closing;
}

void pc_conn_deadline(struct pc_conn *c, unsigned deadline)
{
    fake_of(c)->deadlines |= 1u << deadline;
}

void pc_conn_clear_deadline(struct pc_conn *c, unsigned deadline)
{
    fake_of(c)->deadlines &= ~(1u << deadline);
}

bool pc_core_overloaded(const struct pc_core *core)
{
    (void)core;
    return false;
}

void pc_core_counters(const struct pc_core *core, struct pc_core_counters *ret_counters)
{
    (void)core;
    *ret_counters = (struct pc_core_counters){0};
}

int pc_core_timer(struct pc_core *core, unsigned period_ms, void (*fn)(struct pc_core *, void *),
                  void *arg)
{
    (void)core, (void)period_ms, (void)fn, (void)arg;
    return 0;
}

/* What needs the main thread is not for this connection. */
bool pc_core_post(struct pc_core *core, unsigned producer, void *msg)
{
    (void)core, (void)producer, (void)msg;
    PC_ASSERT(!"a fake core has no mailbox");
    return false;
}

void pc_core_notify(struct pc_core *core)
{
    (void)core;
}

struct pc_core *pc_loop_core(struct pc_loop *loop, unsigned index)
{
    (void)loop, (void)index;
    PC_ASSERT(!"there is no loop");
    return NULL;
}

int pc_server_reload(struct pc_server *s, struct pc_why *why)
{
    (void)s;
    return pc_fail(why, PC_E_UNSUPPORTED, "there is no server");
}

int pc_server_reload_flags(struct pc_server *s, struct pc_why *why)
{
    (void)s;
    return pc_fail(why, PC_E_UNSUPPORTED, "there is no server");
}

int pc_server_run_on_writer(struct pc_server *s, int (*task)(struct pc_writer *, struct pc_job *),
                            void *arg)
{
    (void)s, (void)task, (void)arg;
    return PC_E_UNSUPPORTED;
}
