# SPDX-License-Identifier: Apache-2.0
"""The bench rig of perf/: starts the servers compared (on free ports, with their own directories,
stopped by their process), drives them with the load generator, reads their CPU time and memory
from the kernel, and tells runs that are alike from those that are not.

How it measures: servers on one CPU, generator on the other; servers not under test are stopped
(SIGSTOP); the contestants alternate; the cache-line bounce between the CPUs is measured before and
after each run, and what other processes used meanwhile. A run that was not near at both ends, or was
disturbed, is set aside, counted and repeated.
"""
import ctypes
import json
import os
import platform
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import time
from dataclasses import dataclass, field

CPUS = sorted(os.sched_getaffinity(0))
SERVER_CPU, LOAD_CPU = CPUS[0], CPUS[-1]
NEAR_NS = 200        # one way; a far pair is at 400 to 500
OTHERS_MAX = 0.15    # of a CPU, used by whatever else runs meanwhile
RETRIES = 4          # per run: then it is kept, marked as not alike
START_TIMEOUT_S = 180
FOREVER_S = 600      # a load that is stopped
SECONDS_MAX = 60
BESIDE_FIRST_S = 0.1  # its head start
STOP_TIMEOUT_S = 120
SETTLED_S, SETTLED_QUICK_S = 4.0, 0.2  # memory that stays the same for so long: tables tidy up once a second
SETTLED_BYTES = 65536
PR_SET_PDEATHSIG = 1
FIGURES = ("rate", "cpu_us", "beside_us", "p50_us", "p99_us", "p999_us")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(condition, what, timeout_s=START_TIMEOUT_S):
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"timeout: {what}")
        time.sleep(0.005)


