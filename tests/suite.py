#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs every kind of test there is and counts them; tools/test is the way in.

    (default)   all presets, all checks
    --quick     the debug preset: unit tests, scenarios, tidy, format
    --full      the default plus fuzz campaigns, longer kill loops, and coverage
    FILTER      regular expression over the names that are printed (asan/unit.link.change)

Each kind of test is a function with the names it can run. A step that cannot run is a failure or
a skip with its reason, never silence. Everything is incremental; output is in build/test/*.log.
"""
import argparse
import concurrent.futures
import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LOGS = os.path.join(ROOT, "build", "test")
JOBS = os.cpu_count() or 2
FUZZ_SECONDS = 30
SCENARIO_TIMEOUT_S = 600
TEST_TIMEOUT_S = 900

# io_uring features newer than Linux 6.1: the sanitized scenarios run without them, the others with.
NEW_FEATURES = "newer-than-6.1"

ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
    "CTEST_OUTPUT_ON_FAILURE": "1",
}

SUPPRESSIONS = os.path.join(ROOT, "tests", "tsan.supp")
if os.path.exists(SUPPRESSIONS):
    ENVIRONMENT["TSAN_OPTIONS"] += f":suppressions={SUPPRESSIONS}"


class Suite:
    """The results so far, and what was asked for."""

    def __init__(self, options):
        self.options = options
        self.filter = re.compile(options.filter) if options.filter else None
        self.counts = {"pass": 0, "fail": 0, "skip": 0}
        self.failed, self.skipped = [], []
        self.built = {}

    def wants(self, name):
        return self.filter is None or self.filter.search(name) is not None

    def record(self, status, name, detail="", count=1):
        self.counts[status] += count
        if status == "fail":
            self.failed.append((name, detail))
        if status == "skip":
            self.skipped.append((name, detail))

    def show(self, name, seconds, passed, failed, skipped=0):
        word = "FAIL" if failed else "ok  "
        more = f", {skipped} skipped" if skipped else ""
        print(f"{word} {name:<44} {passed} passed, {failed} failed{more}  ({seconds:.1f} s)", flush=True)


def log_path(name):
    os.makedirs(LOGS, exist_ok=True)
    return os.path.join(LOGS, re.sub(r"[^\w.-]", "_", name) + ".log")


def build_errors(name):
    """What the compiler said, not what else was built."""
    lines = tail(name, 1000000).splitlines()
    said = [line for line in lines if not re.match(r"\[\d+/\d+\] ", line)]
    return "\n".join(said[:60])


def tail(name, lines=40):
    with open(log_path(name), encoding="utf-8", errors="replace") as file:
        return "".join(file.readlines()[-lines:])


def call(name, command, timeout=TEST_TIMEOUT_S, env=None, cwd=ROOT):
    """Runs a command with its output in the log of that name; the exit status, 124 for a timeout."""
    with open(log_path(name), "w", encoding="utf-8") as log:
        try:
            return subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, timeout=timeout, cwd=cwd,
                                  env={**os.environ, **ENVIRONMENT, **(env or {})}, check=False).returncode
        except subprocess.TimeoutExpired:
            log.write(f"\nstopped after {timeout} s\n")
            return 124


def simple(suite, name, command, timeout=TEST_TIMEOUT_S, env=None):
    """A step that is one test: it passes if the command does."""
    if not suite.wants(name):
        return
    began = time.monotonic()
    status = call(name, command, timeout, env)
    if status == 0:
        suite.record("pass", name)
    else:
        suite.record("fail", name, f"exit status {status}; {os.path.relpath(log_path(name), ROOT)}\n{tail(name)}")
    suite.show(name, time.monotonic() - began, int(status == 0), int(status != 0))


# ---- building ---------------------------------------------------------------------------------


def configure(suite, preset):
    if preset not in suite.built:
        ccache = shutil.which("ccache")
        launcher = [f"-DCMAKE_{lang}_COMPILER_LAUNCHER={ccache}" for lang in ("C", "CXX") if ccache]
        status = call(f"configure.{preset}", ["cmake", "--preset", preset] + launcher)
        suite.built[preset] = status == 0
        if status != 0:
            suite.record("fail", f"configure.{preset}", tail(f"configure.{preset}"))
            suite.show(f"configure.{preset}", 0, 0, 1)
    return suite.built[preset]


def build(suite, preset, targets=()):
    """Builds all, or with a filter only what the chosen tests need. What does not build is a
    failure; the tests of the rest still run."""
    name = f"build.{preset}"
    if not configure(suite, preset):
        return False
    began = time.monotonic()
    status = call(name, ["cmake", "--build", "--preset", preset] + (["--target", *targets] if targets else [])
                  + ["--", "-k", "0"], 3600)
    suite.record("pass" if status == 0 else "fail", name, "" if status == 0 else build_errors(name))
    suite.show(name, time.monotonic() - began, int(status == 0), int(status != 0))
    return status == 0


# ---- ctest: unit, wire, torture, sim, fuzz corpora, bench ----------------------------------------


def ctest_names(preset):
    """Test -> the target that makes its program."""
    listing = subprocess.run(["ctest", "--test-dir", f"build/{preset}", "--show-only=json-v1"], cwd=ROOT,
                             capture_output=True, text=True, check=False).stdout
    tests = json.loads(listing)["tests"] if listing.startswith("{") else []
    return {test["name"]: target_of(test["name"]) for test in tests}


def target_of(test):
    """fuzz.http1 is made by fuzz_http1, bench.bench_x by bench_x, perf.x runs many programs, the others are
    made by their own name."""
    if test.startswith("perf."):
        return "all"
    return re.sub(r"^bench\.", "", re.sub(r"^fuzz\.", "fuzz_", test))


def without_aslr(preset):
    """ThreadSanitizer of clang 14 cannot place its shadow where a kernel randomises more than 28 bits."""
    return ["setarch", "-R"] if preset in ("tsan", "torture") else []


def count_cases(case):
    """cmocka prints each of its cases; other programs are one case."""
    output = case.findtext("system-out") or ""
    passed = re.findall(r"\[       OK \] (\S+)", output)
    failed = set(re.findall(r"\[  FAILED  \] (\w+)$", output, re.M)) - {"GROUP"}
    skipped = sorted(set(re.findall(r"\[  SKIPPED \] (\w+)$", output, re.M)))
    return passed, sorted(failed), skipped, output


def record_case(suite, full, case):
    passed, failed, skipped, output = count_cases(case)
    broken = case.get("status") in ("fail", "notrun") or case.find("failure") is not None
    if case.find("skipped") is not None and not broken:
        said = re.search(r"skipped: (.*)", output)
        suite.record("skip", full, said.group(1) if said else case.find("skipped").get("message") or "ctest says skipped")
        return 0, 0, 1
    if broken and not failed:
        failed = ["(the program)"]
    suite.record("pass", full, count=len(passed) or int(not broken))
    for name in failed:
        suite.record("fail", f"{full}: {name}", "\n".join(output.splitlines()[-30:]))
    for name in skipped:
        suite.record("skip", f"{full}: {name}", "skipped by the test itself")
    return len(passed) or int(not broken), len(failed), len(skipped)


def ctest(suite, preset, leave_out=(), only=("",)):
    chosen = {n: t for n, t in ctest_names(preset).items()
              if n.startswith(only) and not n.startswith(leave_out) and suite.wants(f"{preset}/{n}")}
    if not chosen:
        if suite.filter is None:
            suite.record("fail", f"{preset}/ctest", "ctest lists no tests")
        return
    if suite.filter is not None:
        build(suite, preset, sorted(set(chosen.values())))
    report = os.path.join(LOGS, f"ctest.{preset}.xml")
    os.makedirs(LOGS, exist_ok=True)
    if os.path.exists(report):
        os.unlink(report)
    pattern = "^(" + "|".join(re.escape(n) for n in sorted(chosen)) + ")$"
    began = time.monotonic()
    call(f"ctest.{preset}", without_aslr(preset) + [
        "ctest", "--test-dir", f"build/{preset}", "-j", str(JOBS), "-R", pattern, "--output-junit", report,
        "--test-output-size-passed", "1000000", "--test-output-size-failed", "1000000"], 3600)
    if not os.path.exists(report):
        suite.record("fail", f"{preset}/ctest", tail(f"ctest.{preset}"))
        return
    total = [0, 0, 0]
    for case in xml.etree.ElementTree.parse(report).getroot().iter("testcase"):
        counts = record_case(suite, f"{preset}/{case.get('name')}", case)
        total = [a + b for a, b in zip(total, counts)]
    suite.show(f"{preset}/ctest ({len(chosen)} programs)", time.monotonic() - began, *total)


# ---- style: format, lint, tidy -------------------------------------------------------------------


def c_files(*suffixes):
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True,
                            text=True, check=False).stdout.split("\n")
    if not any(listed):
        listed = [os.path.relpath(p, ROOT) for top in ("src", "tests", "tools", "bench", "perf", "include")
                  for p in glob.glob(f"{ROOT}/{top}/**/*", recursive=True)]
    return sorted({f for f in listed if f.endswith(suffixes) and os.path.exists(os.path.join(ROOT, f))})


