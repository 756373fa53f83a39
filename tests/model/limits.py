#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An independent model of rate limits: reads a trace of the server's table from standard input and
says where an answer differs from what the policy's definition demands.

It shares no formula with the C code. A policy is defined here by its history alone:

    gcra     every admitted cost c adds c intervals of debt, which melts as time passes; a cost
             passes when the debt with it is at most burst intervals. What was taken by one rule
             counts for another of the same key: strict mode may change in the middle
    window   costs are kept in a list by period; a cost passes when the costs of this period, what
             the previous period's still weigh (rounded up), and it, are at most the count

Waiting times are found by bisection over "would it pass then?", not computed.

Lines:  rule ID gcra|window COUNT PERIOD_NS BURST
        take|peek RULE KEY COST NOW = ALLOWED LIMIT REMAINING RESET RETRY   (RETRY -1: never)
        back KEY      the last admitted take of the key is undone
        reset KEY
"""
import sys
from fractions import Fraction

NEVER = -1


class Gcra:
    def __init__(self, count, period, burst):
        self.limit = burst
        self.interval = -(-period // count)

    def event(self, now, cost):
        return (now, cost * self.interval)

    def debt(self, events, now):
        """Of admitted (when, how much) in the order they came."""
        debt, last = 0, None
        for when, added in events:
            if last is not None:
                debt = max(0, debt - (when - last))
            debt, last = debt + added, when
        return 0 if last is None else max(0, debt - (now - last))

    def forget(self, events, now):
        return [] if self.debt(events, now) == 0 else events

    def passes(self, events, cost, now):
        return self.debt(events, now) + cost * self.interval <= self.limit * self.interval

    def remaining(self, events, now):
        return max(0, self.limit - Fraction(self.debt(events, now), self.interval).__ceil__())

    def clean(self, events, now):
        return self.debt(events, now) == 0

    def horizon(self):
        return 16 * self.interval * (self.limit + 1)


class Window:
    def __init__(self, count, period, _burst):
        self.limit, self.period = count, period

    def event(self, now, cost):
        return (now, cost)

    def used(self, events, now):
        index, elapsed = divmod(now, self.period)
        current = sum(c for when, c in events if when // self.period == index)
        before = sum(c for when, c in events if when // self.period == index - 1)
        return current + -(-before * (self.period - elapsed) // self.period)

    def forget(self, events, now):
        return [e for e in events if e[0] // self.period >= now // self.period - 1]

    def passes(self, events, cost, now):
        return self.used(events, now) + cost <= self.limit

    def remaining(self, events, now):
        return max(0, self.limit - self.used(events, now))

    def clean(self, events, now):
        return self.used(events, now) == 0

    def horizon(self):
        return 4 * self.period


def first_time(holds, now, horizon):
    """The least t >= 0 with holds(now + t), which stays true; NEVER beyond the horizon."""
    if holds(now):
        return 0
    low, high = 0, int(horizon)
    if not holds(now + high):
        return NEVER
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(now + middle) else (middle, high)
    return high


class Checker:
    def __init__(self):
        self.rules, self.keys, self.checked = {}, {}, 0

    def decide(self, words):
        kind, rule, key, cost, now = words[0], self.rules[words[1]], words[2], int(words[3]), int(words[4])
        events = rule.forget(self.keys.get(key, []), now)
        allowed = rule.passes(events, cost, now)
        retry = 0 if allowed else first_time(lambda t: rule.passes(events, cost, t), now, rule.horizon())
        if kind == "take" and allowed and cost:
            events = events + [rule.event(now, cost)]
        self.keys[key] = events
        reset = first_time(lambda t: rule.clean(events, t), now, rule.horizon())
        return [int(allowed), rule.limit, rule.remaining(events, now), reset, retry]

    def line(self, text):
        words = text.split()
        if words[0] == "rule":
            self.rules[words[1]] = {"gcra": Gcra, "window": Window}[words[2]](*map(int, words[3:6]))
        elif words[0] == "back":
            self.keys[words[1]] = self.keys[words[1]][:-1]
        elif words[0] == "reset":
            self.keys.pop(words[1], None)
        else:
            expected, said = self.decide(words), [int(w) for w in words[6:]]
            self.checked += 1
            if expected != said:
                return f"{' '.join(words[:5])}: the table says {said}, the model {expected}"
        return None


def main():
    checker = Checker()
    for number, text in enumerate(sys.stdin, 1):
        problem = checker.line(text)
        if problem:
            sys.exit(f"line {number}: {problem}")
    if checker.checked == 0:
        sys.exit("nothing was checked")
    print(f"{checker.checked} answers agree")


if __name__ == "__main__":
    main()
