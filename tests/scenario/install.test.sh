#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The installed tree: programs, manual pages, unit, example configuration; and tools/run --demo's
# steps from there. PC_BIN is the bin directory of the tree (or of a build directory).
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
tree=$(dirname "$PC_BIN")
failed=0

step() { # name command...
    local name=$1 output
    shift
    if output=$("$@" 2>&1); then
        echo "PASS $name"
    else
        echo "FAIL $name"
        printf '%s\n' "$output" | sed 's/^/    /'
        failed=1
    fi
}

step "portcullis runs" "$PC_BIN/portcullis" --version
step "portcullis-edge runs" "$PC_BIN/portcullis-edge" --version
step "portcullis-load runs" "$PC_BIN/portcullis-load" --version

if [ "${PC_LABEL:-}" = installed ]; then
    manual_pages() {
        local page found=0
        for page in "$tree"/share/man/man?/*; do
            [ -e "$page" ] || break
            found=1
            LC_ALL=C.UTF-8 man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>&1 >/dev/null | grep . && return 1
        done
        [ $found = 1 ]
    }
    unit() {
        local file
        file=$(find "$tree" -name 'portcullis*.service' | head -1)
        [ -n "$file" ] || return 1
        local key
        for key in ProtectSystem NoNewPrivileges SystemCallFilter User; do
            grep -q "^$key=" "$file" || { echo "no $key= in $file"; return 1; }
        done
        if command -v systemd-analyze >/dev/null; then
            systemd-analyze verify --man=no "$file" 2>&1 | grep -v "is not executable\|Failed to\|portcullis-edge" | grep . && return 1
        fi
        return 0
    }
    example() {
        local file
        file=$(find "$tree" -name 'portcullis*.yaml*' | head -1)
        [ -n "$file" ] && "$PC_BIN/portcullis" config check --config "$file"
    }
    no_build_paths() {
        ! grep -rIl -- "$root/build" "$tree"
    }
    step "manual pages are installed and clean" manual_pages
    step "a hardened unit is installed" unit
    step "the example configuration is installed and valid" example
    step "nothing installed names the build directory" no_build_paths
fi

step "the demonstration works with these programs" "$root/tools/run" --demo
exit $failed
