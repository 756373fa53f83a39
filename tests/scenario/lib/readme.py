#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds README.md to the programs.

    readme.py tour NAME HTTP RESP runs the blocks behind <!-- tour: NAME --> against a development
                                  server whose data directory is ./data, and compares what they print
    readme.py tables HTTP         compares the tables behind <!-- table: NAME -->, the keys of
                                  portcullis.yaml(5) and the example configuration with what the
                                  programs say; with --update writes them
    readme.py text                checks links to files and the configurations in the text

The programs are taken from PATH. HTTP and RESP are the server's addresses; they stand for
127.0.0.1:8080 and 127.0.0.1:6380 of the text. What differs from run to run (ids, times, lengths)
is made equal on both sides; a line "..." of the text stands for any lines.
"""
import json
import os
import re
import subprocess
import sys
import urllib.request

import reference

README = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "README.md")
TIMEOUT_S = 300
END = "@@end of command@@"

# (pattern, what stands for it), applied in order.
VARIABLE = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", "<uuid>"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "<time>"),
    (r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", "<date>"),
    (r"\b1\d{9}(\.\d+)?\b", "<seconds>"),
    (r"\b[0-9a-f]{16}\b", "<hex>"),
    (r"(Content-Length:) \d+", r"\1 <n>"),
    (r"(process|\"pid\":) ?\d+", r"\1 <n>"),
    (r"(_ms\":|_ms +)\d+", r"\1<n>"),
    # Limits go on while the commands run.
    (r"((?:Retry-After|X-RateLimit-Reset):) \d+", r"\1 <n>"),
    (r";t=\d+", ";t=<n>"),
    (r"(again|whole) in \d+ s", r"\1 in <n> s"),
    (r"\d+ of them compared", "<n> of them compared"),
    (r"\d+ lines up to position \d+", "<n> lines up to position <n>"),
    # How often an idle writer marks the journal is a matter of time.
    (r"in \d+ batches; up to position \d+", "in <n> batches; up to position <n>"),
    (r"(uptime_s\":|uptime_s +)\d+", r"\1<n>"),
)


def read():
    with open(README, encoding="utf-8") as file:
        return file.read()


def level(text):
    """One form for what may differ."""
    for pattern, name in VARIABLE:
        text = re.sub(pattern, name, text)
    return [line.rstrip() for line in text.replace("\r", "").split("\n") if line.strip()]


# ---- the tour ---------------------------------------------------------------------------------


def commands(text, name):
    """(command, expected lines) of every block marked so, in order."""
    found = []
    for block in re.findall(rf"<!-- tour: {name} -->\n```console\n(.*?)```", text, re.S):
        for line in block.rstrip("\n").split("\n"):
            if line.startswith("$ "):
                found.append([line[2:], []])
            elif found[-1][0].endswith("\\"):
                found[-1][0] += "\n" + line
            else:
                found[-1][1].append(line)
    return [(command, "\n".join(lines)) for command, lines in found]


def run(found, http, resp):
    """Runs them in one shell; (output, exit status) of each."""
    port = resp.rpartition(":")[2]
    script = ['redis-cli() { command redis-cli --no-raw "$@"; }']
    for command, _ in found:
        command = command.replace("127.0.0.1:8080", http).replace("-p 6380", f"-p {port}")
        script += [command, f"printf '\\n{END} %d\\n' $?"]
    done = subprocess.run(["bash", "-c", "\n".join(script)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT_S, check=False)
    parts = re.split(rf"\n{END} (\d+)\n", done.stdout)
    outputs = [part.replace(http, "127.0.0.1:8080").replace(resp, "127.0.0.1:6380") for part in parts[::2]]
    return list(zip(outputs, parts[1::2]))


def matches(expected, got):
    pattern = "".join(r"(?:.*\n)*?" if line == "..." else re.escape(line) + "\n" for line in level(expected))
    return re.fullmatch(pattern, "".join(line + "\n" for line in level(got))) is not None


def tour(tour_name, http, resp):
    found = commands(read(), tour_name)
    results = run(found, http, resp)
    failed = len(found) != len(results) or not found
    for (command, expected), (got, _) in zip(found, results):
        name = f"tour of {tour_name}: " + command.split("\n")[0][:70]
        if matches(expected, got):
            print(f"PASS {name}")
            continue
        failed = True
        print(f"FAIL {name}\n    expected:\n" + "".join(f"      {line}\n" for line in level(expected)) + "    got:\n"
              + "".join(f"      {line}\n" for line in level(got)), end="")
    if len(found) != len(results):
        print(f"FAIL tour of {tour_name}: {len(results)} of {len(found)} commands ran")
    return failed


# ---- the tables -------------------------------------------------------------------------------


def keys_table(_http):
    return reference.readme_table()


def endpoints_table(http):
    with urllib.request.urlopen(f"http://{http}/", timeout=30) as answer:
        listed = json.load(answer)["endpoints"]
    rows = ["| method | path | listener role | permission | |", "|---|---|---|---|---|"]
    for one in listed:
        methods = "any" if one["methods"] == "*" else one["methods"]
        roles = "any" if len(one["roles"]) == 3 else ", ".join(one["roles"])
        rows.append(f"| {methods} | `{one['path']}` | {roles} | {one['permission']} | {reference.cell(one['summary'])} |")
    return rows


TABLES = {"keys": keys_table, "endpoints": endpoints_table}


def tables(http, update):
    text, failed = read(), False
    for name, make in TABLES.items():
        marked = re.search(rf"<!-- table: {name} -->\n(.*?)\n<!-- end -->", text, re.S)
        made = "\n".join(make(http))
        if marked and marked.group(1) == made:
            print(f"PASS table of {name}")
        elif marked and update:
            text = text[:marked.start(1)] + made + text[marked.end(1):]
        else:
            failed = True
            print(f"FAIL table of {name}\n    is not what the programs say: run this with --update")
    if update:
        write(README, text)
    return made_files(update) or failed


def made_files(update):
    failed = False
    for path, is_, should in reference.files():
        name = os.path.relpath(path, reference.ROOT)
        if is_ == should:
            print(f"PASS {name} describes every key")
        elif update:
            write(path, should)
        else:
            failed = True
            print(f"FAIL {name} describes every key\n    it is not what the programs say: run this with --update")
    return failed


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


# ---- the rest ---------------------------------------------------------------------------------


def check(name, bad):
    print(f"FAIL {name}\n" + "".join(f"    {line}\n" for line in bad) if bad else f"PASS {name}")
    return bool(bad)


def dead_links(text):
    folder = os.path.dirname(README)
    anchors = {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
               for title in re.findall(r"^#+ (.*)$", text, re.M)}
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target[1:] not in anchors if target.startswith("#") else not os.path.exists(os.path.join(folder, target)):
            yield target


def bad_configurations(text):
    """Every yaml block, with an administrator so that listeners off loopback are allowed."""
    environment = {**os.environ, "PORTCULLIS_ADMIN_TOKEN_FILE": os.path.abspath("data/admin.token")}
    for block in re.findall(r"```yaml\n(.*?)```", text, re.S):
        with open("readme.yaml", "w", encoding="utf-8") as file:
            file.write(block)
        done = subprocess.run(["portcullis", "config", "check", "--text-only", "--config", "readme.yaml"], env=environment,
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            yield done.stderr.strip()


def text_itself():
    text = read()
    failed = check("links to files and headings", list(dead_links(text)))
    return check("configurations in the text are valid", list(bad_configurations(text))) or failed


def main():
    arguments = [a for a in sys.argv[1:] if a != "--update"]
    if arguments[:1] == ["tour"] and len(arguments) == 4:
        return tour(*arguments[1:])
    if arguments[:1] == ["tables"] and len(arguments) == 2:
        return tables(arguments[1], "--update" in sys.argv)
    if arguments == ["text"]:
        return text_itself()
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
