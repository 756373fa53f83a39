/* SPDX-License-Identifier: Apache-2.0
 * The page around the charts: style, tiles, tables, notes. Eight colours of Okabe and Ito, darkened
 * for light backgrounds and lightened for dark ones so that each keeps a contrast of 3:1 at least;
 * text never depends on them. Writes to one FILE. */
#include "load/html.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "load/html_text.h"
#include "load/svg_chart.h"

/* clang-format off */
static const char style[] =
    ":root{color-scheme:light dark;--bg:#fff;--card:#f5f6f8;--ink:#16181d;--soft:#565d6b;--line:#d9dde4;"
    "--good:#00664a;--warn:#8a5a00;--bad:#b3261e;--bad-bg:#fdecea;--warn-bg:#fff4e0;--good-bg:#e7f5ef;"
    "--s0:#0068b0;--s1:#c44e00;--s2:#00805c;--s3:#b0508a;--s4:#a87400;--s5:#2a8fc4;--s6:#7a4fb5;--s7:#5f6672}\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#14161a;--card:#1e2127;--ink:#eceef2;--soft:#a5adba;"
    "--line:#363b45;--good:#5fd3a8;--warn:#f2bd5c;--bad:#ff8a80;--bad-bg:#3b1c1a;--warn-bg:#362a12;"
    "--good-bg:#12302a;--s0:#5ab4f0;--s1:#ff9a5c;--s2:#3fcfa0;--s3:#eb9cc9;--s4:#f0c246;--s5:#9bd4f5;"
    "--s6:#b99cf0;--s7:#a5adba}}\n"
    "*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);"
    "font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}\n"
    "main{max-width:1000px;margin:0 auto;padding:28px 20px 60px}h1{font-size:26px;line-height:1.25;margin:0 0 4px;"
    "overflow-wrap:anywhere}h2{font-size:19px;margin:36px 0 10px}.sub{color:var(--soft);margin:0 0 18px}\n"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(172px,1fr));gap:10px;margin:18px 0}\n"
    ".tile{background:var(--card);border-radius:8px;padding:10px 14px;border-left:4px solid transparent}"
    ".tile b{display:block;font-size:22px;font-weight:650;font-variant-numeric:tabular-nums;line-height:1.3}"
    ".tile span,.tile i{color:var(--soft);font-size:13px;font-style:normal;display:block}\n"
    ".tile.good{border-color:var(--good)}.tile.warn{border-color:var(--warn)}"
    ".tile.bad{border-color:var(--bad);background:var(--bad-bg)}.tile.bad b{color:var(--bad)}\n"
    ".note{border-radius:8px;padding:10px 14px;margin:10px 0;background:var(--card);border-left:4px solid var(--line);"
    "overflow-wrap:anywhere}.note.good{background:var(--good-bg);border-color:var(--good)}"
    ".note.warn{background:var(--warn-bg);border-color:var(--warn)}"
    ".note.bad{background:var(--bad-bg);border-color:var(--bad);font-weight:600}\n"
    "figure{margin:18px 0 26px}figcaption{font-weight:600;margin-bottom:4px}svg{width:100%;height:auto;display:block}"
    "svg text{font:13px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:var(--ink)}\n"
    "svg .tick{fill:var(--soft);font-size:12px}svg .label{fill:var(--soft)}svg .grid{stroke:var(--line);stroke-width:1;"
    "fill:none}svg .axis{stroke:var(--soft);fill:none}svg .line{fill:none;stroke-width:2;stroke-linejoin:round}"
    "svg .rule{stroke:var(--bad);stroke-width:1.5;stroke-dasharray:6 4;fill:none}"
    "svg .rule-name{fill:var(--bad);font-size:12px;paint-order:stroke;stroke:var(--bg);stroke-width:4px}\n"
    ".about{color:var(--soft);font-size:13px;margin:6px 0}details{font-size:14px;margin:4px 0}"
    "summary{cursor:pointer;color:var(--soft)}.scroll{overflow-x:auto;max-height:420px}\n"
    "table{border-collapse:collapse;margin:10px 0;font-variant-numeric:tabular-nums;font-size:14px}"
    "caption{text-align:left;font-weight:600;padding:4px 0}th,td{padding:4px 12px 4px 0;text-align:right;"
    "border-bottom:1px solid var(--line);white-space:nowrap}th{color:var(--soft);font-weight:500}"
    "th:first-child,td:first-child{text-align:left}td.text{white-space:normal;text-align:left;overflow-wrap:anywhere}\n"
    "pre{background:var(--card);border-radius:8px;padding:12px 14px;overflow-x:auto;font:13px/1.5 ui-monospace,"
    "'DejaVu Sans Mono',Menlo,monospace;white-space:pre-wrap;overflow-wrap:anywhere}\n"
    "footer{color:var(--soft);font-size:13px;margin-top:40px}@media print{details{display:none}}\n";
/* clang-format on */

static const char *tone_class(enum ld_tone tone)
{
    static const char *const names[] = {"", " good", " warn", " bad"};
    return names[tone];
}

