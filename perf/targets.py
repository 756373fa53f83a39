# SPDX-License-Identifier: Apache-2.0
"""What has to be reached, one row each; perf/compare prints every one of them with what it measured.
A section that ran without judging all of its targets is an error."""

AT_MOST, AT_LEAST = "<=", ">="

# id: (section, what is measured, how it is compared, limit, unit)
TARGETS = {
    "gate.bare": ("pipeline", "full decision, pipeline 16 (the gate): CPU above bare io_uring", AT_MOST, 0.6, "us"),
    "gate.nginx": ("pipeline", "full decision, pipeline 16 (the gate): rate / nginx return 204", AT_LEAST, 6, "x"),
    "http.bare": ("http", "full decision, 64 connections: CPU / bare io_uring", AT_MOST, 1.15, "x"),
    "http.nginx": ("http", "full decision, 64 connections: rate / nginx return 204", AT_LEAST, 1.35, "x"),
    "http.lua": ("http", "full decision, 64 connections: rate / nginx + Lua blacklist and limit", AT_LEAST, 2.8, "x"),
    "http.haproxy": ("http", "full decision, 64 connections: rate / haproxy map + stick table", AT_LEAST, 2.2, "x"),
    "check.bare": ("check", "POST /v1/check, 2 limits, 2 flags: CPU / bare io_uring", AT_MOST, 1.6, "x"),
    "exists.1.redis": ("exists", "EXISTS, pipeline 1: rate / redis", AT_LEAST, 1.5, "x"),
    "exists.16.redis": ("exists", "EXISTS, pipeline 16: rate / redis", AT_LEAST, 3, "x"),
    "exists.64.redis": ("exists", "EXISTS, pipeline 64: rate / redis", AT_LEAST, 5, "x"),
    "exists.1.bare": ("exists", "EXISTS, pipeline 1: CPU / bare io_uring", AT_MOST, 1.1, "x"),
    "exists.16.bare": ("exists", "EXISTS, pipeline 16: CPU / bare io_uring", AT_MOST, 1.8, "x"),
    "exists.64.bare": ("exists", "EXISTS, pipeline 64: CPU / bare io_uring", AT_MOST, 2.5, "x"),
    "throttle.1": ("throttle", "CL.THROTTLE, pipeline 1: rate / redis with the Lua script", AT_LEAST, 2.5, "x"),
    "throttle.16": ("throttle", "CL.THROTTLE, pipeline 16: rate / redis with the Lua script", AT_LEAST, 12, "x"),
    "set.async": ("set", "SET EX, pipeline 16, async: rate / redis appendfsync everysec", AT_LEAST, 2, "x"),
    "set.group": ("set", "SET EX, pipeline 16, group: rate / redis appendfsync always", AT_LEAST, 1.5, "x"),
    "memory.bytes": ("memory", "memory per revoked token, mean over the sizes", AT_MOST, 24, "B"),
    "memory.redis": ("memory", "memory per revoked token / per key in redis", AT_MOST, 0.2, "x"),
    "restart.redis": ("restart", "restart with all of them / redis loading its RDB file", AT_MOST, 0.125, "x"),
    "open.50.p50": ("open", "open loop at 50 % of nginx: p50 / bare io_uring", AT_MOST, 1.2, "x"),
    "open.50.p99": ("open", "open loop at 50 % of nginx: p99 / bare io_uring", AT_MOST, 1.5, "x"),
    "open.50.nginx.p50": ("open", "open loop at 50 % of nginx: p50 / nginx", AT_MOST, 1, "x"),
    "open.50.nginx.p99": ("open", "open loop at 50 % of nginx: p99 / nginx", AT_MOST, 1, "x"),
    "open.80.p50": ("open", "open loop at 80 % of nginx: p50 / bare io_uring", AT_MOST, 1.2, "x"),
    "open.80.p99": ("open", "open loop at 80 % of nginx: p99 / bare io_uring", AT_MOST, 1.5, "x"),
    "open.80.nginx.p50": ("open", "open loop at 80 % of nginx: p50 / nginx", AT_MOST, 1, "x"),
    "open.80.nginx.p99": ("open", "open loop at 80 % of nginx: p99 / nginx", AT_MOST, 1, "x"),
    "flood.p99": ("flood", "p99 of known good tokens: flood of bad ones / quiet", AT_MOST, 3, "x"),
    "hotkey": ("hotkey", "one limit key from 2 threads: rate / spread keys", AT_LEAST, 0.5, "x"),
}


def holds(comparison, value, limit):
    return value <= limit if comparison == AT_MOST else value >= limit


def of_section(section):
    return [key for key, target in TARGETS.items() if target[0] == section]
