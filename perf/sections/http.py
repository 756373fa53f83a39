# SPDX-License-Identifier: Apache-2.0
"""Decisions over HTTP/1.1: beside programs that only answer, and beside gateways that decide by
themselves."""
import socket

from framed import claims
from peers import haproxy, nginx
from peers.portcullis import CHECK_RULES, RULES, Portcullis
from peers.redis import ask
from rig import alike, middle, ratio

from . import Bench, Contestant

PLAIN, FULL_DECISION = "Portcullis /v1/auth", "Portcullis full decision"
URING, EPOLL = "bare io_uring", "bare epoll"
NGINX, NGINX_LUA, HAPROXY_MAP = "nginx return 204", "nginx Lua blacklist + limit", "haproxy map + stick table"
SPARED = ", ids in headers"  # something before it has read the token


def portcullis(bench: Bench, name, more=None):
    """Started, with its revocations, and seen to refuse a revoked token."""
    server = Portcullis(bench.rig, name, more=more)
    peer = server.start()
    bench.fill(server.resp_port, bench.size["background"])
    token = bench.requests.revoked_token
    bench.must_answer(peer, bench.requests.auth_request(token), 200)
    if ask(server.resp_port, "SET", "bl:" + claims(token)["jti"], "1") != "+OK":
        raise RuntimeError("the token was not revoked")
    bench.must_answer(peer, bench.requests.auth_request(token), 401)
    return server


def gateways(bench: Bench):
    """Those that decide by themselves; each is seen to refuse what is revoked."""
    rig, revoked = bench.rig, bench.size["background"]
    found = {NGINX_LUA: nginx.lua(rig, revoked), HAPROXY_MAP: haproxy.map_and_limit(rig, revoked),
             NGINX_LUA + SPARED: nginx.lua(rig, revoked, "by_headers"),
             HAPROXY_MAP + SPARED: haproxy.map_and_limit(rig, revoked, haproxy.BY_HEADERS, "haproxy-spared")}
    for peer in found.values():
        bench.must_answer(peer, bench.requests.revoked_application_request(revoked - 1), 401)
    return found


def contestants(bench: Bench, depth):
    rig, requests, load = bench.rig, bench.requests, bench.load(depth)
    ours = {PLAIN: portcullis(bench, "portcullis-plain").peer,
            FULL_DECISION: portcullis(bench, "portcullis-full", RULES).peer,
            URING: rig.bare("uring", "http"), EPOLL: rig.bare("epoll", "http")}
    others = {NGINX: nginx.plain(rig), "haproxy return": haproxy.plain(rig), "haproxy stick table": haproxy.limit(rig),
              **gateways(bench)}
    return [
        *(Contestant(name, [peer], requests.auth(), load) for name, peer in ours.items()),
        Contestant("nginx limit_req", [nginx.limited(rig)], requests.application("200"), load),
        *(Contestant(name, [peer], requests.application_with_ids() if SPARED in name else requests.application(), load)
          for name, peer in others.items())]


def pipeline(bench: Bench):
    r = bench.compare("HTTP, 64 connections, pipeline 16", contestants(bench, 16))
    pairs = alike(r, FULL_DECISION, URING)
    above = middle(a["cpu_us"] for a, _ in pairs)[0] - middle(b["cpu_us"] for _, b in pairs)[0]
    each = [a["cpu_us"] - b["cpu_us"] for a, b in pairs]
    bench.book.judge("gate.bare", above, [min(each), max(each)],
                     f"of it rules and limit {r[FULL_DECISION]['cpu_us'] - r[PLAIN]['cpu_us']:.2f}")
    bench.book.judge("gate.nginx", *ratio(r, FULL_DECISION, NGINX), by_cpu(r, FULL_DECISION, NGINX))


def one_by_one(bench: Bench):
    r = bench.compare("HTTP, 64 connections, no pipelining", contestants(bench, 1))
    bench.book.judge("http.bare", *ratio(r, FULL_DECISION, URING, "cpu_us"))
    for key, other in (("http.nginx", NGINX), ("http.lua", NGINX_LUA), ("http.haproxy", HAPROXY_MAP)):
        bench.book.judge(key, *ratio(r, FULL_DECISION, other), by_cpu(r, FULL_DECISION, other))


def by_cpu(results, ours, theirs):
    return f"by CPU time {ratio(results, theirs, ours, 'cpu_us')[0]:.2f} x"


def check(bench: Bench):
    """The bare responder gives its short answer, and one as long as the decision."""
    peer = portcullis(bench, "portcullis-check", CHECK_RULES).peer
    long_answer = bench.rig.bare("uring", "http", answer_bytes(peer.port, bench.requests))
    path = bench.requests.check()
    ours, bare, long_bare = "Portcullis /v1/check", URING, "bare io_uring, answer as long"
    peers = {ours: peer, bare: bench.rig.bare("uring", "http"), long_bare: long_answer}
    for depth, title in ((1, "no pipelining"), (16, "pipeline 16")):
        r = bench.compare(f"POST /v1/check, 64 connections, {title}",
                          [Contestant(name, [p], path, bench.load(depth, **({} if name == ours else {"expected": "200"})))
                           for name, p in peers.items()])
        if depth == 1:
            bench.book.judge("check.bare", *ratio(r, ours, bare, "cpu_us"),
                             f"with an answer as long {ratio(r, ours, long_bare, 'cpu_us')[0]:.2f} x")


def answer_bytes(port, requests):
    with socket.create_connection(("127.0.0.1", port), timeout=30) as s, s.makefile("rb") as answer:
        s.sendall(requests.check_request(requests.good[0]))
        head = []
        while (line := answer.readline()) not in (b"\r\n", b""):
            head.append(line)
        length = next(int(x.split(b":")[1]) for x in head if x.lower().startswith(b"content-length"))
        body = answer.read(length)
    if b'"allow":true' not in body or b'"search"' not in body or b'"auth.enable_2fa"' not in body:
        raise RuntimeError(f"not the decision that is to be measured: {body.decode()}")
    return sum(map(len, head)) + 2 + length


def ceiling(bench: Bench):
    """Responders that do nothing, and the same through our event loop: what the loop costs."""
    for protocol, path, how in (("http", bench.requests.auth(), bench.load),
                                ("resp", bench.requests.exists(), bench.resp_load)):
        expected = {"expected": ":0"} if protocol == "resp" else {}
        peers = {kind: bench.rig.bare(kind, protocol) for kind in ("uring", "epoll", "loop")}
        peers["uring, the system's congestion control"] = bench.rig.bare("uring", protocol, congestion=("-",))
        for depth in (1, 16):
            bench.compare(f"{protocol.upper()}, nothing done, pipeline {depth}",
                          [Contestant(f"bare {kind}", [peer], path, how(depth, **expected))
                           for kind, peer in peers.items()])


SECTIONS = {"pipeline": pipeline, "http": one_by_one, "check": check, "ceiling": ceiling}