def check_format(suite):
    simple(suite, "style.format", ["clang-format-14", "--dry-run", "-Werror", *c_files(".c", ".h", ".cc")])


LINT_RULES = [os.path.join(ROOT, ".clang-tidy"), os.path.join(ROOT, "tests", ".clang-tidy")]


def lint_key(entry):
    """What the verdict on a file depends on: it, all it includes, its flags, the rules."""
    command = [a for a in entry["command"].split() if a != "-c"]
    command = command[command.index(next(a for a in command if "clang" in a and not a.endswith("ccache"))):]
    if "-o" in command:
        del command[command.index("-o"):command.index("-o") + 2]
    deps = subprocess.run(command + ["-MM", "-MF", "-"], cwd=entry["directory"], capture_output=True, text=True, check=False).stdout
    digest = hashlib.sha256(" ".join(command).encode())
    for path in sorted(deps.replace("\\\n", " ").split(":", 1)[-1].split()) + LINT_RULES:
        with open(os.path.join(entry["directory"], path), "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def lint_one(entry):
    good = os.path.join(LOGS, "lint", lint_key(entry))
    if os.path.exists(good):
        return entry["file"], True, ""
    done = subprocess.run(["clang-tidy-14", "--quiet", "-p", "build/clang", entry["file"]], cwd=ROOT,
                          capture_output=True, text=True, check=False)
    if done.returncode == 0:
        with open(good, "w", encoding="utf-8"):
            pass
    return entry["file"], done.returncode == 0, "\n".join(re.findall(r"^.*: (?:error|warning): .*$", done.stdout, re.M))


def check_lint(suite):
    """clang-tidy over every C file; a verdict is remembered until something it depends on changes."""
    if not suite.wants("style.lint") or not configure(suite, "clang"):
        return
    if suite.filter is not None:
        build(suite, "clang", ["pc_link_gen"])  # generated headers
    began = time.monotonic()
    os.makedirs(os.path.join(LOGS, "lint"), exist_ok=True)
    with open(os.path.join(ROOT, "build", "clang", "compile_commands.json"), encoding="utf-8") as file:
        ours = set(c_files(".c"))
        entries = {e["file"]: e for e in json.load(file) if os.path.relpath(e["file"], ROOT) in ours}
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for path, good, output in pool.map(lint_one, entries.values()):
            failed += not good
            suite.record("pass" if good else "fail", f"style.lint: {os.path.relpath(path, ROOT)}", output)
    suite.show("style.lint", time.monotonic() - began, len(entries) - failed, failed)


def check_tidy(suite):
    simple(suite, "style.tidy", ["tools/tidy"])
    simple(suite, "style.tidy-self-test", ["tools/tidy", "--self-test"])


# ---- models ---------------------------------------------------------------------------------------


def spin_runs(path):
    """Lines like "spin: NAME holds|refuted [-D...]" in the head of a model."""
    with open(path, encoding="utf-8") as file:
        return re.findall(r"spin: (\S+) (holds|refuted)((?: -\S+)*)", file.read())


def check_one_model(path, name, expected, flags):
    """Verifies one variant; a refuted one must be refuted, or the model proves nothing."""
    with tempfile.TemporaryDirectory() as work:
        steps = (["spin", "-a", *flags, path],
                 ["gcc", "-O2", "-w", "-DSAFETY", "-DCOLLAPSE", "-DMEMLIM=2048", "-o", "pan", "pan.c"],
                 ["./pan", "-m1000000"])
        for step in steps:
            status = call(name, step, 300, cwd=work)
            if status != 0:
                return f"{' '.join(step)}: exit status {status}\n{tail(name)}"
    output = tail(name, 1000)
    errors = re.search(r"errors: (\d+)", output)
    if not errors or expected == "holds" and re.search(r"too small|not completed|out of memory", output):
        return "the search was not complete\n" + output
    if (errors.group(1) == "0") != (expected == "holds"):
        return f"expected: {expected}, but errors: {errors.group(1)}\n{output}"
    return ""


def check_models(suite):
    """Every variant of every model; a verdict is remembered until the model changes."""
    os.makedirs(os.path.join(LOGS, "spin"), exist_ok=True)
    for path in sorted(glob.glob(f"{ROOT}/tests/sim/*.pml")):
        with open(path, "rb") as file:
            digest = hashlib.sha256(file.read()).hexdigest()
        for variant, expected, flags in spin_runs(path):
            name = f"spin.{os.path.basename(path)[:-4]}.{variant}"
            if not suite.wants(name):
                continue
            began, known = time.monotonic(), os.path.join(LOGS, "spin", f"{name}.{digest}")
            problem = "" if os.path.exists(known) else check_one_model(path, name, expected, flags.split())
            suite.record("fail" if problem else "pass", name, problem)
            if not problem:
                open(known, "w", encoding="utf-8").close()
            suite.show(name, time.monotonic() - began, int(not problem), int(bool(problem)))


# ---- scenarios: the real programs over real sockets --------------------------------------------------


def node_modules(suite):
    """npm ci when the lock file is newer than what is installed."""
    folder = os.path.join(ROOT, "tests", "scenario")
    lock, stamp = os.path.join(folder, "package-lock.json"), os.path.join(folder, "node_modules", ".package-lock.json")
    if not os.path.exists(lock) or os.path.exists(stamp) and os.path.getmtime(stamp) >= os.path.getmtime(lock):
        return True
    status = call("npm", ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], 600, cwd=folder)
    if status != 0:
        suite.record("fail", "scenario.npm", tail("npm"))
        suite.show("scenario.npm", 0, 0, 1)
    else:
        os.utime(stamp)
    return status == 0


