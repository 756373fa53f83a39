/* SPDX-License-Identifier: Apache-2.0
 * Taking PROXY headers off the front of connections. */
#include "edge/api/proxied.h"

#include "base/log.h"
#include "edge/wire/proxy.h"

/* Strangers can cause these lines: one a second and core is enough to find the reason. */
static void say_refused(struct pc_conn *c, unsigned slot, const char *what)
{
    struct pc_worker *w = pc_worker_of(c);
    uint8_t text[PC_IP_TEXT_MAX];
    struct pc_buf b = pc_buf_of(text, sizeof text);
    struct pc_ip ip = pc_conn_ip(c);
    pc_metric_inc(w->metrics, slot);
    if (w->core->now_ms / 1000 == w->proxied_said_s)
        return;
    w->proxied_said_s = w->core->now_ms / 1000;
    pc_ip_format(&ip, &b);
    struct pc_log *l = pc_log_begin(PC_LOG_WARN, "proxy_header_refused");
    pc_log_str(l, "listener", pc_listener_of(c)->config->name);
    pc_log_bytes(l, "peer", pc_bytes_of(b.p, b.len));
    pc_log_str(l, "reason", what);
    pc_log_end(l);
}

int pc_proxied_open(struct pc_conn *c, bool *ret_due)
{
    if (PC_LIKELY(!pc_listener_of(c)->config->proxy_protocol)) {
        *ret_due = false;
        return 0;
    }
    if (!pc_conn_is_trusted(c)) {
        say_refused(c, PC_M_PROXY_UNTRUSTED, "the peer is none of trusted_peers");
        return -EACCES;
    }
    *ret_due = true;
    return 0;
}

/* A loopback address that a proxy of another machine names is that machine's: its processes are no
 * local ones here. */
static void set_peer(struct pc_conn *c, const struct pc_proxy *h)
{
    bool elsewhere = pc_ip_is_loopback(&h->source) && !pc_conn_is_local(c);
    c->peer = (struct pc_peer){.port = h->source_port,
                               .family = h->source.family == 4 ? PC_PEER_V4 : PC_PEER_V6};
    memcpy(c->peer.ip, h->source.b, sizeof c->peer.ip);
    c->peer.unvouched = elsewhere;
}

ptrdiff_t pc_proxied_take(struct pc_conn *c, const uint8_t *p, size_t n)
{
    struct pc_proxy h;
    int rc = pc_proxy_parse(p, n, &h);
    if (rc < 0) {
        say_refused(c, PC_M_PROXY_MALFORMED,
                    rc == PC_E_SYNTAX ? "no PROXY header" : pc_strerror(rc));
        pc_conn_abort(c);
        return -EPROTO;
    }
    if (rc == 0)
        return 0;
    pc_metric_inc(pc_worker_of(c)->metrics, PC_M_PROXY_TAKEN);
    if (h.known)
        set_peer(c, &h);
    else
        c->peer.unvouched = !h.local;
    return rc;
}

void pc_proxied_timeout(struct pc_conn *c)
{
    say_refused(c, PC_M_PROXY_TIMEOUT, "no complete PROXY header in time");
}
