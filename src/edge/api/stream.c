/* SPDX-License-Identifier: Apache-2.0
 * Answers that go on: a head without a length, then parts as they come, each a chunk of its own; to
 * HTTP/1.0 plain bytes that end with the connection. http_conn.c keeps the connection's side:
 * deadlines, drain, input that is dropped. Runs on the connection's core; holds no memory. */
#include "edge/api/call.h"

/* "4000\r\n" in front of a chunk and "\r\n" behind it, at most. */
#define FRAMING_BYTES 20

bool pc_call_stream_begin(struct pc_call *call, const char *content_type, struct pc_bytes fields,
                          const struct pc_stream_ops *ops, void *state)
{
    uint8_t text[512];
    struct pc_buf b = pc_buf_of(text, sizeof text);
    PC_ASSERT(!call->stream && ops->tick && ops->ended);
    if (call->minor > 0)
        pc_buf_lit(&b, "Transfer-Encoding: chunked\r\n");
    pc_buf_bytes(&b, fields);
    PC_ASSERT(!b.overflow);
    struct pc_reply r = {.status = 200,
                         .content_type = content_type,
                         .fields = pc_bytes_of(b.p, b.len),
                         .endless = true};
    call->keep_alive = false;
    if (!call->head) {
        call->stream = ops;
        call->stream_state = state;
    }
    pc_call_reply(call, &r);
    if (pc_conn_closing(call->conn))
        call->stream = NULL;
    return call->stream != NULL;
}

void pc_call_stream_write(struct pc_call *call, struct pc_bytes part)
{
    PC_ASSERT(call->stream);
    if (part.n == 0 || pc_conn_closing(call->conn))
        return; /* an empty chunk would be the last */
    uint8_t *p = pc_conn_reserve(call->conn, part.n + FRAMING_BYTES);
    if (!p)
        return; /* the connection is being aborted */
    struct pc_buf b = pc_buf_of(p, part.n + FRAMING_BYTES);
    if (call->minor > 0)
        pc_buf_fmt(&b, "%zx\r\n", part.n);
    pc_buf_bytes(&b, part);
    if (call->minor > 0)
        pc_buf_lit(&b, "\r\n");
    PC_ASSERT(!b.overflow);
    pc_conn_commit(call->conn, b.len);
}

bool pc_call_stream_full(const struct pc_call *call)
{
    return pc_conn_output_full(call->conn);
}

void pc_call_stream_end(struct pc_call *call)
{
    const struct pc_stream_ops *ops = call->stream;
    PC_ASSERT(ops);
    call->stream = NULL;
    if (!pc_conn_closing(call->conn)) {
        if (call->minor > 0)
            pc_conn_write(call->conn, PC_LIT("0\r\n\r\n"));
        pc_conn_close_after_flush(call->conn);
    }
    ops->ended(call);
}
