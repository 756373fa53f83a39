# SPDX-License-Identifier: Apache-2.0
"""Decisions while something else goes on: segments are rebuilt, snapshots written, and flags, IP
rules or the whole configuration replaced. The servers are not pinned here: core, writer and both
generators share the CPUs."""
import http.client
import json
import threading
from contextlib import nullcontext
from statistics import median

from peers.portcullis import RULES, Portcullis

from . import Bench

ASK_EVERY_S = 0.01


def row(bench, what, runs, note):
    p99 = sorted(r["p99_us"] for r in runs)
    bench.book.show(what, median(p99), "us", [p99[0], p99[-1]], note)


def tail(bench: Bench):
    """Undisturbed; while a flag is set again and again, each time a new view; with inserts, so that
    segments are rebuilt; with inserts and snapshots one after another."""
    phases = {"quiet": ("24h", None), "flags swapped": ("24h", flags_beside), "rebuilds": ("24h", inserts_beside),
              "rebuilds and snapshots": ("1s", inserts_beside)}
    for phase, (interval, disturb) in phases.items():
        server = Portcullis(bench.rig, "portcullis-tail-" + phase.replace(" ", "-"), pinned=False,
                            more={"journal": {"snapshot_interval": interval}})
        peer, runs = server.start(), []
        bench.fill(server.resp_port, bench.size["background"])
        for i in range(bench.options.rounds):
            bench.rig.progress(f"p99 of decisions, {phase}: round {i + 1} of {bench.options.rounds}")
            with disturb(bench, server, i) if disturb else nullcontext():
                runs.append(bench.rig.load(server.http_port, bench.requests.auth(), connections=16,
                                           warm_s=bench.options.seconds / 4, seconds=bench.options.seconds))
        bench.rig.stop(peer)
        row(bench, f"p99 of decisions, {phase}", runs, f"p50 {median(r['p50_us'] for r in runs):.0f} us")


def flags_beside(bench, server, turn):
    """One connection, one at a time, until it is stopped."""
    path = bench.requests.flag_change(bench.rig, server.admin_token)
    return bench.rig.load_beside(server.http_port, path, connections=1, first=turn * 10**8)


def inserts_beside(bench, server, turn):
    """One connection, sixteen at a time, until it is stopped."""
    return bench.rig.load_beside(server.resp_port, bench.requests.set(), protocol="resp", connections=1, depth=16,
                                 first=(turn + 1) * 10**8)


def swaps(bench: Bench):
    """Each phase replaces one kind of snapshot as fast as it is acknowledged, about a hundred times
    a second; the first changes nothing but sends as many requests, and the second is journaled like
    the others but replaces nothing: what the writer's own work costs where it has no CPU to itself."""
    phases = {
        "asking only": lambda i: ("GET", "/flags/cache.ttl_seconds", None),
        "revocations": lambda i: ("POST", "/v1/revoke", {"kind": "token", "id": f"swaps-{i}", "ttl": 60}),
        "flags": lambda i: ("POST", "/flags/cache.ttl_seconds", {"value": i, "ephemeral": True}),
        "IP rules": lambda i: ("POST", "/admin/ip-rules", {"cidr": f"198.51.100.{i % 250}/32", "action": "deny",
                                                           "reason": "perf", "ttl": 60}),
        "configuration and keys": lambda i: ("POST", "/admin/reload", None),
    }
    server = Portcullis(bench.rig, "portcullis-swaps", pinned=False, more=RULES)
    server.start()
    bench.fill(server.resp_port, bench.size["background"])
    results = {phase: [] for phase in phases}
    for i in range(bench.options.rounds):
        for phase, request in phases.items():
            bench.rig.progress(f"p99 of decisions, {phase}: round {i + 1} of {bench.options.rounds}")
            with Asking(server, request) as asking:
                r = bench.rig.load(server.http_port, bench.requests.auth(), connections=16,
                                   warm_s=bench.options.seconds / 4, seconds=bench.options.seconds)
            results[phase].append({**r, "swaps": asking.done})
    for phase, runs in results.items():
        row(bench, f"p99 of decisions, {phase}", runs, f"{sum(r['swaps'] for r in runs)} requests beside")


class Asking(threading.Thread):
    """One administrator's connection, a request every ten milliseconds."""

    def __init__(self, server, request):
        super().__init__()
        self.server, self.request, self.done, self.failure = server, request, 0, None
        self.enough = threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.enough.set()
        self.join()
        if self.failure or self.done == 0:
            raise RuntimeError(self.failure or "nothing was replaced")

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.http_port, timeout=30)
        while not self.failure and not self.enough.wait(ASK_EVERY_S):
            method, path, body = self.request(self.done)
            connection.request(method, path, json.dumps(body) if body else None,
                               {"Authorization": f"Bearer {self.server.admin_token}",
                                "Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read()
            if response.status not in (200, 201):
                self.failure = f"{method} {path}: {response.status} {text[:200]}"
            self.done += 1
        connection.close()


SECTIONS = {"tail": tail, "swaps": swaps}
