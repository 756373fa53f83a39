/* SPDX-License-Identifier: Apache-2.0
 * A template is a list of segments: fixed bytes, a place, or the length of a range of segments in
 * decimal. Rendering walks it once; lengths add up the sizes of their range, which are known. */
#include "load/template.h"

#include <stdlib.h>

#define PIECE_BYTES_MIN 48 /* shorter runs cost less to copy than a piece does */

enum segment_type { SEGMENT_FIXED, SEGMENT_VAR, SEGMENT_LENGTH };

struct segment {
    enum segment_type type;
    enum ld_var var;
    uint32_t at, bytes; /* FIXED: a range of the template's bytes */
    uint16_t from, to;  /* LENGTH: a range of segments */
};

struct ld_template {
    struct segment segments[LD_TEMPLATE_SEGMENTS_MAX];
    unsigned count;
    uint32_t used;
    bool overflow;
    char unknown[32]; /* the first place that is none */
    uint8_t bytes[LD_TEMPLATE_BYTES_MAX];
};

static const char *const var_names[LD_VARS] = {
    [LD_VAR_TOKEN] = "token", [LD_VAR_JTI] = "jti",     [LD_VAR_SUB] = "sub",
    [LD_VAR_KEY] = "key",     [LD_VAR_IP] = "ip",       [LD_VAR_N] = "n",
    [LD_VAR_ADMIN] = "admin", [LD_VAR_VALUE] = "value", [LD_VAR_ISSUER] = "issuer",
};

/* ---- Compiling. ---- */

static struct segment *add_segment(struct ld_template *t, enum segment_type type)
{
    if (t->count == LD_TEMPLATE_SEGMENTS_MAX) {
        t->overflow = true;
        return NULL;
    }
    t->segments[t->count] = (struct segment){.type = type};
    return &t->segments[t->count++];
}

/* Fixed bytes that follow fixed bytes make one segment, unless a range begins between them. */
static void add_fixed(struct ld_template *t, const char *p, size_t n)
{
    struct segment *s = t->count ? &t->segments[t->count - 1] : NULL;
    if (t->used + n > LD_TEMPLATE_BYTES_MAX) {
        t->overflow = true;
        return;
    }
    memcpy(t->bytes + t->used, p, n);
    if (!s || s->type != SEGMENT_FIXED || s->at + s->bytes != t->used) {
        s = add_segment(t, SEGMENT_FIXED);
        if (s)
            s->at = t->used;
    }
    if (s)
        s->bytes += (uint32_t)n;
    t->used += (uint32_t)n;
}

static void add_text(struct ld_template *t, const char *text)
{
    if (*text)
        add_fixed(t, text, strlen(text));
}

/* The range of segments that begins or ends here: a byte is left out, so that the fixed bytes on
 * both sides do not become one segment. */
static uint16_t cut_here(struct ld_template *t)
{
    t->used++;
    return (uint16_t)t->count;
}

/* The place that begins at text, "{token}"; LD_VARS if none does. */
static enum ld_var place_at(const char *text, size_t *ret_n)
{
    for (unsigned var = 0; var < LD_VARS; var++) {
        const size_t n = strlen(var_names[var]);
        if (text[0] == '{' && strncmp(text + 1, var_names[var], n) == 0 && text[n + 1] == '}') {
            *ret_n = n + 2;
            return (enum ld_var)var;
        }
    }
    return LD_VARS;
}

/* "{word}" that is none of ours is a mistake, not JSON. */
static size_t unknown_place(const char *text)
{
    const size_t n = text[0] == '{' ? strspn(text + 1, "abcdefghijklmnopqrstuvwxyz_") : 0;
    return n && text[n + 1] == '}' ? n : 0;
}

static void add_pattern(struct ld_template *t, const char *text)
{
    while (*text) {
        size_t n = 0;
        const enum ld_var var = place_at(text, &n);
        if (var < LD_VARS) {
            struct segment *s = add_segment(t, SEGMENT_VAR);
            if (s)
                s->var = var;
            text += n;
            continue;
        }
        n = unknown_place(text);
        if (n && !t->unknown[0] && n < sizeof t->unknown)
            memcpy(t->unknown, text + 1, n);
        n = 1 + strcspn(text + 1, "{");
        add_fixed(t, text, n);
        text += n + (text[0] == '{' && n == 1 && text[1] == '{'); /* "{{" */
    }
}

static bool is_one_line(const char *text)
{
    return *text && !text[strcspn(text, "\r\n")];
}

static bool finish(struct ld_template *t, struct ld_template **ret_template,
                   struct ld_problem *problem)
{
    if (t->unknown[0]) {
        ld_problem_set(problem, "there is no place {%s}; \"{{\" stands for a brace", t->unknown);
        ld_template_free(t);
        return false;
    }
    if (t->overflow) {
        ld_template_free(t);
        return ld_problem_set(problem, "the request is too long: at most %d bytes and %d places",
                              LD_TEMPLATE_BYTES_MAX, LD_TEMPLATE_SEGMENTS_MAX / 2);
    }
    *ret_template = t;
    return true;
}

static struct ld_template *new_template(struct ld_problem *problem)
{
    struct ld_template *t = calloc(1, sizeof *t);
    if (!t)
        ld_problem_set(problem, "out of memory");
    return t;
}

