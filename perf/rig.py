# SPDX-License-Identifier: Apache-2.0
"""The bench rig of perf/smoke: starts the servers compared (on free ports, with their own
directories, stopped by their process), drives them with perf-pipeload, reads their CPU time and
memory from /proc, and tells near runs from far ones.

How it measures: server on one CPU, generator on the other; servers not under test are stopped
(SIGSTOP); the servers alternate; the cache-line bounce between the CPUs is measured before and
after each run and only runs near at both ends count.
"""
import json
import os
import signal
import socket
import statistics
import subprocess
import time

CPUS = sorted(os.sched_getaffinity(0))
SERVER_CPU, LOAD_CPU = CPUS[0], CPUS[-1]
NEAR_NS = 200        # one way; a far pair is at 400 to 500
FAR_RETRIES = 4      # per run: then it is reported as far
START_TIMEOUT_S = 120
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(condition, what, timeout_s=START_TIMEOUT_S):
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"timeout: {what}")
        time.sleep(0.01)


def can_connect(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


class Peer:
    """A server process under test."""

    def __init__(self, name, command, directory, port=None, pinned=True):
        """port None: the program prints it as its first line."""
        os.makedirs(directory, exist_ok=True)
        self.name, self.port = name, port
        self.log = os.path.join(directory, name + ".log")
        prefix = ["taskset", "-c", str(SERVER_CPU)] if pinned else []
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                prefix + command, cwd=directory, stdin=subprocess.DEVNULL, stderr=log,
                stdout=subprocess.PIPE if port is None else log)
        self.pid = self.process.pid
        if port is None:
            self.port = int(self.process.stdout.readline())

    def wait_until(self, condition, what="connections"):
        def check():
            if self.process.poll() is not None:
                with open(self.log, encoding="utf-8", errors="replace") as f:
                    raise RuntimeError(f"{self.name} ended with {self.process.returncode}:\n{f.read()[-2000:]}")
            return condition()
        wait_until(check, f"{self.name}: {what}")
        return self

    def wait_up(self):
        return self.wait_until(lambda: can_connect(self.port))

    def pause(self):
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self):
        os.kill(self.pid, signal.SIGCONT)

    def stop(self, timeout_s=120):
        if self.process.poll() is None:
            self.resume()
            self.process.terminate()
            self.process.wait(timeout_s)

    def cpu_s(self):
        """User and system time of all threads."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii", errors="replace") as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def resident_bytes(self):
        with open(f"/proc/{self.pid}/smaps_rollup", encoding="ascii") as f:
            for line in f:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
        raise RuntimeError("no Pss")

    def settled_bytes(self):
        """Resident memory once it stays the same for a second."""
        last, since = -1, time.monotonic()
        while time.monotonic() - since < 1.0:
            now = self.resident_bytes()
            if abs(now - last) > 65536:
                last, since = now, time.monotonic()
            time.sleep(0.1)
        return last


class Rig:
    def __init__(self, bin_dir, directory, near_only=True):
        self.bin, self.directory, self.near_only = bin_dir, directory, near_only
        self.peers = []
        self.far_runs = 0
        os.makedirs(directory, exist_ok=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for peer in self.peers:
            peer.stop()

    def path(self, *parts):
        return os.path.join(self.directory, *parts)

    def tool(self, name):
        return os.path.join(self.bin, name)

    def add(self, *args, **kwargs):
        peer = Peer(*args, **kwargs)
        self.peers.append(peer)
        return peer

    def stop(self, peer):
        self.peers.remove(peer)
        peer.stop()

    # --- the servers ---------------------------------------------------------------------

    def bare(self, kind, protocol, answer_bytes=0):
        return self.add(f"bare-{kind}-{protocol}-{answer_bytes}",
                        [self.tool(f"perf-{kind}-responder"), protocol, str(answer_bytes)],
                        self.directory)

    def nginx(self):
        port, directory = free_port(), self.path("nginx")
        os.makedirs(directory, exist_ok=True)
        conf = os.path.join(directory, "nginx.conf")
        with open(conf, "w", encoding="ascii") as f:
            f.write(f"""daemon off; master_process off; pid {directory}/pid; error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000000; large_client_header_buffers 8 16k;
  client_body_temp_path {directory}/b; proxy_temp_path {directory}/p;
  fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 204; }} }}
}}
""")
        return self.add("nginx", ["nginx", "-e", "stderr", "-p", directory, "-c", conf], directory,
                        port).wait_up()

    def redis(self):
        port = free_port()
        return self.add("redis", ["redis-server", "--port", str(port), "--bind", "127.0.0.1",
                                  "--save", "", "--appendonly", "no"], self.path("redis"), port).wait_up()

    # --- running -------------------------------------------------------------------------

    def bounce_ns(self):
        if SERVER_CPU == LOAD_CPU or not self.near_only:
            return 0.0
        out = subprocess.run([self.tool("perf-cache-bounce"), str(SERVER_CPU), str(LOAD_CPU)],
                             check=True, capture_output=True, text=True).stdout
        return json.loads(out)["one_way_ns"]

    def load(self, port, requests, *options):
        """perf-pipeload's report. Any answer but the expected one is an error here."""
        command = ["taskset", "-c", str(LOAD_CPU), self.tool("perf-pipeload"), "-P", str(port),
                   *map(str, options), requests]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()[-500:]}")
        return json.loads(done.stdout)

    def one_run(self, peer, requests, options):
        for _ in range(FAR_RETRIES if self.near_only else 1):
            before_ns = self.bounce_ns()
            peer.resume()
            cpu_before_s = peer.cpu_s()
            result = self.load(peer.port, requests, *options)
            result["cpu_us"] = (peer.cpu_s() - cpu_before_s) * 1e6 / result["total"]
            peer.pause()
            result["bounce_ns"] = [before_ns, self.bounce_ns()]
            result["near"] = max(result["bounce_ns"]) < NEAR_NS
            if result["near"]:
                return result
            self.far_runs += 1
        return result

    def compare(self, contestants, rounds):
        """contestants: name -> (peer, requests, options). Runs them in turn, rounds times."""
        runs = {name: [] for name in contestants}
        for peer, _, _ in contestants.values():
            peer.pause()
        for _ in range(rounds):
            for name, (peer, requests, options) in contestants.items():
                runs[name].append(self.one_run(peer, requests, options))
        for peer, _, _ in contestants.values():
            peer.resume()
        return {name: summary(results) for name, results in runs.items()}


def summary(results):
    """Medians and ranges over the near runs (over all if none was near)."""
    kept = [r for r in results if r["near"]] or results
    out = {"runs": results, "near_runs": sum(r["near"] for r in results)}
    for key in ("rate", "cpu_us", "p50_us", "p99_us", "p999_us"):
        values = sorted(r[key] for r in kept)
        out[key] = statistics.median(values)
        out[key + "_range"] = [values[0], values[-1]]
    return out
