# SPDX-License-Identifier: Apache-2.0
"""The results as one self-contained page: the table of targets, and for each comparison bars of
the CPU time and the rate with their ranges. Follows the reader's light or dark scheme."""
import html

STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #60646c; --line: #d9d9e0; --page: #fcfcfd;
  --ours: #0d74ce; --bare: #8b8d98; --other: #b9bbc6; --good: #18794e; --bad: #ce2c31; }
@media (prefers-color-scheme: dark) { :root { --ink: #edeef0; --soft: #b0b4ba; --line: #363a3f;
  --page: #111113; --ours: #3b9eff; --bare: #9b9ea8; --other: #555962; --good: #3dd68c; --bad: #ff9592; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 76rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.5rem; border-top: 1px solid var(--line);
  padding-top: 1rem } h3 { font-size: 1rem; margin: 1.2rem 0 .3rem }
p, .soft { color: var(--soft) } code { font-size: .9em; overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th { text-align: left; color: var(--soft); font-weight: 500 }
td, th { padding: .25rem .6rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
td.n, th.n { text-align: right; white-space: nowrap } .ok { color: var(--good); font-weight: 600 }
.missed { color: var(--bad); font-weight: 600 }
svg { width: 100%; height: auto; display: block } svg text { font: 13px system-ui, sans-serif; fill: var(--ink) }
svg .soft { fill: var(--soft) } .bar-ours { fill: var(--ours) } .bar-bare { fill: var(--bare) }
.bar-other { fill: var(--other) } .range { stroke: var(--ink); stroke-width: 1.5 }
"""
NAME_PX, BAR_PX, VALUE_PX, GAP_PX, ROW_PX = 310, 230, 150, 20, 24
WIDTH_PX = NAME_PX + 2 * (BAR_PX + VALUE_PX) + GAP_PX


def esc(text):
    return html.escape(str(text))


def number(value):
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) < 1 else f"{value:.2f}"


def rate(value):
    return f"{value / 1e6:.2f} M/s" if value >= 1e6 else f"{value / 1e3:.1f} k/s"


def kind_of(name):
    return "ours" if "ortcullis" in name else "bare" if name.startswith("bare") else "other"


def bar(name, x, y, value, spread, most, label):
    """One bar, its range as a line with ends, its value beside it."""
    def at(v):
        return x + BAR_PX * v / most
    low, high, middle = at(spread[0]), at(spread[1]), y + ROW_PX / 2 - 2
    return (f'<rect class="bar-{kind_of(name)}" x="{x}" y="{y + 3}" width="{max(1, at(value) - x):.1f}"'
            f' height="{ROW_PX - 10}" rx="2"/>'
            f'<path class="range" d="M{low:.1f} {middle}H{high:.1f}M{low:.1f} {middle - 4}v8M{high:.1f} {middle - 4}v8"/>'
            f'<text x="{max(at(value), high) + 8:.1f}" y="{middle + 5}">{esc(label)}</text>')


FIGURES = {"cpu_us": ("server CPU, µs per request", number), "rate": ("requests per second", rate),
           "p50_us": ("p50, µs, from when the request was due", number),
           "p99_us": ("p99, µs, from when the request was due", number)}


def chart(contestants, figures):
    """Two figures side by side, one row for each contestant."""
    out, height = [], ROW_PX * (len(contestants) + 1)
    for column, key in enumerate(figures):
        x = NAME_PX + column * (BAR_PX + VALUE_PX + GAP_PX)
        title, show = FIGURES[key]
        most = max(r[key + "_range"][1] for r in contestants.values()) or 1
        out.append(f'<text class="soft" x="{x}" y="15">{esc(title)}</text>')
        for i, (name, r) in enumerate(contestants.items()):
            beside = f" + {number(r['beside_us'])} beside" if key == "cpu_us" and r["beside_us"] else ""
            out.append(bar(name, x, ROW_PX * (i + 1), r[key], r[key + "_range"], most, show(r[key]) + beside))
    out += [f'<text x="0" y="{ROW_PX * (i + 1) + 15}">{esc(name)}</text>' for i, name in enumerate(contestants)]
    return (f'<svg viewBox="0 0 {WIDTH_PX} {height}" role="img" aria-label="two figures of each contestant">'
            + "".join(out) + "</svg>")


def rows_table(rows):
    out = ["<table><tr><th>what<th class=n>target<th class=n>measured<th class=n>range<th><th>note</tr>"]
    for r in rows:
        target = f"{'≤' if r['comparison'] == '<=' else '≥'} {r['limit']} {r['unit']}" if "limit" in r else ""
        spread = f"{number(r['range'][0])} … {number(r['range'][1])}" if r.get("range") else ""
        verdict = {True: '<span class="ok">ok</span>', False: '<span class="missed">missed</span>',
                   None: ""}[r.get("ok")]
        out.append(f"<tr><td>{esc(r['what'])}<td class=n>{target}<td class=n>{number(r['value'])} {esc(r['unit'])}"
                   f"<td class=n>{spread}<td>{verdict}<td>{esc(r['note'])}</tr>")
    return "\n".join(out) + "</table>"


def section_part(name, section):
    out = [f"<h2>{esc(name)}</h2><p>{esc(section['about'])}</p>"]
    for group in section["groups"]:
        out.append(f"<h3>{esc(group['title'])}</h3>{chart(group['contestants'], group['figures'])}")
    if section["rows"]:
        out.append(rows_table(section["rows"]))
    out.append(f"<p>{esc(section['when'])}, commit {esc(section['commit'])}, <code>{esc(section['command'])}</code>;"
               f" {section['runs']} runs, {section['set_aside']} set aside because the CPUs were far apart or"
               f" something else ran.</p>")
    return "\n".join(out)


def render(document, judged):
    m, versions = document["machine"], ", ".join(f"{k} {v}" for k, v in document["versions"].items())
    sections = "\n".join(section_part(n, s) for n, s in document["sections"].items())
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Portcullis, side by side</title><style>{STYLE}</style>
<h1>Portcullis, side by side</h1>
<p>{esc(m['cpus'])} CPUs ({esc(m['cpu'])}), {esc(m['memory_gib'])} GiB, {esc(m['system'])}, Linux {esc(m['kernel'])};
{esc(versions)}. Servers on one CPU, generator on the other, alternating; medians of the runs in which the CPUs
were near each other and nothing else ran, with the range as a thin line. Ratios are of this machine and these runs.</p>
<h2>Targets</h2>
{rows_table(judged)}
{sections}
</html>
"""
