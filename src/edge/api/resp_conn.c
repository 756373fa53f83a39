/* SPDX-License-Identifier: Apache-2.0
 * The RESP protocol table for the loop, and the order of replies. */
#include "edge/api/resp_conn.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/secret.h"
#include "edge/api/mutate.h"
#include "edge/api/proxied.h"

enum resp_deadline { DEADLINE_IDLE, DEADLINE_DRAIN, DEADLINE_COMMAND, DEADLINE_PROXY };

#define REPLY_ROOM 64
/* While the server stops, how long a connection may still bring commands. */
#define DRAIN_MS 250
/* From a command's first byte to its last, whatever idle_timeout says: who may be silent for ever
 * between commands may not have us keep half of one for ever. */
#define COMMAND_MS 30000

static struct pc_resp_conn *resp_of(struct pc_conn *c)
{
    return c->user;
}

/* ---- replies ---- */

uint8_t *pc_resp_replies_begin(struct pc_resp_conn *r, size_t n)
{
    if (r->worker->ahead.n)
        pc_resp_answer_ahead(r->worker); /* A2 */
    return pc_conn_reserve(r->conn, n);
}

void pc_resp_replies_end(struct pc_resp_conn *r, size_t n, uint32_t replies)
{
    pc_conn_commit(r->conn, n);
    r->worker->resp_commands += replies;
}

static bool open_reply(struct pc_resp_conn *r, size_t n, struct pc_buf *b)
{
    uint8_t *p = pc_resp_replies_begin(r, n);
    *b = pc_buf_of(p, n);
    return p != NULL;
}

static void close_reply(struct pc_resp_conn *r, const struct pc_buf *b)
{
    PC_ASSERT(!b->overflow);
    pc_resp_replies_end(r, b->len, 1);
}

void pc_resp_reply_error(struct pc_resp_conn *r, const char *fmt, ...)
{
    char text[512];
    struct pc_buf b;
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    pc_metric_inc(r->worker->metrics, PC_M_RESP_ERRORS);
    if (!open_reply(r, sizeof text + REPLY_ROOM, &b))
        return;
    pc_resp_write_error(&b, pc_bytes_str(text));
    close_reply(r, &b);
}

void pc_resp_reply_simple(struct pc_resp_conn *r, const char *text)
{
    struct pc_buf b;
    if (!open_reply(r, strlen(text) + REPLY_ROOM, &b))
        return;
    pc_resp_write_simple(&b, text);
    close_reply(r, &b);
}

void pc_resp_reply_int(struct pc_resp_conn *r, int64_t value)
{
    struct pc_buf b;
    if (!open_reply(r, REPLY_ROOM, &b))
        return;
    pc_resp_write_int(&b, value);
    close_reply(r, &b);
}

void pc_resp_reply_bulk(struct pc_resp_conn *r, struct pc_bytes value)
{
    struct pc_buf b;
    if (!open_reply(r, value.n + REPLY_ROOM, &b))
        return;
    pc_resp_write_bulk(&b, value);
    close_reply(r, &b);
}

void pc_resp_reply_null(struct pc_resp_conn *r)
{
    struct pc_buf b;
    if (!open_reply(r, REPLY_ROOM, &b))
        return;
    pc_resp_write_null(&b);
    close_reply(r, &b);
}

void pc_resp_reply_raw(struct pc_resp_conn *r, struct pc_bytes rendered)
{
    struct pc_buf b;
    if (!open_reply(r, rendered.n, &b))
        return;
    pc_buf_bytes(&b, rendered);
    close_reply(r, &b);
}

/* ---- jobs ---- */

typedef void done_fn(struct pc_resp_conn *r, struct pc_job *job);

static void job_back(struct pc_job *job)
{
    struct pc_worker *w = job->owner;
    struct pc_conn_ref ref = {job->owner_slot, (uint32_t)job->owner_tag, w->core->index};
    struct pc_conn *c = pc_conn_get(w->core, ref);
    struct pc_resp_conn *r = c ? resp_of(c) : NULL;
    struct pc_mutation_refusal refusal;
    if (r && job->result < 0) {
        pc_mutation_explain(job->result, &refusal);
        pc_resp_reply_error(r, "%s %s", job->result == PC_E_READ_ONLY ? "READONLY" : "ERR",
                            refusal.text);
    } else if (r) {
        ((done_fn *)job->owner_fn)(r, job);
    }
    pc_job_give(&w->jobs, job);
    if (!r)
        return;
    PC_ASSERT(r->pending > 0);
    if (--r->pending > 0)
        return;
    if (r->closing)
        pc_conn_close_after_flush(r->conn);
    else
        pc_conn_resume(r->conn);
}

