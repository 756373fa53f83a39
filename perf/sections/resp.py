# SPDX-License-Identifier: Apache-2.0
"""RESP beside redis-server and memcached: what is asked, what is set, and the limits."""
from peers import memcached, redis
from peers.portcullis import Portcullis
from rig import ratio

from . import Bench, Contestant
from .http import by_cpu

OURS, REDIS, URING = "Portcullis", "redis-server", "bare io_uring"
GROUP, ALWAYS = "Portcullis, group", "redis-server, fsync always"
ASYNC, EVERYSEC = "Portcullis, async", "redis-server, fsync everysec"


def exists(bench: Bench):
    rig, requests = bench.rig, bench.requests
    server = Portcullis(rig, "portcullis-exists")
    peer, other, cache = server.start(), redis.start(rig), memcached.start(rig)
    for port in (server.resp_port, other.port):
        bench.fill(port, bench.size["background"])
    bench.fill_memcached(cache.port, bench.size["background"])
    bare = {kind: rig.bare(kind, "resp") for kind in ("uring", "epoll")}
    for depth in (1, 16, 64):
        load, fixed = bench.resp_load(depth), bench.resp_load(depth, expected=":0")
        r = bench.compare(f"RESP EXISTS, 64 connections, pipeline {depth}", [
            Contestant(OURS, [peer], requests.exists(), load, port=server.resp_port),
            Contestant(URING, [bare["uring"]], requests.exists(), fixed),
            Contestant(REDIS, [other], requests.exists(), load),
            Contestant("bare epoll", [bare["epoll"]], requests.exists(), fixed),
            Contestant("memcached get", [cache], requests.memcached_get(), bench.memcached_load(depth))])
        bench.book.judge(f"exists.{depth}.redis", *ratio(r, OURS, REDIS), by_cpu(r, OURS, REDIS))
        bench.book.judge(f"exists.{depth}.bare", *ratio(r, OURS, URING, "cpu_us"))


def set_ex(bench: Bench):
    """What is judged goes on with new keys in each run, as tokens are revoked once; keys that are there
    already are shown beside it. Rewriting of redis' log and our snapshots are off."""
    rig, path = bench.rig, bench.requests.set()
    servers = {GROUP: Portcullis(rig, "portcullis-group"),
               ASYNC: Portcullis(rig, "portcullis-async", more={"durability": "async"})}
    others = {ALWAYS: redis.start(rig, "redis-always", "always"),
              EVERYSEC: redis.start(rig, "redis-everysec", "everysec")}
    cache = memcached.start(rig)
    for server in servers.values():
        server.start()
    for depth in (1, 16):
        first = depth * 10**9

        def contestant(name, peer, port=None, depth=depth, first=first):
            return Contestant(name, [peer], path, bench.resp_load(depth, first=first), port=port)
        r = bench.compare(f"SET EX, 64 connections, pipeline {depth}", [
            contestant(ASYNC, servers[ASYNC].peer, servers[ASYNC].resp_port), contestant(EVERYSEC, others[EVERYSEC]),
            contestant(GROUP, servers[GROUP].peer, servers[GROUP].resp_port), contestant(ALWAYS, others[ALWAYS]),
            Contestant("memcached set", [cache], bench.requests.memcached_set(),
                       bench.memcached_load(depth, first=first))])
        if depth == 16:
            bench.book.judge("set.async", *ratio(r, ASYNC, EVERYSEC), by_cpu(r, ASYNC, EVERYSEC))
            bench.book.judge("set.group", *ratio(r, GROUP, ALWAYS), by_cpu(r, GROUP, ALWAYS))
    set_again(bench, servers, others)


def set_again(bench: Bench, servers, others):
    """The same keys over and over, with expiries that are a little later each time."""
    count = bench.size["again"]
    again = [Contestant(name, [server.peer], bench.requests.set_again(count), bench.resp_load(16), port=server.resp_port)
             for name, server in servers.items()]
    again += [Contestant(name, [peer], bench.requests.set_again(count), bench.resp_load(16))
              for name, peer in others.items()]
    for c in again:
        bench.rig.load(c.port or c.servers[0].port, c.requests, protocol="resp", connections=16, depth=64, count=count)
    r = bench.compare(f"SET EX, 64 connections, pipeline 16, {count:,} keys that are there already", again)
    for ours, theirs in ((ASYNC, EVERYSEC), (GROUP, ALWAYS)):
        value, spread = ratio(r, ours, theirs)
        bench.book.show(f"keys that are there already: {ours} / {theirs}: rate", value, "x", spread)


def throttle(bench: Bench):
    rig, requests = bench.rig, bench.requests
    server = Portcullis(rig, "portcullis-throttle", more={"resp": {"throttle_keys": bench.size["throttle_keys"]}})
    peer, other = server.start(), redis.start(rig)
    script = redis.load_script(other.port, "gcra.redis.lua")
    for depth in (1, 16):
        load = bench.resp_load(depth)
        r = bench.compare(f"GCRA, 64 connections, pipeline {depth}", [
            Contestant("Portcullis CL.THROTTLE", [peer], requests.throttle("CL.THROTTLE"), load, port=server.resp_port),
            Contestant("redis-server, Lua script", [other], requests.throttle("EVALSHA", script, "1"), load)])
        ours, theirs = r
        bench.book.judge(f"throttle.{depth}", *ratio(r, ours, theirs), by_cpu(r, ours, theirs))


SECTIONS = {"exists": exists, "set": set_ex, "throttle": throttle}
