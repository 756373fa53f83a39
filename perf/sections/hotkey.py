# SPDX-License-Identifier: Apache-2.0
"""Two threads that take from limits in one process: from one key, and from keys of their own."""
import json
import subprocess

from rig import CPUS, RETRIES, NEAR_NS, middle

from . import Bench

FILTER = "^two_threads/"


def hotkey(bench: Bench):
    rig, hot, spread = bench.rig, [], []
    for i in range(bench.options.rounds):
        rig.progress(f"hot limit key: round {i + 1} of {bench.options.rounds}")
        for _ in range(RETRIES if rig.near_only else 1):
            before_ns = rig.bounce_ns()
            out = subprocess.run([rig.tool("bench_limits"), f"--benchmark_filter={FILTER}", "--benchmark_format=json",
                                  f"--benchmark_min_time={bench.options.seconds / 2}"], check=True,
                                 capture_output=True, text=True).stdout
            rig.runs += 1
            if max(before_ns, rig.bounce_ns()) < NEAR_NS:
                break
            rig.set_aside += 1
        rates = {x["name"].split("own_keys:")[1][0]: 1e9 / x["real_time"] for x in json.loads(out)["benchmarks"]}
        hot.append(rates["0"])
        spread.append(rates["1"])
    for what, rates in (("one key", hot), ("keys of their own", spread)):
        median, bounds = middle(rates)
        bench.book.show(f"limit taken by 2 threads on {len(CPUS)} CPUs, {what}", median / 1e6, "M/s",
                        [b / 1e6 for b in bounds])
    each = [h / s for h, s in zip(hot, spread)]
    bench.book.judge("hotkey", middle(hot)[0] / middle(spread)[0], [min(each), max(each)])


SECTIONS = {"hotkey": hotkey}
