# SPDX-License-Identifier: Apache-2.0
"""redis-server as Debian has it; rewriting of its log and saving by itself are switched off."""
import socket

from rig import free_port

from . import read


def words(*texts):
    """A command as RESP."""
    out = f"*{len(texts)}\r\n".encode()
    for text in texts:
        out += f"${len(text)}\r\n{text}\r\n".encode()
    return out


def ask(port, *command):
    """One command; the first line of the answer, or the string it announces."""
    with socket.create_connection(("127.0.0.1", port), timeout=120) as s, s.makefile("rb") as answer:
        s.sendall(words(*command))
        line = answer.readline()
        return answer.read(int(line[1:])).decode() if line.startswith(b"$") else line.decode().strip()


def load_script(port, name):
    return ask(port, "SCRIPT", "LOAD", read(name))


def is_ready(port):
    try:
        return ask(port, "PING") == "+PONG"
    except OSError:
        return False


def start(rig, name="redis", appendfsync=None, pinned=True):
    """appendfsync: everysec or always, or None for memory only."""
    port, directory = free_port(), rig.path(name)
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", directory,
               "--appendonly", "yes" if appendfsync else "no", "--auto-aof-rewrite-percentage", "0"]
    if appendfsync:
        command += ["--appendfsync", appendfsync]
    return rig.add(name, command, directory, port, pinned).wait_until(lambda: is_ready(port), "PONG")
