# SPDX-License-Identifier: Apache-2.0
"""What an adopter pays: CPU time of all processes for one request that passes nginx to an
application (the bare responder, whose own time is shown apart)."""
from peers import nginx, redis
from peers.portcullis import RULES

from . import Bench, Contestant
from .http import portcullis

ALONE = "nginx alone"


def gateway(bench: Bench):
    rig, requests, size = bench.rig, bench.requests, bench.size
    application = rig.bare("uring", "http")
    server = portcullis(bench, "portcullis-gateway", RULES)
    other = redis.start(rig)
    bench.fill(other.port, size["background"])
    script = redis.load_script(other.port, "decide.redis.lua")
    lua = nginx.proxy_lua(rig, application.port, size["background"])
    asking = nginx.proxy_redis(rig, application.port, other.port, script)
    tcp = nginx.proxy_portcullis(rig, "gateway-tcp", application.port, f"127.0.0.1:{server.http_port}")
    unix = nginx.proxy_portcullis(rig, "gateway-unix", application.port, "unix:" + server.unix_path)
    for gate in (lua, asking):
        bench.must_answer(gate, requests.revoked_application_request(size["background"] - 1), 401)
    for gate in (tcp, unix):
        bench.must_answer(gate, requests.application_request(requests.revoked_token), 401)
    asked = {ALONE: [nginx.proxy(rig, application.port)], "nginx + Lua dictionary": [lua],
             "nginx + Lua asking redis": [asking, other],
             "nginx auth_request -> Portcullis, TCP": [tcp, server.peer],
             "nginx auth_request -> Portcullis, Unix socket": [unix, server.peer]}
    path = requests.application("200")
    r = bench.compare("Through nginx to an application, 64 connections", [
        Contestant(name, servers, path, bench.load(), beside=[application]) for name, servers in asked.items()])
    for name in list(r)[1:]:
        bench.book.show(f"{name}: CPU above nginx alone", r[name]["cpu_us"] - r[ALONE]["cpu_us"], "us",
                        note=f"all processes; {r[name]['cpu_us'] / r[ALONE]['cpu_us']:.2f} x nginx alone")


SECTIONS = {"gateway": gateway}