enum pc_resp_outcome pc_resp_submit(struct pc_resp_conn *r, struct pc_job *job,
                                    void (*done)(struct pc_resp_conn *r, struct pc_job *job))
{
    struct pc_conn_ref ref = pc_conn_ref(r->conn);
    /* Look-ups before a mutation must not see it. */
    pc_resp_answer_ahead(r->worker);
    job->done = job_back;
    job->owner = r->worker;
    job->owner_slot = ref.slot;
    job->owner_tag = ref.generation;
    job->owner_fn = (void (*)(void))done;
    if (pc_worker_submit(r->worker, job) == 0) {
        r->pending++;
        return PC_RESP_DONE;
    }
    uint32_t refused = job->count;
    pc_job_give(&r->worker->jobs, job);
    if (r->pending)
        return PC_RESP_WAIT; /* room comes with the next answer */
    pc_metric_add(r->worker->metrics, PC_M_MUTATIONS_REFUSED_QUEUE, refused);
    pc_resp_reply_error(r, "BUSY too many mutations wait already");
    return PC_RESP_DONE;
}

/* ---- who asks ---- */

enum pc_admin_role pc_resp_role(const struct pc_resp_conn *r)
{
    if (r->principal.role != PC_ADMIN_NONE)
        return r->principal.role;
    bool trusted = r->worker->server->started_as->resp.trust_loopback && pc_conn_is_local(r->conn);
    return trusted ? PC_ADMIN_GATEWAY : PC_ADMIN_NONE;
}

/* A stranger from elsewhere gets little memory before AUTH. */
static const struct pc_resp_limits stranger_limits = {
    .args = PC_RESP_ARGS_MAX,
    .bulk_bytes = PC_RESP_BULK_BYTES,
    .inline_bytes = PC_RESP_INLINE_BYTES,
    .command_bytes = PC_RESP_COMMAND_BYTES,
    .unauthenticated = true,
};

/* For the commands of one read; again when the credential changes, or what it is worth. */
static void update_rights(struct pc_resp_conn *r)
{
    enum pc_admin_role role = pc_resp_role(r);
    bool local = pc_conn_is_local(r->conn);
    unsigned may = 1u << PC_RESP_ALWAYS;
    if (pc_admin_may(role, PC_MAY_GATEWAY))
        may |= 1u << PC_RESP_READ | 1u << PC_RESP_MUTATE;
    if (local || pc_admin_may(role, PC_MAY_READ))
        may |= 1u << PC_RESP_READ;
    r->may = (uint8_t)may;
    r->limits = r->credential || local ? &pc_resp_limits_default : &stranger_limits;
}

static void forget_credential(struct pc_resp_conn *r)
{
    if (r->credential)
        pc_wipe(r->credential, r->credential_n);
    free(r->credential);
    r->credential = NULL;
    r->credential_n = 0;
}

bool pc_resp_authenticated(struct pc_resp_conn *r, struct pc_bytes credential,
                           const struct pc_principal *principal)
{
    PC_ASSERT(principal->role != PC_ADMIN_NONE && credential.n > 0);
    uint8_t *copy = malloc(credential.n);
    if (!copy)
        return false;
    memcpy(copy, credential.p, credential.n);
    forget_credential(r);
    r->credential = copy;
    r->credential_n = credential.n;
    r->principal = *principal;
    r->judged_ns = r->worker->core->now_ns;
    r->undecided = false;
    update_rights(r);
    return true;
}

/* Once a turn is enough: what it brings arrived before it began. */
static void judge_again(struct pc_resp_conn *r)
{
    if (PC_LIKELY(!r->credential) || r->judged_ns == r->worker->core->now_ns)
        return;
    struct pc_ip client = pc_conn_ip(r->conn);
    pc_principal_of(r->worker, pc_bytes_of(r->credential, r->credential_n), &client, &r->principal,
                    &r->undecided);
    r->judged_ns = r->worker->core->now_ns;
    if (r->principal.role == PC_ADMIN_NONE && !r->undecided)
        forget_credential(r);
    update_rights(r);
}

/* ---- commands ---- */

static bool may_use(const struct pc_resp_conn *r, const struct pc_resp_row *row)
{
    return r->may & 1u << row->access;
}

static const struct pc_resp_row *find_row(struct pc_bytes name)
{
    for (size_t i = 0; i < pc_resp_row_count; i++)
        if (name.n == pc_resp_rows[i].name_n &&
            pc_bytes_eq_nocase(name, pc_bytes_of(pc_resp_rows[i].name, name.n)))
            return &pc_resp_rows[i];
    return NULL;
}