def run_scenario(path, name, env):
    command = ["bash", path] if path.endswith(".sh") else [
        "node", "--test", "--test-reporter", f"{ROOT}/tests/scenario/lib/reporter.mjs", path]
    began = time.monotonic()
    status = call(name, command, SCENARIO_TIMEOUT_S, env)
    lines = re.findall(r"^(PASS|FAIL|SKIP) ([^\n]+)$", tail(name, 1000000), re.M)
    return name, status, lines, time.monotonic() - began


def record_scenario(suite, name, status, lines, seconds):
    counts = {word: sum(1 for w, _ in lines if w == word) for word in ("PASS", "FAIL", "SKIP")}
    for word, test in lines:
        if word == "SKIP":
            suite.record("skip", *f"{name}: {test}".rsplit(" -- ", 1))
        elif word == "PASS":
            suite.record("pass", name)
    if status != 0 or counts["FAIL"] or not lines:
        failed = [test for word, test in lines if word == "FAIL"] or [f"exit status {status}"]
        for test in failed:
            suite.record("fail", f"{name}: {test}", "")
        suite.failed[-1] = (suite.failed[-1][0], tail(name, 60))
        counts["FAIL"] = len(failed)
    suite.show(name, seconds, counts["PASS"], counts["FAIL"], counts["SKIP"])


