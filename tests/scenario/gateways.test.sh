#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The example configurations of tools/examples in front of an application: real gateways, the real
# server. Envoy and Traefik are not in Debian; of Envoy the requests it would send are checked.
root=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tests/scenario/lib/serve.sh
. "$root/tests/scenario/lib/serve.sh"
PATH=$PATH:/usr/sbin
serve_dev --config tools/examples/demo.yaml
application=$(free_port)
node "$root/tests/scenario/lib/upstream.mjs" "$application" 9>&- &
started+=($!)

mint() { "$PC_BIN/portcullis" token mint --ttl 15m "$@"; }
status() { # URL curl options...
    curl -s -o "$work/body" -w '%{http_code}' --path-as-is "$@"
}
answers() { [ "$(status "http://127.0.0.1:$1/")" != 000 ]; }
until_true "the application" answers "$application"

# The example with its addresses replaced by ours.
example() { # file, port of the gateway
    sed "s/127\.0\.0\.1:8080/$http/g; s/127\.0\.0\.1:9000/127.0.0.1:$application/g; s/127\.0\.0\.1:8000/127.0.0.1:$2/g" \
        "$root/tools/examples/$1"
}

ports=()

# What every gateway has to do. Identity is compared as the application saw it; nginx leaves empty
# headers out, others pass them on empty: jq's // makes them the same.
check_gateway() { # name, port
    local name=$1 gateway=http://127.0.0.1:$2 token seen code
    token=$(mint --sub alice --client web --scope 'read write')
    expect "$name: a valid token is let through" 200 \
        "$(status "$gateway/things?a=1" -H "Authorization: Bearer $token" -H 'X-Portcullis-Subject: root' \
            -H 'X-Portcullis-Session: forged' -H 'X-Portcullis-Roles: admin')"
    seen=$(jq -r '[.path, (.headers | .["x-portcullis-subject"], .["x-portcullis-client"], .["x-portcullis-scopes"],
        .["x-portcullis-issuer"], .["x-portcullis-session"] // "", .["x-portcullis-roles"] // "")] | join("|")' "$work/body")
    expect "$name: the application sees who it is, and nothing the client forged" \
        "/things?a=1|alice|web|read write|portcullis-dev||" "$seen"
    expect "$name: a body reaches the application" 200 \
        "$(status "$gateway/things" -H "Authorization: Bearer $token" -d 'some=body')"
    expect "$name: no token is 401" 401 "$(status "$gateway/things" -D "$work/headers")"
    if grep -qi '^www-authenticate: bearer' "$work/headers"; then
        pass "$name: the challenge reaches the client"
    else
        fail "$name: the challenge reaches the client" "$(cat "$work/headers")"
    fi
    expect "$name: a broken token is 401" 401 "$(status "$gateway/" -H "Authorization: Bearer ${token}x")"
    for path in /a%2fb '/..%5cadmin' /a%252e%252e/b /../x '/a/..;/b'; do
        code=$(status "$gateway$path" -H "Authorization: Bearer $token")
        expect "$name: $path is refused" 400 "$code"
    done
    check_rules "$name" "$gateway"
    "$PC_BIN/portcullis" revoke --token-file - <<<"$token" >"$work/revoked.log" 2>&1 ||
        fail "$name: revoking" "$(cat "$work/revoked.log")"
    expect "$name: the revoked token is 401 at once" 401 "$(status "$gateway/things" -H "Authorization: Bearer $token")"
}

field() { sed -n "s/^$1: \(.*\)\r$/\1/Ip" "$work/headers"; } # name: of the last answer

# Routes, limits and flags of demo.yaml, as clients and the application see them.
check_rules() { # name, URL
    local name=$1 gateway=$2 token i
    token=$(mint --sub "buyer-$name")
    expect "$name: a route with a limit and flags" 200 \
        "$(status "$gateway/orders/1" -D "$work/headers" -H "Authorization: Bearer $token" -H 'X-Portcullis-Flags: forged' \
            -H 'X-Portcullis-Route: forged')"
    expect "$name: the application gets the route and its flags" 'orders|{"shop.new_checkout":false,"shop.max_items":20}' \
        "$(jq -r '.headers | .["x-portcullis-route"] + "|" + .["x-portcullis-flags"]' "$work/body")"
    expect "$name: the client is told what is left" '"orders";r=4;t=120 of "orders";q=5;w=600' \
        "$(field ratelimit) of $(field ratelimit-policy)"
    expect "$name: a route without flags gets none from the client" 200 \
        "$(status "$gateway/things" -H "Authorization: Bearer $token" -H 'X-Portcullis-Flags: forged')"
    expect "$name: the application sees none" "" "$(jq -r '.headers["x-portcullis-flags"] // ""' "$work/body")"
    expect "$name: another method needs a scope" 403 \
        "$(status "$gateway/orders/1" -D "$work/headers" -X PUT -d x -H "Authorization: Bearer $token")"
    expect "$name: the client is told which" 'Bearer realm="portcullis", error="insufficient_scope", error_description="the token lacks a scope this needs", scope="orders:write"' \
        "$(field www-authenticate)"
    for i in 2 3 4 5; do
        expect "$name: request $i of 5" 200 "$(status "$gateway/orders/1" -H "Authorization: Bearer $token")"
    done
    expect "$name: the sixth is 429" 429 "$(status "$gateway/orders/1" -D "$work/headers" -H "Authorization: Bearer $token")"
    expect "$name: with Retry-After and what is left" "1|\"orders\";r=0" \
        "$(field retry-after | grep -cE '^1[0-9][0-9]$')|$(field ratelimit | cut -d';' -f1-2)"
    expect "$name: a route without token" 200 "$(status "$gateway/healthz")"
    for i in 'X-Forwarded-Uri: /healthz' 'X-Original-URL: /healthz' 'X-Original-URI: /healthz'; do
        expect "$name: the client cannot choose its route by $i" 401 "$(status "$gateway/orders/1" -H "$i")"
    done
    for i in 'X-Forwarded-Method: GET' 'X-Original-Method: GET'; do
        expect "$name: nor its method by $i" 403 \
            "$(status "$gateway/orders/1" -X PUT -d x -H "$i" -H "Authorization: Bearer $token")"
    done
    expect "$name: nor its address" 200 "$(status "$gateway/staff/" -H 'X-Forwarded-For: 203.0.113.9' \
        -H "Authorization: Bearer $(mint --sub clerk --roles staff)")"
    "$PC_BIN/portcullis" flags set maintenance.mode_enabled true >"$work/flags.log" 2>&1
    expect "$name: maintenance is 503" 503 "$(status "$gateway/things" -D "$work/headers" -H "Authorization: Bearer $token")"
    expect "$name: with Retry-After" 30 "$(field retry-after)"
    expect "$name: but not for probes" 200 "$(status "$gateway/healthz")"
    "$PC_BIN/portcullis" flags unset maintenance.mode_enabled >"$work/flags.log" 2>&1
}

nginx_example() {
    local port
    port=$(free_port)
    example nginx.conf "$port" >"$work/site.conf"
    cat >"$work/nginx.conf" <<END
daemon off;
worker_processes 1;
pid $work/nginx.pid;
error_log $work/nginx.log notice;
events {}
http {
    access_log off;
    client_body_temp_path $work/nginx-body;
    proxy_temp_path $work/nginx-proxy;
    fastcgi_temp_path $work/nginx-fastcgi;
    uwsgi_temp_path $work/nginx-uwsgi;
    scgi_temp_path $work/nginx-scgi;
    include $work/site.conf;
}
END
    nginx -p "$work" -c "$work/nginx.conf" >"$work/nginx-start.log" 2>&1 9>&- &
    started+=($!)
    ports[0]=$port
    until_true nginx answers "$port" && check_gateway nginx "$port"
}

haproxy_example() {
    local port
    port=$(free_port)
    example haproxy.cfg "$port" >"$work/haproxy.cfg"
    cp "$root/tools/examples/haproxy.lua" "$work/"
    haproxy -f "$work/haproxy.cfg" >"$work/haproxy.log" 2>&1 9>&- &
    started+=($!)
    ports[1]=$port
    until_true haproxy answers "$port" && check_gateway haproxy "$port"
}

# Envoy's ext_authz sends the original method and path behind the prefix of envoy.yaml.
envoy_requests() {
    local prefix=http://$http/v1/auth/envoy token path
    token=$(mint --sub alice)
    expect "envoy: POST behind the prefix is allowed" 200 \
        "$(status "$prefix/things?a=1" -X POST -H 'Content-Length: 0' -H "Authorization: Bearer $token")"
    expect "envoy: no token is 401" 401 "$(status "$prefix/things")"
    expect "envoy: the route is found by method and path" 403 \
        "$(status "$prefix/orders/1" -X PUT -H 'Content-Length: 0' -H "Authorization: Bearer $token")"
    expect "envoy: what is told elsewhere does not count" 403 "$(status "$prefix/orders/1" -X PUT -H 'Content-Length: 0' \
        -H 'X-Forwarded-Method: GET' -H 'X-Forwarded-Uri: /healthz' -H "Authorization: Bearer $token")"
    for path in /../../../health /x/../../../../readiness /%2e%2e/%2e%2e/%2e%2e/liveness /x/../../../../ /a%2fb /..; do
        expect "envoy: $path behind the prefix is refused without a token" 400 "$(status "$prefix$path")"
    done
}

for program in nginx haproxy; do
    if command -v $program >/dev/null; then
        ${program}_example
    else
        fail "$program" "not installed: tools/packages test"
    fi
done
envoy_requests

# Nobody to ask: nothing passes.
token=$(mint --sub alice)
kill -TERM "${started[0]}"
wait "${started[0]}"
expect "nginx: without an answer nothing passes" 500 "$(status "http://127.0.0.1:${ports[0]}/" -H "Authorization: Bearer $token")"
expect "haproxy: without an answer nothing passes" 503 "$(status "http://127.0.0.1:${ports[1]}/" -H "Authorization: Bearer $token")"

for program in envoy traefik; do
    skip "$program itself in front of the server" "Debian 12 does not package it"
done
exit $failed