static void reply_unknown(struct pc_resp_conn *r, const struct pc_resp_command *c)
{
    uint8_t args[192];
    struct pc_buf b = pc_buf_of(args, sizeof args);
    for (size_t i = 1; i < c->argc && b.len < 128; i++)
        pc_buf_fmt(&b, "'%.*s' ", (int)pc_min_u64(c->argv[i].n, 128 - b.len),
                   (const char *)c->argv[i].p);
    pc_resp_reply_error(r, "ERR unknown command '%.*s', with args beginning with: %.*s",
                        (int)pc_min_u64(c->argv[0].n, 128), (const char *)c->argv[0].p, (int)b.len,
                        (const char *)args);
}

static bool arity_fits(const struct pc_resp_row *row, size_t argc)
{
    return row->arity >= 0 ? argc == (size_t)row->arity : argc >= (size_t)-row->arity;
}

static void reply_arity(struct pc_resp_conn *r, const struct pc_resp_row *row)
{
    char lower[32];
    size_t n = 0;
    for (; n < row->name_n && n < sizeof lower - 1; n++) {
        char c = row->name[n];
        lower[n] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    }
    lower[n] = 0;
    pc_resp_reply_error(r, "ERR wrong number of arguments for '%s' command", lower);
}

/* Replies why the command may not run now; false: it may. Nothing is replied while mutations are
 * under way: execute() has let the other reasons wait, and shedding looks only at a first one. */
static bool refuse(struct pc_resp_conn *r, const struct pc_resp_row *row,
                   const struct pc_resp_command *c)
{
    if (!row)
        reply_unknown(r, c);
    else if (!arity_fits(row, c->argc))
        reply_arity(r, row);
    else if (PC_UNLIKELY(!may_use(r, row)))
        pc_resp_reply_error(r, r->undecided ? "BUSY too many signatures to verify"
                               : pc_resp_role(r) != PC_ADMIN_NONE
                                   ? "NOPERM role viewer may only read"
                                   : "NOAUTH Authentication required.");
    else if (row->access == PC_RESP_ALWAYS)
        return false;
    else if (PC_UNLIKELY(!pc_writer_ready(r->worker->server->writer)))
        pc_resp_reply_error(r, "LOADING Portcullis is loading the dataset in memory");
    else if (PC_UNLIKELY(r->newcomer) && !r->pending && pc_core_overloaded(r->worker->core))
        pc_resp_reply_error(r, "BUSY this core's queue is too long; try again");
    else
        return false;
    return true;
}

static enum pc_resp_outcome execute(struct pc_resp_conn *r, const struct pc_resp_command *c)
{
    const struct pc_resp_row *row = find_row(c->argv[0]);
    judge_again(r);
    /* Everything but a mutation answers at once, so it has to wait for those before it. */
    if (r->pending &&
        (!row || row->access != PC_RESP_MUTATE || !may_use(r, row) || !arity_fits(row, c->argc)))
        return PC_RESP_WAIT;
    if (refuse(r, row, c))
        return PC_RESP_DONE;
    pc_metric_inc(r->worker->metrics, PC_M_RESP_COMMANDS + (unsigned)(row - pc_resp_rows));
    return row->run(r, c);
}

/* ---- the loop's side ---- */

static void protocol_error(struct pc_resp_conn *r)
{
    struct pc_buf b;
    if (open_reply(r, 256, &b)) {
        pc_resp_write_protocol_error(&b, &r->parser);
        close_reply(r, &b);
    }
    pc_conn_close_after_flush(r->conn);
}

/* Takes at most one command; 0: nothing can be done before more bytes or answers arrive. */
static size_t input_one(struct pc_resp_conn *r, uint8_t *p, size_t n)
{
    struct pc_resp_command *c = r->worker->resp;
    /* An inline command is unquoted in place and cannot be looked at twice. */
    if (r->pending && p[0] != '*')
        return 0;
    struct pc_resp_parser before = r->parser;
    int used = pc_resp_parse(&r->parser, r->limits, p, n, c);
    if (used == 0)
        return 0;
    if (used < 0 && r->pending) {
        r->parser = before; /* its error follows the replies under way */
        return 0;
    }
    if (used < 0 || c->foreign) {
        if (used < 0)
            protocol_error(r);
        else
            pc_conn_abort(r->conn);
        return n;
    }
    if (c->argc && execute(r, c) == PC_RESP_WAIT) {
        r->parser = (struct pc_resp_parser){0};
        return 0;
    }
    return (size_t)used;
}

/* Whether the client owes us the rest of a command; `began` anew, or with this input. */
static void await_command(struct pc_resp_conn *r, bool incomplete, bool began)
{
    if (!incomplete)
        pc_conn_clear_deadline(r->conn, DEADLINE_COMMAND);
    else if (began || !r->incomplete)
        pc_conn_deadline(r->conn, DEADLINE_COMMAND);
    r->incomplete = incomplete;
}