def scenarios(suite, label, programs, env=None, only=None):
    """Every tests/scenario/*.test.mjs and *.test.sh against the programs in a directory."""
    paths = sorted(glob.glob(f"{ROOT}/tests/scenario/*.test.*"))
    named = [(p, f"{label}/scenario.{os.path.basename(p).split('.')[0]}") for p in paths]
    named = [(p, n) for p, n in named if suite.wants(n) and (only is None or re.search(only, n))]
    if not named or not node_modules(suite):
        return
    if not os.path.exists(os.path.join(programs, "portcullis-edge")):
        for _, name in named:
            suite.record("fail", name, f"there is no {os.path.relpath(programs, ROOT)}/portcullis-edge")
        suite.show(f"{label}/scenario.*", 0, 0, len(named))
        return
    env = {"PC_BIN": programs, "PC_LABEL": label, "PC_FULL": "1" if suite.options.full else "", **(env or {})}
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for future in [pool.submit(run_scenario, p, n, env) for p, n in named]:
            record_scenario(suite, *future.result())


def programs_of(suite, preset):
    """Builds the programs if a filter kept the whole preset from being built; their directory."""
    if suite.filter is not None:
        build(suite, preset, ["portcullis", "portcullis-edge"])
    return os.path.join(ROOT, "build", preset, "bin")


