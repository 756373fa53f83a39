# SPDX-License-Identifier: Apache-2.0
"""The servers compared: how each is configured, started and filled. Everything a peer needs is
written into the rig's directory; nothing of the system's own configuration is used."""
import os
import re
import subprocess

# The revoked ones: PREFIX and twelve digits, as RESP keys behind "bl:". The tokens of the good
# requests are others.
REVOKED_PREFIX = "01900000-0000-7000-8000-"
HOLD_S = 12 * 3600  # how long what is loaded here lives

HERE = os.path.dirname(os.path.abspath(__file__))
VERSION_COMMANDS = {
    "nginx": ["nginx", "-v"], "haproxy": ["haproxy", "-v"], "redis": ["redis-server", "--version"],
    "memcached": ["memcached", "--version"],
    "nginx's Lua module": ["dpkg-query", "-W", "-f", "${Version}", "libnginx-mod-http-lua"],
}


def read(name):
    with open(os.path.join(HERE, name), encoding="utf-8") as f:
        return f.read()


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


def versions(bin_dir):
    found, ours = {}, {"Portcullis": [os.path.join(bin_dir, "portcullis-edge"), "--version"]}
    for name, command in {**ours, **VERSION_COMMANDS}.items():
        try:
            done = subprocess.run(command, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        number = re.search(r"\d+\.\d+[.\d]*", done.stdout + done.stderr)
        found[name] = number.group(0) if number else "unknown"
    return found
