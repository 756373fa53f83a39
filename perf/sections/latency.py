# SPDX-License-Identifier: Apache-2.0
"""Latency at rates that do not depend on the answers: at half and at four fifths of what nginx can
answer at most, and of known good tokens while one core is full of bad ones."""
import time
from dataclasses import replace

from peers import nginx, redis
from peers.portcullis import RULES
from rig import middle, ratio, summary

from . import Bench, Contestant, status_of
from .http import FULL_DECISION, NGINX, URING, portcullis

GOOD_PER_S = 5000
SHARES = (50, 80)  # per cent of nginx's saturation
PIECES = 4  # a round's seconds in so many alternations: what disturbs a tail then spoils few of them


def open_loop(bench: Bench):
    rig, requests = bench.rig, bench.requests
    ours, bare, other = portcullis(bench, "portcullis-open", RULES), rig.bare("uring", "http"), nginx.plain(rig)
    cache = redis.start(rig)
    bench.fill(cache.port, bench.size["background"])
    r = bench.compare("Closed loop: nginx saturated", [Contestant(NGINX, [other], requests.application(), bench.load())])
    for share in SHARES:
        rate = round(r[NGINX]["rate"] * share / 100)
        seconds = max(bench.options.seconds / PIECES, 0.2)
        load = bench.load(rate=rate, seconds=seconds)
        found = bench.compare(f"Open loop, Poisson arrivals, {rate:,}/s: {share} % of that", [
            Contestant(FULL_DECISION, [ours.peer], requests.auth(), load),
            Contestant(URING, [bare], requests.auth(), load), Contestant(NGINX, [other], requests.application(), load),
            Contestant("redis-server EXISTS", [cache], requests.exists(), bench.resp_load(1, rate=rate, seconds=seconds))],
            ("p50_us", "p99_us"), 1 if bench.options.quick else PIECES * bench.options.rounds)
        for quantile in ("p50", "p99"):
            for key, name in ((f"open.{share}.{quantile}", URING), (f"open.{share}.nginx.{quantile}", NGINX)):
                bench.book.judge(key, *ratio(found, FULL_DECISION, name, quantile + "_us"))


def flood(bench: Bench):
    """As many bad tokens as 64 connections can ask about, all different, fill the core; the signature
    budget and shedding are those of the default configuration. Good tokens, all seen before, come
    beside them at a rate of their own."""
    rig, requests = bench.rig, bench.requests
    peer = portcullis(bench, "portcullis-flood", {**RULES, "signature_budget": None, "limits": None}).peer
    for token in requests.good:
        if status_of(peer.port, requests.auth_request(token)) != 200:
            raise RuntimeError("a good token was refused before the flood")
    load = {"connections": 8, "rate": GOOD_PER_S, "warm_s": bench.options.seconds / 10,
            "seconds": max(bench.options.seconds / PIECES * 2, 0.2)}
    quiet, flooded = Contestant("quiet", [peer], requests.auth(), load), []

    def under_flood():
        with rig.load_beside(peer.port, requests.bad_tokens(), connections=64, first=len(flooded) * 10**9) as bad:
            began = time.monotonic()
            result = rig.one_run(replace(quiet, load_beside=bad))
            seconds = time.monotonic() - began
        flooded.append(bad.answered / seconds)
        return result
    runs = {"quiet": [], "flood": []}
    rounds = 1 if bench.options.quick else PIECES * bench.options.rounds
    for i in range(rounds):
        rig.progress(f"flood of bad tokens: round {i + 1} of {rounds}")
        runs["quiet"].append(rig.one_run(quiet))
        peer.resume()
        runs["flood"].append(under_flood())
    results = {name: summary(r) for name, r in runs.items()}
    for name, r in results.items():
        bench.book.show(f"known good tokens, {GOOD_PER_S:,}/s, {name}: p99", r["p99_us"], "us", r["p99_us_range"],
                        f"p50 {r['p50_us']:.0f} us")
    bench.book.show("bad tokens refused beside them", middle(flooded)[0] / 1e3, "k/s", [x / 1e3 for x in middle(flooded)[1]])
    bench.book.judge("flood.p99", *ratio(results, "flood", "quiet", "p99_us"))


SECTIONS = {"open": open_loop, "flood": flood}
