# SPDX-License-Identifier: Apache-2.0
"""Resident memory per entry, and what a restart with all of them takes."""
import os
import statistics
import time

from peers import haproxy, memcached, nginx, redis
from peers.portcullis import Portcullis
from rig import middle

from . import Bench

RESTARTS_MAX = 3


def grown(bench, peer, port, sizes, what):
    """Bytes per entry at each size; the server keeps growing from one to the next."""
    empty, count, found = peer.settled_bytes(), 0, []
    for size in sizes:
        bench.rig.progress(f"memory: {what}: {size:,}")
        filled = bench.fill(port, size - count, first=count)
        found.append((peer.settled_bytes() - empty) / size)
        bench.book.show(f"{what}: resident per entry, {size:,}", found[-1], "B",
                        note=f"the last {size - count:,} loaded in {filled['seconds']:.1f} s")
        count = size
    return found


def memory(bench: Bench):
    server = Portcullis(bench.rig, "portcullis-memory", pinned=False)
    peer = server.start()
    bench.book.show("Portcullis, empty: resident", peer.settled_bytes() / 2**20, "MiB")
    ours = grown(bench, peer, server.resp_port, bench.size["memory"], "Portcullis, revoked token")
    bench.rig.stop(peer)
    other = redis.start(bench.rig, pinned=False)
    theirs = grown(bench, other, other.port, bench.size["memory"], "redis-server, key")
    bench.rig.stop(other)
    mean, pairs = statistics.mean(ours), [a / b for a, b in zip(ours, theirs)]
    bench.book.judge("memory.bytes", mean, [min(ours), max(ours)])
    bench.book.judge("memory.redis", mean / statistics.mean(theirs), [min(pairs), max(pairs)])
    others(bench)


def others(bench):
    """Smaller, where the big sizes are unreasonable; nginx and haproxy are filled at their start."""
    count, cached = bench.size["memory_small"], bench.size["memory_memcached"]
    cache = memcached.start(bench.rig, pinned=False)
    empty = cache.settled_bytes()
    bench.fill_memcached(cache.port, cached)
    bench.book.show(f"memcached, key: resident per entry, {cached:,}", (cache.settled_bytes() - empty) / cached, "B")
    bench.rig.stop(cache)
    for what, start in (("nginx Lua dictionary", lambda n: nginx.lua(bench.rig, n, pinned=False)),
                        ("haproxy map", lambda n: haproxy.map_only(bench.rig, n))):
        bytes_of = []
        for n in (1, count):
            bench.rig.progress(f"memory: {what}: {n:,}")
            peer = start(n)
            bytes_of.append(peer.settled_bytes())
            bench.rig.stop(peer)
        bench.book.show(f"{what}: resident per entry, {count:,}", (bytes_of[1] - bytes_of[0]) / count, "B")


def kinds(bench: Bench):
    """Revoked sessions and users, and keys of limits. The limits' table is like those of all
    policies; it is filled to the brim, where three of a thousand keys find no room any more."""
    server = Portcullis(bench.rig, "portcullis-kinds", pinned=False)
    peer = server.start()
    for kind in ("session", "subject"):
        before, count = peer.settled_bytes(), bench.size[kind + "s"]
        bench.rig.progress(f"memory: {kind}: {count:,}")
        batches = bench.requests.revoke_batches(bench.rig, kind, server.admin_token)
        bench.rig.load(server.http_port, batches, connections=4, depth=2, count=count // 500)
        bench.book.show(f"Portcullis, revoked {kind}: resident per entry, {count:,}",
                        (peer.settled_bytes() - before) / count, "B")
    bench.rig.stop(peer)
    count = bench.size["limit_keys"]
    server = Portcullis(bench.rig, "portcullis-limit-keys", pinned=False, more={"resp": {"throttle_keys": count}})
    peer = server.start()
    empty = peer.settled_bytes()
    bench.rig.load(server.resp_port, bench.requests.throttle_fill(), protocol="resp", connections=16, depth=64,
                   count=count)
    bench.book.show(f"Portcullis, key of a limit: resident per entry, {count:,}",
                    (peer.settled_bytes() - empty) / count, "B")


def timed(start):
    began = time.monotonic()
    peer = start()
    return peer, time.monotonic() - began


def restart(bench: Bench):
    """From the start of the program until it answers, everything loaded; files in the page cache."""
    count, times = bench.size["restart"], min(bench.options.rounds, RESTARTS_MAX)
    server = Portcullis(bench.rig, "portcullis-restart", pinned=False)
    bench.fill((server.start(), server.resp_port)[1], count)
    ours, theirs = [], []
    other = redis.start(bench.rig, pinned=False)
    bench.fill(other.port, count)
    if redis.ask(other.port, "SAVE") != "+OK":
        raise RuntimeError("redis did not save")
    bench.rig.stop(server.peer, other)
    for _ in range(times):
        bench.rig.progress(f"restart with {count:,}")
        peer, seconds = timed(server.start)
        ours.append(seconds)
        if redis.ask(server.resp_port, "EXISTS", f"bl:01900000-0000-7000-8000-{count - 1:012}") != ":1":
            raise RuntimeError("a revocation was lost")
        bench.rig.stop(peer)
        peer, seconds = timed(lambda: redis.start(bench.rig, pinned=False))
        theirs.append(seconds)
        if redis.ask(peer.port, "DBSIZE") != f":{count}":
            raise RuntimeError("redis lost keys")
        bench.rig.stop(peer)
    size = os.path.getsize(bench.rig.path("redis", "dump.rdb")) / 2**20
    for what, seconds, note in (("Portcullis: start", ours, ""),
                                ("redis-server: start", theirs, f"an RDB file of {size:.0f} MiB")):
        median, spread = middle(seconds)
        bench.book.show(f"{what} with {count:,}", median, "s", spread, note)
    pairs = [a / b for a, b in zip(ours, theirs)]
    bench.book.judge("restart.redis", middle(ours)[0] / middle(theirs)[0], [min(pairs), max(pairs)])


SECTIONS = {"memory": memory, "kinds": kinds, "restart": restart}
