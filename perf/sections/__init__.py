# SPDX-License-Identifier: Apache-2.0
"""What perf/compare measures, by section. A section is a function of a Bench; its servers are
stopped behind it."""
import socket

from rig import Contestant

CONNECTIONS = 64
FULL = {"tokens": 1000, "keys": 200_000, "again": 100_000, "background": 1_000_000,
        "memory": (5_000_000, 10_000_000, 20_000_000), "memory_small": 1_000_000, "memory_memcached": 5_000_000, "restart": 10_000_000, "sessions": 5_000_000,
        "subjects": 1_000_000, "limit_keys": 10_000_000, "throttle_keys": 4 << 20,
        "throttle_rate": 1000}
QUICK = {"tokens": 50, "keys": 500, "again": 500, "background": 2_000, "memory": (5_000, 10_000, 20_000),
         "memory_small": 5_000, "memory_memcached": 5_000, "restart": 20_000, "sessions": 10_000,
         "subjects": 5_000, "limit_keys": 20_000, "throttle_keys": 1 << 16,
         "throttle_rate": 1_000_000}


def status_of(port, request):
    """The status of one answer, in a connection of its own."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as s, s.makefile("rb") as answer:
        s.sendall(request)
        return int(answer.readline().split()[1])


class Bench:
    """What the sections share: the rig, the requests, the options, and where results go."""

    def __init__(self, rig, requests, options, book):
        self.rig, self.requests, self.options, self.book = rig, requests, options, book
        self.size = requests.size

    def load(self, depth=1, **more):
        how = {"connections": CONNECTIONS, "depth": depth, "seconds": self.options.seconds, **more}
        return {**how, "warm_s": how["seconds"] / 10}

    def resp_load(self, depth, **more):
        return self.load(depth, protocol="resp", **more)

    def memcached_load(self, depth, **more):
        return self.load(depth, protocol="memcached", **more)

    def compare(self, title, contestants, figures=("cpu_us", "rate"), rounds=None):
        results = self.rig.compare(title, contestants, rounds or self.options.rounds)
        self.book.group(title, results, figures)
        return results

    def fill(self, port, count, first=0):
        """SET of count keys, or revocations, through RESP."""
        return self.rig.load(port, self.requests.set(), protocol="resp", connections=16, depth=64, count=count,
                             first=first)

    def fill_memcached(self, port, count):
        return self.rig.load(port, self.requests.memcached_set(), protocol="memcached", connections=16, depth=64,
                             count=count)

    @staticmethod
    def must_answer(peer, request, status):
        """Before it is measured, that it does its work: what is revoked is refused."""
        found = status_of(peer.port, request)
        if found != status:
            raise RuntimeError(f"{peer.name}: answered {found}, expected {status}: {request[:200]}")


__all__ = ["Bench", "Contestant", "CONNECTIONS", "FULL", "QUICK", "status_of"]
