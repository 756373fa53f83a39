# SPDX-License-Identifier: Apache-2.0
"""haproxy with one thread: an answer of its own, behind a stick table, and behind a map and one."""
from rig import free_port

from . import REVOKED_PREFIX, write

BASE = """global
  nbthread 1
  maxconn 2000
  tune.http.maxhdr 200
defaults
  mode http
  timeout client 3600s
  timeout server 3600s
  timeout connect 10s
  timeout http-request 3600s
  timeout http-keep-alive 3600s
frontend perf
  bind 127.0.0.1:{port} backlog 4096
{rules}
  http-request return status 204
"""
# Where the ids come from: read from the token (whose signature is not looked at), or put in headers
# by something before us.
BY_TOKEN = {"id": "http_auth_bearer,jwt_payload_query('$.jti')", "subject": "http_auth_bearer,jwt_payload_query('$.sub')"}
BY_HEADERS = {"id": "hdr(x-jti)", "subject": "hdr(x-subject)"}
LIMIT = """  stick-table type string len 32 size 1m expire 60s store http_req_rate(10s)
  http-request track-sc0 {subject}
  http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt 2000000000 }}"""
MAP = "  http-request deny deny_status 401 if {{ {id},map_str({path}) -m found }}"


def write_map(rig, revoked):
    lines = (f"{REVOKED_PREFIX}{i:012} 1\n" for i in range(revoked))
    return write(rig.path("haproxy", f"revoked-{revoked}.map"), "".join(lines))


def start(rig, name, rules="", pinned=True):
    port = free_port()
    conf = write(rig.path(name, "haproxy.cfg"), BASE.format(port=port, rules=rules))
    return rig.add(name, ["haproxy", "-db", "-f", conf], rig.path(name), port, pinned).wait_up()


def plain(rig):
    return start(rig, "haproxy-return")


def limit(rig):
    return start(rig, "haproxy-limit", LIMIT.format(**BY_TOKEN))


def map_and_limit(rig, revoked, ids=None, name="haproxy-map"):
    rules = MAP + "\n" + LIMIT
    return start(rig, name, rules.format(path=write_map(rig, revoked), **(ids or BY_TOKEN)))


def map_only(rig, revoked):
    return start(rig, f"haproxy-map-{revoked}", MAP.format(path=write_map(rig, revoked), **BY_TOKEN), pinned=False)
