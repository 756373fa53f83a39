/* SPDX-License-Identifier: Apache-2.0
 * A connection's own state (conn.h): no I/O here. */
#include <stdlib.h>
#include <string.h>

#include "load/conn.h"

void ld_conn_set_state(struct ld_conn *c, enum ld_conn_state to)
{
    switch (to) {
    case LD_CONN_CLOSED: PC_ASSERT(c->in_flight == 0); break;
    case LD_CONN_CONNECTING: PC_ASSERT(c->state == LD_CONN_CLOSED && c->fd >= 0); break;
    case LD_CONN_OPEN: PC_ASSERT(c->state == LD_CONN_CONNECTING); break;
    }
    c->state = (uint8_t)to;
}

bool ld_conn_make(struct ld_conn *c, unsigned depth, size_t out_room)
{
    uint32_t slots = 1;
    while (slots < depth)
        slots *= 2;
    *c = (struct ld_conn){.fd = -1, .level = -1, .depth_mask = slots - 1, .out_room = out_room};
    c->pending = calloc(slots, sizeof(*c->pending));
    c->out = malloc(out_room);
    return c->pending && c->out;
}

void ld_conn_free(struct ld_conn *c)
{
    for (struct ld_wish *w; (w = ld_conn_take_wish(c));)
        free(w);
    ld_parser_reset(&c->parser);
    free(c->pending);
    free(c->out);
    c->pending = NULL;
    c->out = NULL;
}

static void add_pending(struct ld_conn *c, struct ld_pending what)
{
    PC_ASSERT(c->in_flight <= c->depth_mask); /* C2 */
    c->pending[(c->first + c->in_flight++) & c->depth_mask] = what;
    c->timed = true;
}

void ld_conn_append(struct ld_conn *c, const struct ld_request *r, int64_t due_ns, int64_t now_ns)
{
    PC_ASSERT(!c->sending && r->piece_count <= LD_PIECES_MAX); /* C1 */
    for (unsigned i = 0; i < r->piece_count; i++) {
        const struct ld_piece *piece = &r->pieces[i];
        PC_ASSERT(piece->bytes <= c->out_room - c->out_bytes);
        memcpy(c->out + c->out_bytes, piece->at, piece->bytes);
        c->out_bytes += piece->bytes;
    }
    add_pending(c, (struct ld_pending){.due_ns = due_ns,
                                       .sent_ns = now_ns,
                                       .cookie = r->cookie,
                                       .class = r->class,
                                       .no_body = r->is_head});
}

void ld_conn_append_wish(struct ld_conn *c, const struct ld_wish *w, int64_t now_ns)
{
    struct ld_pending what = w->what;
    PC_ASSERT(!c->sending && w->bytes <= c->out_room - c->out_bytes); /* C1 */
    memcpy(c->out + c->out_bytes, w->data, w->bytes);
    c->out_bytes += w->bytes;
    what.sent_ns = now_ns;
    add_pending(c, what);
}

struct ld_wish *ld_wish_new(const struct ld_request *r, int64_t now_ns)
{
    const size_t bytes = ld_request_bytes(r);
    struct ld_wish *w = malloc(sizeof(*w) + bytes);
    if (!w)
        return NULL;
    *w = (struct ld_wish){
        .what = {.due_ns = now_ns, .cookie = r->cookie, .class = r->class, .no_body = r->is_head}
    };
    for (unsigned i = 0; i < r->piece_count; i++) {
        memcpy(w->data + w->bytes, r->pieces[i].at, r->pieces[i].bytes);
        w->bytes += r->pieces[i].bytes;
    }
    return w;
}

void ld_conn_add_wish(struct ld_conn *c, struct ld_wish *w)
{
    w->next = NULL;
    if (c->wish_last)
        c->wish_last->next = w;
    else
        c->wish_first = w;
    c->wish_last = w;
}

struct ld_wish *ld_conn_take_wish(struct ld_conn *c)
{
    struct ld_wish *w = c->wish_first;
    if (w) {
        c->wish_first = w->next;
        if (!c->wish_first)
            c->wish_last = NULL;
    }
    return w;
}
