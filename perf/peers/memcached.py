# SPDX-License-Identifier: Apache-2.0
"""memcached with one thread. It is asked by its meta commands, which answer with one line."""
from rig import free_port

MEMORY_MB = 8192


def start(rig, name="memcached", pinned=True):
    port = free_port()
    return rig.add(name, ["memcached", "-u", "root", "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-t", "1",
                          "-m", str(MEMORY_MB)], rig.path(name), port, pinned).wait_up()


def get(key):
    return f"mg {key}\r\n".encode()


def set_for(key, seconds):
    return f"ms {key} 1 T{seconds}\r\n1\r\n".encode()