def wants_scenarios(suite, label):
    return any(suite.wants(f"{label}/scenario.{os.path.basename(p).split('.')[0]}")
               for p in glob.glob(f"{ROOT}/tests/scenario/*.test.*"))


def torture(suite):
    """Lock-free code and the visibility oracle where every insert rebuilds and threads yield at
    random, under ThreadSanitizer."""
    if not configure(suite, "torture"):
        return
    names = {n: t for n, t in ctest_names("torture").items() if n.startswith("torture.")}
    if suite.filter is None:
        build(suite, "torture", ["portcullis-edge", *sorted(names.values())])
    ctest(suite, "torture", only=tuple(names))
    if suite.wants("torture/scenario.visibility"):
        if suite.filter is not None:
            build(suite, "torture", ["portcullis-edge"])
        scenarios(suite, "torture", os.path.join(ROOT, "build", "torture", "bin"),
                  {"PC_WRAP": " ".join(without_aslr("torture"))}, only="scenario.visibility")


def installed(suite):
    """cmake --install into an empty directory, and the same scenarios from there."""
    if not (suite.wants("install.tree") or wants_scenarios(suite, "installed")) or not configure(suite, "release"):
        return
    programs_of(suite, "release")
    with tempfile.TemporaryDirectory() as prefix:
        command = ["cmake", "--install", "build/release", "--prefix", prefix]
        if suite.wants("install.tree"):
            simple(suite, "install.tree", command)
        else:
            call("install.tree", command)
        scenarios(suite, "installed", os.path.join(prefix, "bin"), only="scenario.install")


# ---- fuzz campaigns and coverage (--full) -----------------------------------------------------------


def fuzz_campaigns(suite):
    if not any(suite.wants(f"fuzz/{os.path.basename(p)[:-2]}") for p in glob.glob(f"{ROOT}/tests/fuzz/fuzz_*.c")):
        return
    if not build(suite, "fuzz"):
        return
    for source in sorted(glob.glob(f"{ROOT}/tests/fuzz/fuzz_*.c")):
        target = os.path.basename(source)[:-2]
        found = os.path.join(LOGS, "fuzz", target)
        os.makedirs(found, exist_ok=True)
        corpus = os.path.join(ROOT, "tests", "fuzz", "corpus", target[5:])
        simple(suite, f"fuzz/{target}", [f"build/fuzz/bin/{target}", f"-max_total_time={FUZZ_SECONDS}", "-timeout=10",
               "-rss_limit_mb=2048", f"-artifact_prefix={found}/", found] + [corpus] * os.path.isdir(corpus))


