/* SPDX-License-Identifier: Apache-2.0
 * What this server is and how to talk to it: GET / as a list of endpoints for programs and as a
 * page for people, and the OpenAPI document. Both texts are part of the program. Runs on a core. */
#include "edge/api/embedded.h"
#include "edge/api/endpoint.h"

/* q of an Accept field's element, in thousandths; 1000 without one, 0 for one that is malformed. */
static unsigned quality_of(struct pc_bytes params)
{
    unsigned q = 0, unit = 1000;
    while (params.n && params.p[0] == ' ')
        params = pc_bytes_of(params.p + 1, params.n - 1);
    if (params.n < 2 || (params.p[0] | 0x20) != 'q' || params.p[1] != '=')
        return 1000;
    for (size_t i = 2; i < params.n && unit; i++) {
        if (params.p[i] == '.' && i == 3)
            continue;
        if (params.p[i] < '0' || params.p[i] > '9')
            break;
        q += unit * (unsigned)(params.p[i] - '0');
        unit /= 10;
    }
    return q > 1000 ? 0 : q;
}

static struct pc_bytes trim(struct pc_bytes s)
{
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
        s = pc_bytes_of(s.p + 1, s.n - 1);
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

struct wants {
    unsigned html, json, any;
    bool html_named, json_named;
};

static void take_element(struct pc_bytes element, struct wants *w)
{
    const uint8_t *end = memchr(element.p, ';', element.n);
    size_t n = end ? (size_t)(end - element.p) : element.n;
    struct pc_bytes type = trim(pc_bytes_of(element.p, n));
    unsigned q = end ? quality_of(pc_bytes_of(end + 1, element.n - n - 1)) : 1000;
    if (pc_bytes_eq_nocase(type, PC_LIT("text/html"))) {
        w->html = q;
        w->html_named = true;
    } else if (pc_bytes_eq_nocase(type, PC_LIT("application/json"))) {
        w->json = q;
        w->json_named = true;
    } else if (pc_bytes_eq_nocase(type, PC_LIT("*/*"))) {
        w->any = q;
    }
}

bool pc_accept_prefers_html(struct pc_bytes accept)
{
    struct wants w = {0};
    while (accept.n) {
        const uint8_t *end = memchr(accept.p, ',', accept.n);
        size_t n = end ? (size_t)(end - accept.p) : accept.n, skip = n + (end != NULL);
        struct pc_bytes element = trim(pc_bytes_of(accept.p, n));
        if (element.n)
            take_element(element, &w);
        accept = pc_bytes_of(accept.p + skip, accept.n - skip);
    }
    if (!w.html_named || w.html == 0)
        return false;
    return w.json_named ? w.html > w.json : w.html >= w.any;
}

/* Nothing of the page comes from anybody else; its one style sheet stands in it. */
static void reply_page(struct pc_call *call)
{
    struct pc_reply r = {
        .status = 200,
        .content_type = "text/html; charset=utf-8",
        .body = pc_bytes_of(pc_index_html, pc_index_html_n),
        .fields = PC_LIT("Vary: Accept\r\n"),
        .content_policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    };
    pc_call_reply(call, &r);
}

static void put_roles(struct pc_buf *b, unsigned roles)
{
    static const struct {
        unsigned bit;
        const char *name;
    } names[] = {
        {PC_ROLE_GATEWAY, "gateway"},
        {PC_ROLE_PUBLIC,  "public" },
        {PC_ROLE_ADMIN,   "admin"  },
    };
    bool first = true;
    pc_buf_lit(b, ",\"roles\":[");
    for (size_t i = 0; i < PC_COUNT(names); i++) {
        if (!(roles & names[i].bit))
            continue;
        pc_buf_fmt(b, "%s\"%s\"", first ? "" : ",", names[i].name);
        first = false;
    }
    pc_buf_char(b, ']');
}

static void put_endpoint(struct pc_buf *b, const struct pc_endpoint *e)
{
    pc_buf_lit(b, "\n{\"methods\":\"");
    if (e->methods == PC_METHODS_ALL)
        pc_buf_char(b, '*');
    else
        pc_methods_write(b, e->methods);
    pc_buf_lit(b, "\",\"path\":");
    pc_buf_json_str(b, pc_bytes_str(e->path));
    put_roles(b, e->roles);
    pc_buf_fmt(b, ",\"permission\":\"%s\",\"summary\":", pc_permission_name(e->permission));
    pc_buf_json_str(b, pc_bytes_str(e->summary));
    pc_buf_char(b, '}');
}

void pc_handle_index(struct pc_call *call)
{
    if (pc_accept_prefers_html(pc_http_value(call->req, PC_FIELD_ACCEPT))) {
        reply_page(call);
        return;
    }
    struct pc_buf b = pc_call_scratch(call);
    pc_buf_lit(&b, "{\"name\":\"portcullis\",\"version\":\"" PC_VERSION
                   "\",\"description\":\"Authorization decisions for API gateways: tokens, "
                   "revocations, limits, flags\",\"documentation\":\"/openapi.json\","
                   "\"endpoints\":[");
    for (size_t i = 0; i < pc_endpoint_count; i++) {
        if (i)
            pc_buf_char(&b, ',');
        put_endpoint(&b, &pc_endpoints[i]);
    }
    pc_buf_lit(&b, "]}\n");
    PC_ASSERT(!b.overflow);
    struct pc_reply r = {.status = 200,
                         .content_type = "application/json",
                         .body = pc_bytes_of(b.p, b.len),
                         .fields = PC_LIT("Vary: Accept\r\n")};
    pc_call_reply(call, &r);
}

void pc_handle_openapi(struct pc_call *call)
{
    pc_call_reply_json(call, 200, pc_bytes_of(pc_openapi_json, pc_openapi_json_n));
}
