# SPDX-License-Identifier: Apache-2.0
# For scenarios in shell: a development server of their own on ports the kernel chooses, results in
# the words tests/suite.py reads, and an end that stops exactly what was started.
#
# Sets: work (a folder that goes at the end), http and resp (the server's addresses), server (its
# process), started (the processes to stop). Needs PC_BIN, and root: the checkout.
set -uo pipefail
work=$(mktemp -d "${TMPDIR:-/tmp}/pc-scenario-XXXXXX")
started=()
failed=0

# The pause of until_true: reading from a pipe nobody writes to.
mkfifo "$work/pause"
exec 9<>"$work/pause"

finish() {
    local pid
    for pid in "${started[@]}"; do
        kill -TERM "$pid" 2>/dev/null
    done
    for pid in "${started[@]}"; do
        wait "$pid" 2>/dev/null
    done
    rm -rf "$work"
}
trap finish EXIT

# until_true WHAT COMMAND...
until_true() {
    local what=$1 limit=$((SECONDS + 60))
    shift
    until "$@"; do
        if [ $SECONDS -ge $limit ]; then
            echo "waited in vain for $what"
            tail -30 "$work"/*.log 2>/dev/null
            return 1
        fi
        read -rt 0.05 -u 9
    done
    return 0 # not what the last pause said
}

pass() { echo "PASS $1"; }
skip() { echo "SKIP $1 -- $2"; }
fail() { # name, detail
    echo "FAIL $1"
    printf '%s\n' "${2:-}" | sed 's/^/    /'
    failed=1
}

# expect NAME EXPECTED GOT
expect() {
    if [ "$2" = "$3" ]; then
        pass "$1"
    else
        fail "$1" "expected $2, got $3"
    fi
}

# A port nobody uses now, for programs that cannot be told to choose one.
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

listener() { # name
    [ ! -r "$work/data/listeners.json" ] ||
        sed -n 's/.*{"name":"'"$1"'","address":"\([^"]*\)".*/\1/p' "$work/data/listeners.json"
}

is_ready() {
    http=$(listener http)
    resp=$(listener resp)
    [ -n "$http" ] && [ "$(curl -s -o "$work/readiness" -w '%{http_code}' "http://$http/readiness")" = 200 ]
}

stop_server() {
    kill -TERM "$server"
    wait "$server"
    rm -f "$work/data/listeners.json"
}

# The options are passed on. The folder tools is here as in a checkout, for its examples.
serve_dev() {
    [ -e "$work/tools" ] || ln -s "$root/tools" "$work/tools"
    cd "$work" || exit 1
    unset PORTCULLIS_CONFIG PORTCULLIS_DATA_DIR PORTCULLIS_URL PORTCULLIS_ADMIN_TOKEN_FILE
    if [ -n "${PC_MASK:-}" ]; then
        export PORTCULLIS_IO_URING_MASK=$PC_MASK
    fi
    # Not exported: the command finds the server by its data directory, as a user's would.
    PORTCULLIS_HTTP_PORT=0 PORTCULLIS_RESP_PORT=0 "$PC_BIN/portcullis" serve --dev "$@" >>"$work/server.log" 2>&1 9>&- &
    server=$!
    started+=($server)
    until_true "a ready server" is_ready || { fail "the server starts" "$(tail -20 "$work/server.log")"; exit 1; }
}
