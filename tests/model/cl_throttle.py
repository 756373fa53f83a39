#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An independent model of CL.THROTTLE: reads a trace of answers from standard input and says where
one differs from what redis-cell 0.5 answers, every value of it.

Written from redis-cell's documented behaviour and what its released version computes: times are
whole nanoseconds in Python integers, and where it goes by way of a 64-bit float so does this
(Python's float is one). What it stores is a theoretical arrival time for each key.

Lines:  throttle KEY MAX_BURST COUNT PERIOD QUANTITY NOW_NS = LIMITED LIMIT REMAINING RETRY RESET
        throttle … = error NAME          (zero_rate, expire)
"""
import math
import sys

I64_MAX, I64_MIN = 2**63 - 1, -(2**63)


def towards_zero(a, b):
    return abs(a) // abs(b) * (1 if (a >= 0) == (b > 0) else -1)


def to_i64(x):
    """What a cast from float to a 64-bit integer gives: saturated, and 0 for what is no number."""
    if math.isnan(x):
        return 0
    return I64_MAX if x >= 2.0**63 else I64_MIN if x <= -(2.0**63) else int(x)


def divide(a, b):
    if b:
        return a / b
    return math.nan if a == 0 else math.copysign(math.inf, a)


def as_seconds(ns):
    whole = towards_zero(ns, 10**9)
    rest = ns - whole * 10**9
    return to_i64(float(whole) + float(rest) / 1e9) + (1 if towards_zero(rest, 10**6) > 0 else 0)


class Cell:
    def __init__(self):
        self.arrival = {}

    def throttle(self, key, max_burst, count, period, quantity, now):
        ns = period * 10**9
        interval = 0 if count == 0 or ns == 0 else to_i64(float(ns) / float(count))
        if interval == 0:
            return ["error", "zero_rate"]
        tolerance = interval * (max_burst + 1)
        stored = self.arrival.get(key)
        arrival = now if stored is None or stored < now else stored
        increment = interval * quantity
        then = arrival + increment
        early = now - (then - tolerance)
        retry, limited = -(10**9), early < 0
        if limited:
            if increment <= tolerance:
                retry = -early
            ttl = arrival - now
        else:
            ttl = then - now
            if towards_zero(ttl, 10**6) < 0:
                return ["error", "expire"]
            self.arrival[key] = then
        left, remaining = tolerance - ttl, 0
        if left > -interval:
            remaining = to_i64(divide(float(towards_zero(left, 1000)), float(towards_zero(interval, 1000))))
        return [str(v) for v in (int(limited), max_burst + 1, remaining, as_seconds(retry), as_seconds(ttl))]


def main():
    cell, checked = Cell(), 0
    for number, text in enumerate(sys.stdin, 1):
        words = text.split()
        expected = cell.throttle(words[1], *map(int, words[2:7]))
        if expected != words[8:]:
            sys.exit(f"line {number}: {' '.join(words[:7])}: said {words[8:]}, the model {expected}")
        checked += 1
    if checked == 0:
        sys.exit("nothing was checked")
    print(f"{checked} answers agree")


if __name__ == "__main__":
    main()