static size_t resp_input(struct pc_conn *c, uint8_t *p, size_t n)
{
    struct pc_resp_conn *r = resp_of(c);
    uint64_t max = r->worker->server->started_as->resp.max_pipeline, commands = 0;
    size_t used = 0;
    if (PC_UNLIKELY(r->proxy_due)) {
        ptrdiff_t taken = pc_proxied_take(c, p, n);
        if (taken <= 0)
            return 0;
        r->proxy_due = false;
        pc_conn_clear_deadline(c, DEADLINE_PROXY);
        used = (size_t)taken;
    }
    update_rights(r);
    while (used < n && commands < max && r->pending < max && !r->closing && !pc_conn_closing(c) &&
           !pc_conn_output_full(c)) {
        size_t taken = input_one(r, p + used, n - used);
        if (taken == 0)
            break;
        used += taken;
        commands++;
    }
    if (used < n && (r->pending || commands == max))
        pc_conn_pause(c);
    if (r->pending == 0)
        pc_conn_resume(c); /* after others had their turn */
    pc_conn_deadline(c, DEADLINE_IDLE);
    await_command(r, used < n && !r->pending && commands < max && !pc_conn_output_full(c),
                  commands > 0);
    return used;
}

static int resp_open(struct pc_conn *c)
{
    bool proxy_due;
    int rc = pc_proxied_open(c, &proxy_due);
    struct pc_resp_conn *r = rc == 0 ? calloc(1, sizeof *r) : NULL;
    if (!r)
        return rc < 0 ? rc : -ENOMEM;
    c->user = r;
    r->proxy_due = proxy_due;
    if (proxy_due)
        pc_conn_deadline(c, DEADLINE_PROXY);
    r->worker = pc_worker_of(c);
    r->conn = c;
    r->newcomer = pc_core_overloaded(c->core);
    r->id = pc_prng_u64(&r->worker->prng) >> 12;
    pc_metric_inc(r->worker->metrics, PC_M_CONNECTIONS_ACCEPTED_RESP);
    pc_metric_add(r->worker->metrics, PC_M_CONNECTIONS_OPEN_RESP, 1);
    pc_conn_deadline(c, DEADLINE_IDLE);
    return 0;
}

static void resp_closed(struct pc_conn *c)
{
    PC_ASSERT(pc_worker_of(c)->ahead.n == 0); /* A3 */
    pc_metric_sub(pc_worker_of(c)->metrics, PC_M_CONNECTIONS_OPEN_RESP, 1);
    forget_credential(resp_of(c));
    free(c->user);
}

/* The last answers under way are still given. */
static void close_when_answered(struct pc_conn *c)
{
    pc_resp_answer_ahead(pc_worker_of(c));
    resp_of(c)->closing = true;
    if (resp_of(c)->pending == 0)
        pc_conn_close_after_flush(c);
}

/* Nothing in RESP announces a close, so the commands on their way get a moment to arrive. */
static void resp_drain(struct pc_conn *c)
{
    pc_conn_deadline(c, DEADLINE_DRAIN);
}

static void resp_timeout(struct pc_conn *c, unsigned deadline)
{
    if (deadline == DEADLINE_DRAIN) {
        close_when_answered(c);
        return;
    }
    /* Answers that were put off have filled the output since: its rest is what we do not read. */
    if (deadline == DEADLINE_COMMAND && pc_conn_output_full(c)) {
        pc_conn_deadline(c, deadline);
        return;
    }
    if (deadline == DEADLINE_PROXY)
        pc_proxied_timeout(c);
    pc_metric_inc(pc_worker_of(c)->metrics, PC_M_CONNECTIONS_CLOSED_IDLE);
    pc_conn_abort(c);
}

void pc_resp_protocol_init(struct pc_protocol *p, const struct pc_config *c)
{
    *p = (struct pc_protocol){
        .name = "resp",
        .refusal = PC_LIT("-ERR max number of clients reached\r\n"),
        .deadline_ms = {[DEADLINE_IDLE] = (uint32_t)c->resp.idle_timeout_ms,
                        [DEADLINE_DRAIN] = DRAIN_MS,
                        [DEADLINE_COMMAND] = COMMAND_MS,
                        [DEADLINE_PROXY] = PC_PROXIED_TIMEOUT_MS},
        .input_max_bytes = PC_RESP_COMMAND_BYTES + 65536,
        .output_max_bytes = c->resp.output_buffer_bytes,
        .open = resp_open,
        .input = resp_input,
        .eof = close_when_answered,
        .timeout = resp_timeout,
        .closed = resp_closed,
        .drain = resp_drain,
    };
}
