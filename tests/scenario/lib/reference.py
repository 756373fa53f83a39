# SPDX-License-Identifier: Apache-2.0
"""The reference of configuration keys, made from what `portcullis config keys` and `config show`
print: the table of README.md, the section KEYS of portcullis.yaml(5), and the example
configuration with every key. readme.py compares and writes them.
"""
import os
import re
import subprocess
import tempfile
import textwrap

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..")
MAN = os.path.join(ROOT, "tools", "man", "portcullis.yaml.5")
EXAMPLE = os.path.join(ROOT, "tools", "examples", "portcullis.yaml")
COLUMNS = 99

# Lists that are empty by default, with an entry to show.
SAMPLE = """
issuers:
  - name: "https://id.example.com"
    jwks_file: "/etc/portcullis/id.example.com.jwks"
    algorithms: [ES256, RS256]
    audiences: [api]
routes:
  - name: "orders"
    path: "/orders/*"
    methods: [GET, POST]
    scopes: [orders]
    limits: [general]
    ip_sets: [office]
    flags: [ui.show_beta_features]
ip_sets:
  - name: "office"
    default: deny
    allow: ["192.0.2.0/24", "2001:db8::/32"]
"""

HEAD = """\
# SPDX-License-Identifier: Apache-2.0
# Portcullis: every key with its default, made from the program's own description. Delete what you
# do not change: this file as it stands is the same as none (a test holds it to that). Every key
# http.idle_timeout is also the environment variable PORTCULLIS_HTTP_IDLE_TIMEOUT. Check with
# `portcullis config check --config FILE`. A running server takes a new file on SIGHUP; what is marked
# [restart] waits for `portcullis restart`. It keeps the old configuration if the new one is bad.
# Durations: 100ms 5s 15m 24h 7d. Sizes: 512B 16KiB 1MiB 4GiB. See portcullis.yaml(5).
"""


def printed(*arguments):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PORTCULLIS_")}
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(["portcullis", "config", *arguments], capture_output=True, text=True, check=True,
                              cwd=folder, env=clean).stdout


def keys():
    """(path, type, default, help, whether a reload takes it) of every key, in order."""
    lines = re.findall(r"^(\S+) \(([^,)]*)(?:, default (.*))?\)\n    (.*)$", printed("keys"), re.M)
    return [(path, kind, default, text.removesuffix(" [restart]"), not text.endswith(" [restart]"))
            for path, kind, default, text in lines]


# ---- README.md ----------------------------------------------------------------------------------


def cell(text):
    return text.replace("|", "\\|")


def readme_table():
    rows = ["| key | type | default | meaning | reload |", "|---|---|---|---|---|"]
    for path, kind, default, text, live in keys():
        default = f"`{default}`" if default else ""
        rows.append(f"| `{path}` | {kind} | {cell(default)} | {cell(text)} | {'yes' if live else ''} |")
    return rows


# ---- portcullis.yaml(5) -------------------------------------------------------------------------


def roff(text):
    for character, escape in (("\\", "\\e"), ("-", "\\-"), ("'", "\\(aq"), ('"', "\\(dq"), ("0 … 1", "0 to 1")):
        text = text.replace(character, escape)
    return ("\\&" if text.startswith(".") else "") + text


def heading(path):
    """Top level, a mapping by its name, or one entry of a list."""
    first, dot, _ = path.partition(".")
    if not dot:
        return '"Top level"'
    return f"{first[:-2]} (each)" if first.endswith("[]") else first


def man_keys():
    lines, current = [], None
    for path, kind, default, text, live in keys():
        if heading(path) != current:
            current = heading(path)
            lines.append(f".SS {current}")
        default = f", default {roff(default)}" if default else ""
        lines += [".TP", f".B {roff(path)}", f"({roff(kind)}{default})", roff(text) + ("" if live else " [restart]")]
    return "\n".join(lines) + "\n"


def man_page(page):
    """The page with its section KEYS as it has to be."""
    head, tail = page.index(".SH KEYS\n") + len(".SH KEYS\n"), page.index(".SH FILES\n")
    return page[:head] + man_keys() + page[tail:]


# ---- tools/examples/portcullis.yaml ---------------------------------------------------------------


def sections(shown):
    """Top-level key -> its lines of `config show`."""
    return {part.split(":", 1)[0]: part.rstrip("\n").split("\n") for part in re.findall(r"^\S.*\n(?:[ ].*\n)*", shown, re.M)}


def comment(indent, text, live):
    text += "" if live else " [restart]"
    return textwrap.wrap(text, COLUMNS, initial_indent=indent + "# ", subsequent_indent=indent + "# ",
                         break_on_hyphens=False, break_long_words=False)


def annotated(lines, help_of, said):
    """The lines of one section with the help of each key before its first appearance."""
    above, made = [], []
    for line in lines:
        indent, name = re.match(r"( *)(-|\w+:)?", line).groups()
        depth = len(indent) // 2
        del above[depth:]
        above.append("[]" if name == "-" else name[:-1])
        path = ".".join(above).replace(".[]", "[]")
        if path in help_of and path not in said:
            said.add(path)
            made += comment(indent, *help_of[path])
        made.append(line)
    return made


def sample_sections():
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(SAMPLE)
        file.flush()
        return sections(printed("show", "--config", file.name))


def example():
    help_of = {path: (text, live) for path, _, _, text, live in keys()}
    shown = re.sub(r"^(  tokens_file:) .*$", r'\1 ""', printed("show"), flags=re.M)
    samples, said, parts = sample_sections(), set(), []
    for name, lines in sections(shown).items():
        made = annotated(lines, help_of, said)
        if lines == [f"{name}: []"]:
            sample = annotated(samples[name], help_of, said)
            made += ["# For example:"] + [f"# {line}" for line in sample]
        parts.append("\n".join(made) + "\n")
    return HEAD + "\n" + "\n".join(parts)


# ---- all ------------------------------------------------------------------------------------------


def files():
    """(path, what it holds, what it should hold) of the files that are made."""
    for path, make in ((MAN, man_page), (EXAMPLE, lambda _: example())):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        yield path, text, make(text)
