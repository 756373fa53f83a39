# SPDX-License-Identifier: Apache-2.0
"""nginx, one process: answers of its own, and as a gateway before an application."""
import os

from rig import free_port

from . import HERE, HOLD_S, REVOKED_PREFIX, write

MODULES = "/usr/lib/nginx/modules"
BASE = """{modules}
daemon off; master_process off; pid {directory}/pid; error_log stderr crit;
events {{ worker_connections 2048; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 3600s; large_client_header_buffers 8 16k;
  client_header_timeout 3600s; reset_timedout_connection off;
  client_body_temp_path {directory}/b; proxy_temp_path {directory}/p;
  fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
  {http}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    {server}
  }}
}}
"""
LUA_MODULES = f"load_module {MODULES}/ndk_http_module.so; load_module {MODULES}/ngx_http_lua_module.so;"
# The dictionaries are filled at the start; the size leaves room for 170 bytes an entry.
DICTIONARIES = """lua_package_path "{here}/?.lua;/usr/share/lua/5.1/?.lua;;";
  lua_shared_dict arrivals 16m; lua_shared_dict blacklist {mib}m;
  init_by_lua_block {{
    local blacklist, set = ngx.shared.blacklist, ngx.shared.blacklist.safe_set
    for i = 0, {revoked} - 1 do
      assert(set(blacklist, string.format("{prefix}%012d", i), 1, {hold}))
    end
  }}"""
LUA_ANSWER = 'location / {{ access_by_lua_block {{ return ngx.exit(require("decide").{how}() or 204) }} }}'
LIMIT_ZONE = "limit_req_zone $binary_remote_addr zone=each:16m rate=1000000r/s;"
LIMIT_SERVER = "limit_req zone=each burst=1000000 nodelay; limit_req_status 429;"

UPSTREAM = "upstream {name} {{ server {address}; keepalive 64; keepalive_requests 1000000000; keepalive_timeout 3600s; }}\n"
PROXY = 'proxy_http_version 1.1; proxy_set_header Connection "";'
TO_APPLICATION = PROXY + " proxy_pass http://application;"


def start(rig, name, http, server, modules="", pinned=True):
    port, directory = free_port(), rig.path(name)
    conf = write(os.path.join(directory, "nginx.conf"),
                 BASE.format(modules=modules, directory=directory, http=http, server=server, port=port))
    return rig.add(name, ["nginx", "-e", "stderr", "-p", directory, "-c", conf], directory, port, pinned).wait_up()


def dictionaries(revoked):
    return DICTIONARIES.format(here=HERE, mib=16 + revoked * 170 // 2**20, revoked=revoked, prefix=REVOKED_PREFIX,
                               hold=HOLD_S)


def plain(rig):
    return start(rig, "nginx-204", "", "location / { return 204; }")


def limited(rig):
    """By address, the usual way. limit_req works after return and before the content, so the answer
    is an empty GIF's."""
    return start(rig, "nginx-limit", LIMIT_ZONE, f"location / {{ {LIMIT_SERVER} empty_gif; }}")


def lua(rig, revoked, how="by_token", pinned=True):
    """how: where the ids come from, by_token or by_headers."""
    return start(rig, f"nginx-lua-{how}-{revoked}", dictionaries(revoked), LUA_ANSWER.format(how=how), LUA_MODULES,
                 pinned)


# --- as a gateway: each passes what is allowed on to the application ----------------------------


def application(port):
    return UPSTREAM.format(name="application", address=f"127.0.0.1:{port}")


def proxy(rig, upstream):
    return start(rig, "gateway-alone", application(upstream), f"location / {{ {TO_APPLICATION} }}")


def proxy_lua(rig, upstream, revoked):
    ask = 'access_by_lua_block { local refused = require("decide").by_token() if refused then return ngx.exit(refused) end }'
    return start(rig, "gateway-lua", application(upstream) + dictionaries(revoked),
                 f"location / {{ {ask} {TO_APPLICATION} }}", LUA_MODULES)


def proxy_redis(rig, upstream, redis_port, script):
    ask = (f'access_by_lua_block {{ local refused = require("ask_redis")({redis_port}, "{script}") '
           "if refused then return ngx.exit(refused) end }")
    return start(rig, "gateway-redis", application(upstream) + dictionaries(0),
                 f"location / {{ {ask} {TO_APPLICATION} }}", LUA_MODULES)


def proxy_portcullis(rig, name, upstream, address):
    """auth_request, with the least of what tools/examples/nginx.conf passes on: the subject."""
    ask = UPSTREAM.format(name="portcullis", address=address)
    return start(rig, name, application(upstream) + ask, f"""location / {{
      auth_request /_portcullis; auth_request_set $subject $upstream_http_x_portcullis_subject;
      proxy_set_header X-Portcullis-Subject $subject; {TO_APPLICATION}
    }}
    location = /_portcullis {{
      internal; proxy_pass http://portcullis/v1/auth/nginx; proxy_pass_request_body off; {PROXY}
      proxy_set_header Content-Length ""; proxy_set_header X-Original-URI $request_uri;
      proxy_set_header X-Original-Method $request_method; proxy_set_header X-Forwarded-Host $host;
      proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Request-ID $request_id;
    }}""")