FILE *ld_html_begin(const char *path, const char *title, const char *about,
                    struct ld_problem *problem)
{
    FILE *f = strcmp(path, "-") ? fopen(path, "w") : stdout;
    if (!f) {
        ld_problem_set(problem, "%s: %s", path, strerror(errno));
        return NULL;
    }
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"/>\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
          "style-src 'unsafe-inline'\"/>\n<title>",
          f);
    ld_html_text(f, title);
    fprintf(f, "</title>\n<style>%s</style></head>\n<body><main>\n<h1>", style);
    ld_html_text(f, title);
    fputs("</h1>\n<p class=\"sub\">", f);
    ld_html_text(f, about);
    fputs("</p>\n", f);
    return f;
}

bool ld_html_end(FILE *f, const char *path, struct ld_problem *problem)
{
    fputs("<footer>portcullis-load " PC_VERSION "</footer>\n</main></body></html>\n", f);
    bool ok = fflush(f) == 0 && !ferror(f);
    int err = errno;
    if (f != stdout && fclose(f) != 0 && ok) {
        ok = false;
        err = errno;
    }
    return ok || ld_problem_set(problem, "%s: %s", path, strerror(err));
}

void ld_html_heading(FILE *f, const char *text)
{
    fputs("<h2>", f);
    ld_html_text(f, text);
    fputs("</h2>\n", f);
}

void ld_html_note(FILE *f, enum ld_tone tone, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    fprintf(f, "<div class=\"note%s\"%s>", tone_class(tone),
            tone == LD_TONE_BAD ? " role=\"alert\"" : "");
    ld_html_text(f, text);
    fputs("</div>\n", f);
}

void ld_html_tiles_begin(FILE *f)
{
    fputs("<div class=\"tiles\">\n", f);
}

void ld_html_tile(FILE *f, enum ld_tone tone, const char *name, const char *value,
                  const char *about)
{
    fprintf(f, "<div class=\"tile%s\"><span>", tone_class(tone));
    ld_html_text(f, name);
    fputs("</span><b>", f);
    ld_html_text(f, value);
    fputs("</b><i>", f);
    ld_html_text(f, about);
    fputs("</i></div>\n", f);
}

void ld_html_tiles_end(FILE *f)
{
    fputs("</div>\n", f);
}

struct ld_html_table ld_html_table_begin(FILE *f, const char *caption, const char *headings)
{
    struct ld_html_table t = {.f = f};
    fputs("<div class=\"scroll\"><table><caption>", f);
    ld_html_text(f, caption);
    fputs("</caption><thead><tr>", f);
    while (*headings) {
        char one[64];
        size_t n = strcspn(headings, "|");
        snprintf(one, sizeof(one), "%.*s", (int)n, headings);
        fputs("<th>", f);
        ld_html_text(f, one);
        fputs("</th>", f);
        headings += n + (headings[n] == '|');
        t.columns++;
    }
    fputs("</tr></thead><tbody>\n", f);
    return t;
}

static void next_cell(struct ld_html_table *t, const char *text)
{
    bool long_text = strlen(text) > 40;
    fprintf(t->f, "%s<td%s>", t->at ? "" : "<tr>", long_text ? " class=\"text\"" : "");
    ld_html_text(t->f, text);
    fputs("</td>", t->f);
    if (++t->at == t->columns) {
        fputs("</tr>\n", t->f);
        t->at = 0;
    }
}

void ld_html_cell(struct ld_html_table *t, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    next_cell(t, text);
}

void ld_html_cell_unit(struct ld_html_table *t, enum ld_unit unit, double value)
{
    char text[LD_UNITS_TEXT_MAX];
    next_cell(t, ld_units_format(unit, value, text));
}

void ld_html_table_end(struct ld_html_table *t)
{
    PC_ASSERT(t->at == 0);
    fputs("</tbody></table></div>\n", t->f);
}

void ld_html_loop_note(FILE *f, bool open_loop)
{
    ld_html_note(
        f, open_loop ? LD_TONE_PLAIN : LD_TONE_WARN, "%s",
        open_loop
            ? "Open loop: every request has a time at which it is due, whatever became of those "
              "before it, and latency counts from that time: a stall of the server cannot hide "
              "(no coordinated omission)."
            : "Closed loop: each connection waits for an answer before it asks again. While the "
              "server stalls nothing is sent, so these latencies leave out what clients would "
              "have waited (coordinated omission). For latencies that users see, set --rate.");
}

static void write_json(FILE *f, const char *caption, const json_t *json)
{
    char *text = json ? json_dumps(json, JSON_INDENT(2) | JSON_ENCODE_ANY) : NULL;
    if (!text)
        return;
    fputs("<details><summary>", f);
    ld_html_text(f, caption);
    fputs("</summary><pre>", f);
    ld_html_text(f, text);
    fputs("</pre></details>\n", f);
    free(text);
}

void ld_html_repeat(FILE *f, const char *command, const struct ld_machine *machine,
                    const json_t *options, const json_t *workload)
{
    ld_html_heading(f, "To repeat it");
    fputs("<pre>", f);
    ld_html_text(f, command ? command : "(the command is not known)");
    fputs("</pre>\n", f);
    if (machine) {
        char memory[LD_UNITS_TEXT_MAX];
        ld_html_note(f, LD_TONE_PLAIN, "%s, %u CPUs, %s, %s, on %s; %s", machine->cpu_model,
                     machine->cpus, ld_units_format(LD_UNIT_BYTES, machine->memory_bytes, memory),
                     machine->kernel, machine->host, machine->program);
    }
    write_json(f, "Every option with its value", options);
    write_json(f, "The workload", workload);
}