static bool http_form_is_sane(const struct ld_http_form *form, struct ld_problem *problem)
{
    if (!is_one_line(form->method) || strchr(form->method, ' '))
        return ld_problem_set(problem, "method: '%s' is none", form->method);
    if (form->path[0] != '/' || form->path[strcspn(form->path, " \r\n")])
        return ld_problem_set(problem, "path: '%s' does not begin with / or has blanks",
                              form->path);
    for (unsigned i = 0; i < form->field_count; i++)
        if (!strchr(form->fields[i], ':') || !is_one_line(form->fields[i]))
            return ld_problem_set(problem, "headers: '%s' is no \"Name: value\"", form->fields[i]);
    return true;
}

bool ld_template_http(const struct ld_http_form *form, struct ld_template **ret_template,
                      struct ld_problem *problem)
{
    struct segment *length = NULL;
    if (!http_form_is_sane(form, problem))
        return false;
    struct ld_template *t = new_template(problem);
    if (!t)
        return false;
    add_text(t, form->method);
    add_text(t, " ");
    add_pattern(t, form->path);
    add_text(t, " HTTP/1.1\r\nHost: ");
    add_text(t, form->authority);
    for (unsigned i = 0; i < form->field_count; i++) {
        add_text(t, "\r\n");
        add_pattern(t, form->fields[i]);
    }
    if (form->body) {
        add_text(t, "\r\nContent-Length: ");
        length = add_segment(t, SEGMENT_LENGTH);
    }
    add_text(t, "\r\n\r\n");
    if (length) {
        length->from = cut_here(t);
        add_pattern(t, form->body);
        length->to = (uint16_t)t->count;
    }
    return finish(t, ret_template, problem);
}

bool ld_template_resp(const char *const *words, unsigned count, struct ld_template **ret_template,
                      struct ld_problem *problem)
{
    char text[16];
    struct pc_buf b = pc_buf_of(text, sizeof text);
    if (count == 0 || count > LD_TEMPLATE_WORDS_MAX)
        return ld_problem_set(problem, "a command has 1 to %d words", LD_TEMPLATE_WORDS_MAX);
    struct ld_template *t = new_template(problem);
    if (!t)
        return false;
    pc_buf_fmt(&b, "*%u\r\n", count);
    add_fixed(t, text, b.len);
    for (unsigned i = 0; i < count && !t->overflow; i++) {
        add_text(t, "$");
        struct segment *length = add_segment(t, SEGMENT_LENGTH);
        add_text(t, "\r\n");
        const uint16_t from = cut_here(t);
        add_pattern(t, words[i]);
        const uint16_t to = cut_here(t);
        add_text(t, "\r\n");
        if (length) {
            length->from = from;
            length->to = to;
        }
    }
    return finish(t, ret_template, problem);
}

void ld_template_free(struct ld_template *t)
{
    free(t);
}

bool ld_template_uses(const struct ld_template *t, enum ld_var var)
{
    for (unsigned i = 0; i < t->count; i++)
        if (t->segments[i].type == SEGMENT_VAR && t->segments[i].var == var)
            return true;
    return false;
}

size_t ld_template_bound(const struct ld_template *t, const size_t var_max[LD_VARS])
{
    size_t bytes = 0;
    for (unsigned i = 0; i < t->count; i++) {
        const struct segment *s = &t->segments[i];
        bytes += s->type == SEGMENT_FIXED ? s->bytes
                 : s->type == SEGMENT_VAR ? var_max[s->var]
                                          : 20;
    }
    return bytes;
}

/* ---- Rendering. ---- */

static uint64_t length_of(const struct ld_template *t, const struct segment *length,
                          const struct pc_bytes values[LD_VARS])
{
    uint64_t n = 0;
    for (unsigned i = length->from; i < length->to; i++) {
        const struct segment *s = &t->segments[i];
        n += s->type == SEGMENT_FIXED ? s->bytes : values[s->var].n;
    }
    return n;
}

/* What was copied since the last piece becomes a piece. */
static void end_copied(struct ld_request *r, const struct pc_buf *b, size_t *begun)
{
    if (b->len > *begun) {
        r->pieces[r->piece_count++] = (struct ld_piece){b->p + *begun, (uint32_t)(b->len - *begun)};
        *begun = b->len;
    }
}

/* A long run is a piece where it stands, as long as two more pieces remain for what follows. */
static void put_run(struct ld_request *r, struct pc_buf *b, size_t *begun, struct pc_bytes run)
{
    const unsigned needed = r->piece_count + (b->len > *begun) + 2;
    if (run.n >= PIECE_BYTES_MIN && needed <= LD_PIECES_MAX) {
        end_copied(r, b, begun);
        r->pieces[r->piece_count++] = (struct ld_piece){run.p, (uint32_t)run.n};
    } else {
        pc_buf_bytes(b, run);
    }
}

bool ld_template_render(const struct ld_template *t, const struct pc_bytes values[LD_VARS],
                        uint8_t *scratch, struct ld_request *ret_request)
{
    struct pc_buf b = pc_buf_of(scratch, LD_TEMPLATE_SCRATCH);
    size_t begun = 0;
    ret_request->piece_count = 0;
    for (unsigned i = 0; i < t->count; i++) {
        const struct segment *s = &t->segments[i];
        if (s->type == SEGMENT_FIXED)
            put_run(ret_request, &b, &begun, pc_bytes_of(t->bytes + s->at, s->bytes));
        else if (s->type == SEGMENT_VAR)
            put_run(ret_request, &b, &begun, values[s->var]);
        else
            pc_buf_u64(&b, length_of(t, s, values));
    }
    end_copied(ret_request, &b, &begun);
    return !b.overflow;
}