def coverage(suite):
    """Runs the unit tests and scenarios with counters; prints the share of lines of src/ that ran."""
    if not suite.wants("coverage") or not build(suite, "coverage"):
        return
    call("coverage.ctest", ["ctest", "--test-dir", "build/coverage", "-j", str(JOBS), "-LE", "bench"], 3600)
    scenarios(suite, "coverage", os.path.join(ROOT, "build", "coverage", "bin"), only="scenario")
    lines = {}
    for data in glob.glob(f"{ROOT}/build/coverage/**/*.gcda", recursive=True):
        done = subprocess.run(["gcov", "--json-format", "--stdout", data], capture_output=True, cwd=ROOT, check=False).stdout
        for text in done.decode(errors="replace").splitlines():
            for file in json.loads(text)["files"] if text.startswith("{") else []:
                path = os.path.relpath(os.path.join(ROOT, file["file"]), ROOT)
                if path.startswith("src/"):
                    for line in file["lines"]:
                        key = (path, line["line_number"])
                        lines[key] = lines.get(key, 0) + line["count"]
    by_folder = {}
    for (path, _), count in lines.items():
        for folder in (os.path.dirname(path), "src (all)"):
            seen = by_folder.setdefault(folder, [0, 0])
            seen[0] += count > 0
            seen[1] += 1
    for folder, (ran, total) in sorted(by_folder.items()):
        print(f"     coverage {folder:<28} {100 * ran / total:5.1f} % of {total} lines")
    suite.record("pass" if lines else "fail", "coverage", "no counters were found")


# ---- the order ---------------------------------------------------------------------------------------


def styles(suite):
    check_tidy(suite)
    check_format(suite)


def quick(suite):
    styles(suite)
    if not configure(suite, "debug"):
        return
    if suite.filter is None:
        build(suite, "debug")
    ctest(suite, "debug", leave_out=("bench",))
    if wants_scenarios(suite, "debug"):
        scenarios(suite, "debug", programs_of(suite, "debug"))


def whole(suite):
    styles(suite)
    check_models(suite)
    for preset in ("debug", "clang"):
        if suite.filter is None:
            build(suite, preset)
    check_lint(suite)
    for preset, leave_out in (("asan", ("bench",)), ("tsan", ("bench", "fuzz")), ("release", ())):
        if not configure(suite, preset):
            continue
        if suite.filter is None:
            build(suite, preset)
        ctest(suite, preset, leave_out)
        if preset != "tsan" and wants_scenarios(suite, preset):
            scenarios(suite, preset, programs_of(suite, preset), {"PC_MASK": NEW_FEATURES if preset == "asan" else ""})
    torture(suite)
    installed(suite)
    if suite.options.full:
        fuzz_campaigns(suite)
        coverage(suite)


def close(suite, seconds):
    for name, reason in suite.skipped:
        print(f"SKIP {name}: {reason}")
    for name, detail in suite.failed:
        print(f"FAIL {name}")
        print("".join(f"     | {line}\n" for line in detail.splitlines()), end="")
    print(f"{seconds:.0f} s; logs in build/test/")
    print("{pass} passed, {fail} failed, {skip} skipped".format(**suite.counts))
    return 1 if suite.counts["fail"] or not suite.counts["pass"] else 0


def main():
    parser = argparse.ArgumentParser(prog="tools/test", description="Builds and runs every kind of test.")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--quick", action="store_true", help="the debug preset only")
    kind.add_argument("--full", action="store_true", help="plus fuzz campaigns, long loops, coverage")
    parser.add_argument("filter", nargs="?", metavar="FILTER", help="regular expression over test names")
    suite = Suite(parser.parse_args())
    began = time.monotonic()
    (quick if suite.options.quick else whole)(suite)
    return close(suite, time.monotonic() - began)


if __name__ == "__main__":
    sys.exit(main())
