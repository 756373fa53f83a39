# SPDX-License-Identifier: Apache-2.0
"""Latency at rates that do not depend on the answers: at half and at four fifths of what nginx can
answer at most, and of known good tokens while one core is full of bad ones."""
from peers import nginx, redis
from peers.portcullis import RULES
from rig import ratio

from . import Bench, Contestant
from .http import FULL_DECISION, NGINX, URING, portcullis

SHARES = (50, 80)  # per cent of nginx's saturation


def open_loop(bench: Bench):
    rig, requests = bench.rig, bench.requests
    ours, bare, other = portcullis(bench, "portcullis-open", RULES), rig.bare("uring", "http"), nginx.plain(rig)
    cache = redis.start(rig)
    bench.fill(cache.port, bench.size["background"])
    r = bench.compare("Closed loop: nginx saturated", [Contestant(NGINX, [other], requests.application(), bench.load())])
    for share in SHARES:
        rate = round(r[NGINX]["rate"] * share / 100)
        load = bench.load(rate=rate)
        found = bench.compare(f"Open loop, Poisson arrivals, {rate:,}/s: {share} % of that", [
            Contestant(FULL_DECISION, [ours.peer], requests.auth(), load),
            Contestant(URING, [bare], requests.auth(), load), Contestant(NGINX, [other], requests.application(), load),
            Contestant("redis-server EXISTS", [cache], requests.exists(), bench.resp_load(1, rate=rate))])
        for quantile in ("p50", "p99"):
            for key, name in ((f"open.{share}.{quantile}", URING), (f"open.{share}.nginx.{quantile}", NGINX)):
                bench.book.judge(key, *ratio(found, FULL_DECISION, name, quantile + "_us"))


SECTIONS = {"open": open_loop}