def can_connect(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def end_with_parent():
    """In the child: nothing keeps running, or stays stopped, when we are killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def process_cpu_s(pid):
    """CPU time of all threads, ended ones too, by the kernel's CPU clock of the process (see
    clock_getcpuclockid(3)): exact, where /proc/PID/stat counts hundredths."""
    return time.clock_gettime(~pid << 3 | 2)


class Peer:
    """A server process under test."""

    def __init__(self, name, command, directory, port=None, pinned=True, environment=None):
        """port None: the program prints it as its first line."""
        os.makedirs(directory, exist_ok=True)
        self.name, self.port, self.settled_s = name, port, SETTLED_S
        self.log = os.path.join(directory, name + ".log")
        prefix = ["taskset", "-c", str(SERVER_CPU)] if pinned else []
        with open(self.log, "ab") as log:
            # pylint: disable=subprocess-popen-preexec-fn
            self.process = subprocess.Popen(
                prefix + command, cwd=directory, stdin=subprocess.DEVNULL, stderr=log,
                stdout=subprocess.PIPE if port is None else log, preexec_fn=end_with_parent,
                env={**os.environ, **(environment or {})})
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

    def stop(self):
        if self.process.poll() is None:
            self.resume()
            self.process.terminate()
            self.process.wait(STOP_TIMEOUT_S)

    def cpu_s(self):
        return process_cpu_s(self.pid)

    def resident_bytes(self):
        with open(f"/proc/{self.pid}/smaps_rollup", encoding="ascii") as f:
            for line in f:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
        raise RuntimeError("no Pss")

    def settled_bytes(self):
        """Resident memory once it stays the same for a while."""
        last, since = -SETTLED_BYTES, time.monotonic()
        while time.monotonic() - since < self.settled_s:
            now = self.resident_bytes()
            if abs(now - last) >= SETTLED_BYTES:
                last, since = now, time.monotonic()
            time.sleep(self.settled_s / 10)
        return last


def busy_s():
    """CPU time of the whole machine, time stolen from it included."""
    with open("/proc/stat", encoding="ascii") as f:
        ticks = [int(x) for x in f.readline().split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def children_s():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Others:
    """What is used by processes that have nothing to do with a run, as a share of one CPU."""

    def __init__(self):
        self.began, self.busy_s, self.children_s = time.monotonic(), busy_s(), children_s()

    def share(self, servers_s):
        other_s = busy_s() - self.busy_s - (children_s() - self.children_s) - servers_s
        return other_s / (time.monotonic() - self.began)


class Beside:
    """As a context: the load is on; its report is checked at the end."""

    def __init__(self, command):
        self.command, self.process, self.answered, self.before_s = command, None, 0, 0

    def __enter__(self):
        # pylint: disable=subprocess-popen-preexec-fn
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        preexec_fn=end_with_parent)
        time.sleep(BESIDE_FIRST_S)
        self.before_s = process_cpu_s(self.process.pid)
        return self

    def cpu_s(self):
        return process_cpu_s(self.process.pid) - self.before_s

    def __exit__(self, kind, *_):
        self.process.send_signal(signal.SIGINT)
        out, problem = self.process.communicate()
        if kind is not None:
            return
        report = json.loads(out) if out.startswith("{") else {}
        self.answered = report.get("all_requests", 0)
        if not self.answered or report["wrong_answers"] or report["errors"]["total"]:
            raise RuntimeError(f"{' '.join(self.command)}: {problem.strip()[-500:]} {wrong_of(out)}")


def wrong_of(text):
    """From the report of a run that failed: what was wrong."""
    try:
        report = json.loads(text)
    except ValueError:
        return ""
    return json.dumps({key: report.get(key) for key in ("errors", "wrong_answers", "wrong_examples")})


@dataclass
class Contestant:
    """What one run needs: the servers whose CPU time counts (the first one is asked), those that
    are needed beside them (an upstream; shown apart), and the load."""
    name: str
    servers: list
    requests: str
    load: dict = field(default_factory=dict)
    beside: list = field(default_factory=list)
    port: int = None
    load_beside: object = None

    def processes(self):
        return [*self.servers, *self.beside]


class Rig:
    def __init__(self, bin_dir, directory, near_only=True, progress=None):
        self.bin, self.directory, self.near_only = bin_dir, directory, near_only
        self.section = "."  # servers of different sections share no files
        self.progress = progress or (lambda text: None)
        self.peers = []
        self.runs, self.set_aside = 0, 0
        os.makedirs(directory, exist_ok=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop_all()

    def stop_all(self):
        while self.peers:
            self.peers.pop().stop()

    def end(self):
        """Of a section: nothing of it is left."""
        self.stop_all()
        shutil.rmtree(self.path(), ignore_errors=True)

    def begin(self, section):
        self.section, self.runs, self.set_aside = section, 0, 0
        os.makedirs(self.path(), exist_ok=True)

    def path(self, *parts):
        """Of a server's files."""
        return os.path.join(self.directory, self.section, *parts)

    def shared(self, name):
        """Of what all sections use: requests, the key set."""
        return os.path.join(self.directory, name)

    def tool(self, name):
        return os.path.join(self.bin, name)

    def run(self, tool, *arguments):
        """One of our programs, to its end; what it printed."""
        command = [self.tool(tool), *map(str, arguments)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()[-500:]}")
        return done.stdout

    def add(self, *args, **kwargs):
        peer = Peer(*args, **kwargs)
        peer.settled_s = SETTLED_S if self.near_only else SETTLED_QUICK_S
        self.peers.append(peer)
        return peer

    def stop(self, *peers):
        for peer in peers:
            self.peers.remove(peer)
            peer.stop()

    def bare(self, kind, protocol, answer_bytes=0, congestion=(), pinned=True):
        """A responder that does nothing but answer: the ceiling of what is built like it. congestion: other
        than portcullis-edge's on a loopback listener ("-": the system's)."""
        return self.add(f"bare-{kind}-{protocol}-{answer_bytes}",
                        [self.tool(f"perf-{kind}-responder"), protocol, str(answer_bytes), *congestion], self.path(),
                        pinned=pinned)

    # --- running -------------------------------------------------------------------------

    def bounce_ns(self):
        if SERVER_CPU == LOAD_CPU or not self.near_only:
            return 0.0
        return json.loads(self.run("perf-cache-bounce", SERVER_CPU, LOAD_CPU))["one_way_ns"]

    def load_command(self, port, requests, protocol="http", connections=64, depth=1, seconds=None, warm_s=0,
                     count=None, first=0, expected=None, rate=None):
        """seconds, or count of requests; first: where counters in the requests begin; rate: open loop with
        Poisson arrivals, latency from when a request was due."""
        command = [self.tool("portcullis-load"), "run", "--url", f"{protocol}://127.0.0.1:{port}", "--requests",
                   requests, "--cpus", LOAD_CPU, "--connections", connections, "--pipeline", depth, "--counter", first]
        command += ["--count", count] if count else ["--duration", seconds, "--warmup", warm_s]
        command += ["--rate", rate, "--arrivals", "poisson"] if rate else []
        command += ["--expect", expected] if expected else []
        return [*map(str, command), "--quiet", "--json"]

    def load(self, port, requests, **how):
        """What the generator found: rate, p50_us, p99_us, p999_us, seconds, total (with the warm-up), counter
        (where to go on). An error, or any answer but the expected one, ends the comparison."""
        command = self.load_command(port, requests, **how)
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: ended with {done.returncode}: "
                               f"{done.stderr.strip()[-500:]} {wrong_of(done.stdout)}")
        report = json.loads(done.stdout)
        latency = report["latency_us"]
        return {"rate": report["rate_per_s"], "seconds": report["duration_s"], "p50_us": latency["p50"],
                "p90_us": latency["p90"], "p99_us": latency["p99"], "p999_us": latency["p99.9"],
                "p9999_us": latency["p99.99"],
                "total": report["all_requests"], "counter": report["workload"]["next_counter"]}

    def load_beside(self, port, requests, **how):
        """A generator that runs beside another one until it is stopped, and steps back for it."""
        return Beside(["nice", "-n", "19", *self.load_command(port, requests, seconds=FOREVER_S, **how)])

    def one_run(self, contestant):
        for _ in range(RETRIES if self.near_only else 1):
            before_ns = self.bounce_ns()
            result = self.measured_load(contestant)
            result["bounce_ns"] = [before_ns, self.bounce_ns()]
            self.runs += 1
            if self.alike(result):
                break
            self.set_aside += 1
        return result

    def alike(self, result):
        undisturbed = result["others"] < OTHERS_MAX or not self.near_only
        result["alike"] = undisturbed and max(result["bounce_ns"]) < NEAR_NS
        return result["alike"]

    def load_longer(self, contestant):
        """As long as asked for, or until something was answered: short runs on a busy machine."""
        how = dict(contestant.load)
        while True:
            result = self.load(contestant.port or contestant.servers[0].port, contestant.requests, **how)
            if result["rate"] > 0:
                return result
            how["seconds"] *= 4
            if how["seconds"] > SECONDS_MAX:
                raise RuntimeError(f"{contestant.name}: nothing was answered")

    def measured_load(self, contestant):
        for peer in contestant.processes():
            peer.resume()
        before, others = [p.cpu_s() for p in contestant.processes()], Others()
        result = self.load_longer(contestant)
        spent = [p.cpu_s() - b for p, b in zip(contestant.processes(), before)]
        result["others"] = others.share(sum(spent) + (contestant.load_beside.cpu_s() if contestant.load_beside else 0))
        for peer in contestant.processes():
            peer.pause()
        own = len(contestant.servers)
        result["cpu_us"] = sum(spent[:own]) * 1e6 / result["total"]
        result["beside_us"] = sum(spent[own:]) * 1e6 / result["total"]
        if "first" in contestant.load:
            contestant.load["first"] = result["counter"]  # the next run goes on with new keys
        return result

    def compare(self, title, contestants, rounds):
        """Runs the contestants in turn, rounds times: {name: summary}."""
        runs = {c.name: [] for c in contestants}
        everybody = {p.pid: p for c in contestants for p in c.processes()}.values()
        for peer in everybody:
            peer.pause()
        try:
            for i in range(rounds):
                for c in contestants:
                    self.progress(f"{title}: round {i + 1} of {rounds}: {c.name}")
                    runs[c.name].append(self.one_run(c))
        finally:
            for peer in everybody:
                peer.resume()
        return {name: summary(results) for name, results in runs.items()}


