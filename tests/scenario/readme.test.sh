#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# README.md: its tours, step by step against development servers, and its tables; the manual
# page and the example configuration that list every key. With --update they are written:
#     PC_BIN=$PWD/build/debug/bin tests/scenario/readme.test.sh --update
root=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tests/scenario/lib/serve.sh
. "$root/tests/scenario/lib/serve.sh"
serve_dev
export PATH=$PC_BIN:$PATH
if [ "${1:-}" = --update ]; then
    python3 "$root/tests/scenario/lib/readme.py" tables "$http" --update 9>&-
    exit
fi
python3 "$root/tests/scenario/lib/readme.py" tour tokens "$http" "$resp" 9>&- || failed=1
until_true "the server after the tour" is_ready
stop_server
serve_dev --config tools/examples/demo.yaml
python3 "$root/tests/scenario/lib/readme.py" tour rules "$http" "$resp" 9>&- || failed=1
python3 "$root/tests/scenario/lib/readme.py" tables "$http" 9>&- || failed=1
python3 "$root/tests/scenario/lib/readme.py" text 9>&- || failed=1
exit $failed
