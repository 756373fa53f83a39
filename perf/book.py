# SPDX-License-Identifier: Apache-2.0
"""What was found: rows and groups of runs, by section, merged into one results file, printed as a
table. The page is made by page.py."""
import json
import math
import os

import page
import targets

FORMAT = "perf-compare/2"
TEXT, JSON, HTML = "compare.txt", "compare.json", "compare.html"


def number(value):
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 0.1 else f"{value:.2f}" if abs(value) < 100 else f"{value:.1f}"


class Book:
    def __init__(self, directory, quick, order, facts):
        """order: of the sections; facts: what is the same for all of them (machine, versions)."""
        self.directory, self.quick, self.order = directory, quick, order
        self.document = self.read()
        self.document.update(facts)
        self.section, self.current = None, None

    def read(self):
        try:
            with open(os.path.join(self.directory, JSON), encoding="utf-8") as f:
                found = json.load(f)
        except (OSError, ValueError):
            found = {}
        return found if found.get("format") == FORMAT else {"format": FORMAT, "sections": {}}

    # --- filling ---------------------------------------------------------------------------

    def begin(self, section, facts):
        self.section = section
        self.current = {**facts, "rows": [], "groups": []}
        print(f"\n{section}", flush=True)

    def end(self, facts):
        missing = set(targets.of_section(self.section)) - {r.get("target") for r in self.current["rows"]}
        if missing:
            raise RuntimeError(f"{self.section}: not measured: {', '.join(sorted(missing))}")
        self.current.update(facts)
        found = {**self.document["sections"], self.section: self.current}
        self.document["sections"] = {name: found[name] for name in self.order if name in found}
        self.write()

    def add(self, row):
        if not math.isfinite(row["value"]):
            raise RuntimeError(f"{row['what']}: {row['value']}")
        self.current["rows"].append(row)
        print("  " + line_of(row), flush=True)

    def show(self, what, value, unit, spread=None, note=""):
        self.add({"what": what, "value": value, "unit": unit, "range": spread, "note": note})

    def judge(self, key, value, spread=None, note=""):
        """A row of the table of targets. Sizes of --quick say nothing, so nothing is judged then."""
        _, what, comparison, limit, unit = targets.TARGETS[key]
        ok = None if self.quick else targets.holds(comparison, value, limit)
        compared = self.current["groups"][-1]["contestants"] if self.current["groups"] else {}
        odd = [name for name, r in compared.items() if not r["alike_runs"]]
        note = "; ".join(text for text in (note, odd and "no run alike of " + ", ".join(odd)) if text)
        self.add({"target": key, "what": what, "value": value, "unit": unit, "range": spread, "note": note,
                  "comparison": comparison, "limit": limit, "ok": ok})

    def group(self, title, results, figures=("cpu_us", "rate")):
        """Contestants of one comparison; figures: what the page draws."""
        print("  " + title)
        group = {"title": title, "figures": figures, "contestants": {}}
        for name, r in results.items():
            kept = {k: v for k, v in r.items() if k != "runs"}
            group["contestants"][name] = {**kept, "runs": len(r["runs"])}
            print("    " + contestant_line(name, r, len(r["runs"])), flush=True)
        self.current["groups"].append(group)

    # --- writing ---------------------------------------------------------------------------

    def judged(self):
        """The rows of the table, in its order: those measured so far."""
        found = {r["target"]: r for s in self.document["sections"].values() for r in s["rows"] if "target" in r}
        return [found[key] for key in targets.TARGETS if key in found]

    def table(self):
        """Of the targets, with what is not measured yet."""
        found = {r["target"]: r for r in self.judged()}
        return ["  " + (line_of(found[key]) if key in found else f"{target[1]:<74} not measured: --only {target[0]}")
                for key, target in targets.TARGETS.items()]

    def write(self):
        os.makedirs(self.directory, exist_ok=True)
        for name, text in ((JSON, json.dumps(self.document, indent=1) + "\n"), (TEXT, self.text()),
                           (HTML, page.render(self.document, self.judged()))):
            part = os.path.join(self.directory, name + ".part")
            with open(part, "w", encoding="utf-8") as f:
                f.write(text)
            os.replace(part, os.path.join(self.directory, name))

    def text(self):
        d = self.document
        lines = [" · ".join(str(v) for v in d["machine"].values()), "; ".join(f"{k} {v}" for k, v in d["versions"].items()),
                 "", "Targets", ""]
        lines += self.table()
        for name, section in d["sections"].items():
            lines += ["", f"{name}: {section['when']}, commit {section['commit']}, {section['command']};"
                          f" {section['runs']} runs, {section['set_aside']} set aside"]
            for group in section["groups"]:
                lines += ["", "  " + group["title"]]
                lines += ["    " + contestant_line(n, r, r["runs"]) for n, r in group["contestants"].items()]
            lines += ["", *("  " + line_of(r) for r in section["rows"])]
        return "\n".join(lines) + "\n"


def line_of(row):
    spread = f"{number(row['range'][0])}..{number(row['range'][1])}" if row.get("range") else ""
    target = f"{row['comparison']} {row['limit']}" if "limit" in row else ""
    verdict = {True: "ok", False: "MISSED", None: ""}[row.get("ok")]
    return f"{row['what']:<74} {target:<9}{number(row['value']):>8} {row['unit']:<4}{spread:<15}{verdict:<7}{row['note']}".rstrip()


def contestant_line(name, r, runs):
    low, high = r["cpu_us_range"]
    beside = f" + {r['beside_us']:.2f} beside" if r["beside_us"] else ""
    return (f"{name:<46}{r['cpu_us']:7.3f} us CPU ({low:.3f}..{high:.3f}){beside} {r['rate']:11,.0f}/s"
            f"  p50 {r['p50_us']:7.1f}  p99 {r['p99_us']:7.1f} us  {r['alike_runs']}/{runs} alike")