def middle(values):
    values = sorted(values)
    return statistics.median(values), [values[0], values[-1]]


def summary(results):
    """Medians and ranges over the runs that were alike (over all if none was)."""
    kept = [r for r in results if r["alike"]] or results
    out = {"runs": results, "alike_runs": sum(r["alike"] for r in results)}
    for key in FIGURES:
        out[key], out[key + "_range"] = middle([r[key] for r in kept])
    return out


def alike(results, ours, theirs):
    """The runs of both in the rounds in which both were alike; in all rounds if there was no such one. A near
    run beside a far one would compare the host's two CPUs, not the programs."""
    rounds = list(zip(results[ours]["runs"], results[theirs]["runs"]))
    return [(x, y) for x, y in rounds if x["alike"] and y["alike"]] or rounds


def ratio(results, ours, theirs, key="rate"):
    """Ratio of the medians, and the range of the ratios, of the rounds that are alike."""
    pairs = alike(results, ours, theirs)
    each = [x[key] / y[key] for x, y in pairs if y[key]]
    return middle(x[key] for x, _ in pairs)[0] / middle(y[key] for _, y in pairs)[0], [min(each), max(each)]


def machine():
    model = next((line.partition(":")[2].strip() for line in open("/proc/cpuinfo", encoding="utf-8")
                  if line.startswith("model name")), platform.machine())
    memory_kb = next(int(line.split()[1]) for line in open("/proc/meminfo", encoding="ascii")
                     if line.startswith("MemTotal:"))
    name = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    return {"cpu": model, "cpus": len(CPUS), "memory_gib": round(memory_kb / 2**20, 1), "system": name,
            "kernel": platform.release()}
