/* SPDX-License-Identifier: Apache-2.0
 * Requests from their bytes to their answers' bytes, through the real HTTP protocol, decisions and
 * writer, over a connection in memory: who may do what, what is refused and with which code, what
 * a revocation changes, and that a cached decision allocates nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "edge/api/endpoint.h"
#include "edge/api/mutate.h"
#include "edge/api/principal.h"
#include "edge/state/rcu.h"
#include "support/fake_conn.h"

/* ---- counting allocations ---- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define COUNTS_ALLOCATIONS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define COUNTS_ALLOCATIONS 0
#endif
#endif
#ifndef COUNTS_ALLOCATIONS
#define COUNTS_ALLOCATIONS 1
#endif

static _Thread_local unsigned long allocations;

#if COUNTS_ALLOCATIONS
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t count, size_t n);
void *__libc_realloc(void *p, size_t n);

void *malloc(size_t n)
{
    allocations++;
    return __libc_malloc(n);
}

void *calloc(size_t count, size_t n)
{
    allocations++;
    return __libc_calloc(count, n);
}

void *realloc(void *p, size_t n)
{
    allocations++;
    return __libc_realloc(p, n);
}
#endif

/* ---- the server ---- */

#define ISSUER "issuer-0"
#define NOW_S  (RIG_WALL_MS / 1000)

enum { NOBODY, GATEWAY, OPERATOR, ADMIN, EXPIRED, REVOKED, CREDENTIALS };

static struct rig rig;
static struct rig_core core;
static struct fake_conn conn;
static struct sim_disk *disk;
static char credentials[CREDENTIALS][PC_ADMIN_TOKEN_TEXT_MAX];
static char request[FAKE_CONN_INPUT_MAX / 2];

static void add_credential(unsigned i, const char *name, enum pc_admin_role role, int64_t expires_s)
{
    uint8_t random[40] = {(uint8_t)i};
    int rc = pc_admin_tokens_create(&core.settings->admins, name, role, NOW_S - 100, expires_s,
                                    random, credentials[i]);
    assert_int_equal(rc, 0);
}

static int setup(void **state)
{
    (void)state;
    disk = sim_disk_new(1);
    rig_init(&rig, disk);
    rig.options.segment_bytes = 4u << 20;
    assert_int_equal(0, rig_open(&rig));
    rig_core_init(&core, &rig);
    add_credential(GATEWAY, "gw", PC_ADMIN_GATEWAY, INT64_MAX);
    add_credential(OPERATOR, "op", PC_ADMIN_OPERATOR, INT64_MAX);
    add_credential(ADMIN, "root", PC_ADMIN_ADMIN, INT64_MAX);
    add_credential(EXPIRED, "old", PC_ADMIN_ADMIN, NOW_S);
    add_credential(REVOKED, "gone", PC_ADMIN_ADMIN, INT64_MAX);
    assert_int_equal(0, pc_admin_tokens_revoke(&core.settings->admins, "gone", NOW_S - 1));
    fake_conn_open_http(&conn, &core);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_conn_close(&conn);
    rig_core_free(&core);
    rig_drop(&rig);
    rig_free(&rig);
    sim_disk_free(disk);
    return 0;
}

/* A refusal may end the connection; the next request has a new one. */
static unsigned ask(const char *text)
{
    if (conn.closing) {
        fake_conn_close(&conn);
        fake_conn_open_http(&conn, &core);
    }
    fake_conn_ask(&conn, &rig, text);
    return fake_conn_status(&conn);
}

static unsigned call(const char *method, const char *path, const char *credential, const char *body)
{
    int n = snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: h\r\n", method, path);
    if (credential && credential[0])
        n += snprintf(request + n, sizeof request - (size_t)n, "Authorization: Bearer %s\r\n",
                      credential);
    if (body)
        n += snprintf(request + n, sizeof request - (size_t)n, "Content-Length: %zu\r\n",
                      strlen(body));
    snprintf(request + n, sizeof request - (size_t)n, "\r\n%s", body ? body : "");
    return ask(request);
}

static bool answer_has(const char *text)
{
    return strstr((const char *)conn.out, text) != NULL;
}

static const char *token(const char *jti)
{
    static char text[RIG_TOKEN_MAX];
    return rig_token(&rig, 0, "alice", jti, NOW_S,
                     ",\"sid\":\"s1\",\"client_id\":\"app\",\"scope\":\"read write\","
                     "\"roles\":[\"staff\"]",
                     text);
}

/* ---- endpoints ---- */

/* A path of the pattern: parameters filled in. */
static const char *path_of(const struct pc_endpoint *e)
{
    static char path[128];
    struct pc_buf b = pc_buf_of(path, sizeof path - 1);
    for (const char *p = e->path; *p; p++) {
        if (*p == '{') {
            pc_buf_str(&b, strncmp(p, "{kind}", 6) == 0 ? "token" : "x");
            p = strchr(p, '}');
        } else if (*p == '*') {
            pc_buf_lit(&b, "some/path");
        } else {
            pc_buf_char(&b, *p);
        }
    }
    assert_false(b.overflow);
    path[b.len] = 0;
    return path;
}

static const char *method_of(const struct pc_endpoint *e)
{
    return e->methods & PC_METHOD_BIT(GET)    ? "GET"
           : e->methods & PC_METHOD_BIT(POST) ? "POST"
                                              : "DELETE";
}

static void every_endpoint_names_role_and_permission(void **state)
{
    (void)state;
    for (size_t i = 0; i < pc_endpoint_count; i++) {
        const struct pc_endpoint *e = &pc_endpoints[i];
        assert_true(e->roles != 0 && (e->roles & ~(unsigned)PC_ROLE_ANY) == 0);
        assert_int_not_equal(e->permission, PC_PERMISSION_UNSET);
        assert_true(e->handle && e->summary && e->summary[0] && e->path[0] == '/');
        assert_true(strlen(pc_permission_name(e->permission)) > 0);
    }
}

static void every_endpoint_wants_its_credential(void **state)
{
    (void)state;
    for (size_t i = 0; i < pc_endpoint_count; i++) {
        const struct pc_endpoint *e = &pc_endpoints[i];
        if (e->permission <= PC_PERMISSION_DECIDE)
            continue; /* from the same machine decisions need none */
        const char *body = strcmp(method_of(e), "GET") == 0 ? NULL : "{}";
        assert_int_equal(401, call(method_of(e), path_of(e), "", body));
        assert_true(answer_has("CREDENTIAL_MISSING") && answer_has("WWW-Authenticate: Bearer"));
        assert_int_equal(401, call(method_of(e), path_of(e), "wrong", body));
        assert_true(answer_has("CREDENTIAL_INVALID"));
        assert_int_equal(401, call(method_of(e), path_of(e), credentials[EXPIRED], body));
        assert_int_equal(401, call(method_of(e), path_of(e), credentials[REVOKED], body));
        if (e->permission > PC_PERMISSION_GATEWAY)
            assert_int_equal(403, call(method_of(e), path_of(e), credentials[GATEWAY], body));
        if (e->permission > PC_PERMISSION_OPERATOR)
            assert_int_equal(403, call(method_of(e), path_of(e), credentials[OPERATOR], body));
    }
}

static void every_endpoint_keeps_to_its_listeners(void **state)
{
    (void)state;
    static const unsigned roles[] = {PC_ROLE_GATEWAY, PC_ROLE_PUBLIC, PC_ROLE_ADMIN};
    for (size_t i = 0; i < pc_endpoint_count; i++)
        for (unsigned k = 0; k < PC_COUNT(roles); k++) {
            const struct pc_endpoint *e = &pc_endpoints[i];
            if (e->roles & roles[k])
                continue;
            conn.info.roles = roles[k];
            assert_int_equal(404, call(method_of(e), path_of(e), credentials[ADMIN], NULL));
            assert_true(answer_has("WRONG_LISTENER"));
        }
}

static void paths_answer_under_api_and_methods_are_told(void **state)
{
    (void)state;
    assert_int_equal(200, call("GET", "/liveness", NULL, NULL));
    assert_int_equal(200, call("GET", "/api/liveness", NULL, NULL));
    assert_int_equal(200, call("HEAD", "/liveness", NULL, NULL));
    assert_int_equal(405, call("POST", "/liveness", NULL, ""));
    assert_true(answer_has("Allow: GET, HEAD"));
    assert_int_equal(204, call("OPTIONS", "/v1/revoke", NULL, NULL));
    assert_true(answer_has("POST") && answer_has("DELETE"));
    assert_int_equal(404, call("GET", "/v1/revocations/token", credentials[ADMIN], NULL));
    assert_int_equal(404, call("GET", "/v1/authx", NULL, NULL));
    assert_int_equal(400, call("GET", "/v1/%2e%2e%2fadmin", NULL, NULL));
    assert_int_equal(200, call("GET", "/health", NULL, NULL));
    assert_int_equal(200, call("GET", "/readiness", NULL, NULL));
    assert_int_equal(200, call("GET", "/", NULL, NULL));
    for (size_t i = 0; i < pc_endpoint_count; i++)
        assert_true(answer_has(pc_endpoints[i].path));
}

/* ---- credentials ---- */

static void administrators_of_an_issuer_are_told_by_their_roles(void **state)
{
    (void)state;
    static const char *admins[] = {"boss"}, *operators[] = {"ops", "sre"}, *gateways[] = {"gw"},
                      *viewers[] = {"see"};
    static const struct {
        unsigned issuer;
        const char *roles;
        unsigned role;
    } cases[] = {
        {1, ",\"roles\":[\"boss\"]",          PC_ADMIN_ADMIN                    },
        {1, ",\"roles\":[\"x\",\"sre\"]",     PC_ADMIN_OPERATOR                 },
        {1, ",\"roles\":[\"gw\"]",            PC_ADMIN_GATEWAY                  },
        {1, ",\"roles\":[\"gw\",\"boss\"]",   PC_ADMIN_GATEWAY | PC_ADMIN_ADMIN },
        {1, ",\"roles\":[\"see\"]",           PC_ADMIN_VIEWER                   },
        {1, ",\"roles\":[\"see\",\"gw\"]",    PC_ADMIN_VIEWER | PC_ADMIN_GATEWAY},
        {1, ",\"roles\":[\"bos\",\"bosss\"]", PC_ADMIN_NONE                     },
        {1, "",                               PC_ADMIN_NONE                     },
        {0, ",\"roles\":[\"boss\"]",          PC_ADMIN_NONE                     },
    };
    static const struct pc_ip client = {
        .family = 4, .b = {127, 0, 0, 1}
    };
    struct pc_config *c = core.settings->config;
    char text[RIG_TOKEN_MAX];
    struct pc_principal p;
    bool busy;
    c->admin.issuer = "issuer-1";
    c->admin.admin_values = (struct pc_words){admins, 1};
    c->admin.operator_values = (struct pc_words){operators, 2};
    c->admin.gateway_values = (struct pc_words){gateways, 1};
    c->admin.viewer_values = (struct pc_words){viewers, 1};
    for (unsigned i = 0; i < PC_COUNT(cases); i++) {
        core.core.now_ms = RIG_WALL_MS;
        core.core.now_ns += 1000000000;
        rig_token(&rig, cases[i].issuer, "eve", "t", NOW_S, cases[i].roles, text);
        pc_principal_of(&core.worker, pc_bytes_str(text), &client, &p, &busy);
        assert_false(busy);
        assert_int_equal(p.role, cases[i].role);
        if (p.role)
            assert_string_equal(p.actor, "jwt:eve");
    }
    rig_token(&rig, 1, "eve", "t", NOW_S, cases[0].roles, text);
    assert_int_equal(401, call("POST", "/v1/revoke", "pcadm_0000000000000000_0", "{}"));
    assert_int_equal(400, call("POST", "/v1/revoke", text, "{}")); /* admitted */
    /* Such a token is revoked like any other. */
    assert_int_equal(0, rig_commit(&rig, PC_KIND_SUBJECT, PC_OP_REVOKE, "issuer-1", "eve"));
    assert_int_equal(401, call("POST", "/v1/revoke", text, "{}"));
}

static void a_bearer_credential_is_read_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *field;
        unsigned status;
    } cases[] = {
        {"Authorization: Bearer %s\r\n",                            200},
        {"Authorization: bearer  %s\r\n",                           200},
        {"Authorization: Basic %s\r\n",                             401},
        {"Authorization: %s\r\n",                                   401},
        {"X-Authorization: Bearer %s\r\n",                          401},
        {"Authorization: Bearer %s\r\nAuthorization: Bearer x\r\n", 401},
    };
    for (unsigned i = 0; i < PC_COUNT(cases); i++) {
        char field[RIG_TOKEN_MAX];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(field, sizeof field, cases[i].field, token("t"));
#pragma GCC diagnostic pop
        snprintf(request, sizeof request, "GET /v1/auth HTTP/1.1\r\nHost: h\r\n%s\r\n", field);
        assert_int_equal(cases[i].status, ask(request));
    }
}

/* ---- decisions ---- */

static void an_allow_carries_every_identity_header(void **state)
{
    (void)state;
    assert_int_equal(200, call("GET", "/v1/auth", token("j1"), NULL));
    static const char *const fields[] = {
        "X-Portcullis-Subject: alice\r\n",   "X-Portcullis-Client: app\r\n",
        "X-Portcullis-Session: s1\r\n",      "X-Portcullis-Token-Id: j1\r\n",
        "X-Portcullis-Issuer: issuer-0\r\n", "X-Portcullis-Scopes: read write\r\n",
        "X-Portcullis-Roles: staff\r\n",
    };
    for (unsigned i = 0; i < PC_COUNT(fields); i++)
        assert_true(answer_has(fields[i]));
    char bare[RIG_TOKEN_MAX];
    rig_token(&rig, 0, "bob", "j2", NOW_S, "", bare);
    assert_int_equal(200, call("POST", "/v1/auth/nginx", bare, ""));
    assert_true(answer_has("X-Portcullis-Client: \r\n") || answer_has("X-Portcullis-Client:\r\n"));
    assert_int_equal(200, call("GET", "/v1/auth/envoy/any/path", bare, NULL));
    assert_int_equal(401, call("GET", "/v1/auth", NULL, NULL));
    assert_true(answer_has("TOKEN_MISSING"));
    assert_int_equal(401, call("GET", "/v1/auth/nginx", "x.y.z", NULL));
    assert_int_equal(401, call("GET", "/v1/auth", "x.y.z", NULL));
    assert_true(answer_has("TOKEN_MALFORMED"));
}

static void an_ambiguous_original_path_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"/a/%2e%2e/%2e%2e/b", "/a%2fb", "/a\\b", "/a%00", "/%252e"};
    for (unsigned i = 0; i < PC_COUNT(bad); i++) {
        snprintf(request, sizeof request,
                 "GET /v1/auth HTTP/1.1\r\nHost: h\r\nX-Forwarded-Uri: %s\r\n"
                 "Authorization: Bearer %s\r\n\r\n",
                 bad[i], token("t"));
        assert_int_equal(400, ask(request));
        assert_true(answer_has("PATH_AMBIGUOUS"));
        snprintf(request, sizeof request,
                 "GET /v1/auth/nginx HTTP/1.1\r\nHost: h\r\nX-Original-Uri: %s\r\n"
                 "Authorization: Bearer %s\r\n\r\n",
                 bad[i], token("t"));
        assert_int_equal(403, ask(request));
        assert_true(answer_has("X-Portcullis-Status: 400"));
    }
}

static void a_check_is_read_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        unsigned status;
        const char *says;
    } cases[] = {
        {"{}",                                                         200, "\"code\":\"TOKEN_MISSING\""  },
        {"{\"token\":\"x\"}",                                          200, "\"code\":\"TOKEN_MALFORMED\""},
        {"{\"token\":\"\",\"limits\":[],\"flags\":[],\"context\":{}}", 200, "TOKEN_MISSING"               },
        {"{\"request\":{\"method\":\"GET\",\"path\":\"/a?b=%2f\"}}",   200, "\"allow\":false"             },
        {"{\"request\":{\"path\":\"/a%2fb\"}}",                        400, "PATH_AMBIGUOUS"              },
        {"{\"request\":{\"path\":7}}",                                 400, "BAD_REQUEST"                 },
        {"{\"request\":7}",                                            400, "BAD_REQUEST"                 },
        {"{\"token\":7}",                                              400, "BAD_REQUEST"                 },
        {"{\"tokens\":\"x\"}",                                         400, "unknown member"              },
        {"{\"token\":\"x\",\"token\":\"y\"}",                          400, "JSON_INVALID"                },
        {"{\"limits\":[{}]}",                                          400, "must name a policy"          },
        {"{\"limits\":{}}",                                            400, "BAD_REQUEST"                 },
        {"{\"flags\":[\"f\"]}",                                        200, "\"flags\":{\"f\":null}"      },
        {"{\"flags\":1}",                                              400, "BAD_REQUEST"                 },
        {"{\"route\":\"r\"}",                                          400, "ROUTE_UNKNOWN"               },
        {"{\"context\":[]}",                                           400, "BAD_REQUEST"                 },
        {"[]",                                                         400, "BAD_REQUEST"                 },
        {"{",                                                          400, "JSON_INVALID"                },
        {"",                                                           400, "JSON_INVALID"                },
    };
    for (unsigned i = 0; i < PC_COUNT(cases); i++) {
        unsigned status = call("POST", "/v1/check", NULL, cases[i].body);
        if (status != cases[i].status || !answer_has(cases[i].says))
            fail_msg("%s -> %s", cases[i].body, (const char *)conn.out);
    }
    char body[RIG_TOKEN_MAX + 32];
    snprintf(body, sizeof body, "{\"token\":\"%s\"}", token("j1"));
    assert_int_equal(200, call("POST", "/v1/check", NULL, body));
    assert_true(answer_has("\"allow\":true") && answer_has("\"jti\":\"j1\"") &&
                answer_has("\"scopes\":[\"read\",\"write\"]"));
}

/* ---- revoking ---- */

#define T43 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

static void bad_wishes_have_their_codes(void **state)
{
    (void)state;
    static const struct {
        unsigned who;
        const char *body;
        unsigned status;
        const char *code;
    } cases[] = {
        {ADMIN,    "{}",                                                                           400, "KIND_MISSING"      },
        {ADMIN,    "{\"kind\":\"tokn\",\"id\":\"x\"}",                                             400, "KIND_UNKNOWN"      },
        {ADMIN,    "{\"kind\":1}",                                                                 400, "BAD_REQUEST"       },
        {ADMIN,    "{\"kind\":\"token\",\"id\":\"x\"}",                                            400, "ISSUER_MISSING"    },
        {ADMIN,    "{\"kind\":\"token\",\"id\":\"x\",\"issuer\":\"nobody\"}",                      400, "ISSUER_UNKNOWN"    },
        {ADMIN,    "{\"kind\":\"token\",\"issuer\":\"issuer-0\"}",                                 400, "ID_MISSING"        },
        {ADMIN,    "{\"kind\":\"token\",\"issuer\":\"*\",\"id\":\"\"}",                            400, "ID_MISSING"        },
        {ADMIN,    "{\"kind\":\"token\",\"issuer\":\"*\",\"id\":\"a\\nb\"}",                       400, "ID_INVALID"        },
        {ADMIN,    "{\"kind\":\"key\",\"issuer\":\"*\",\"id\":\"kid\"}",                           400, "ID_INVALID"        },
        {ADMIN,    "{\"kind\":\"key\",\"issuer\":\"*\",\"id\":\"" T43 "\",\"ttl\":5}",             400,
         "TTL_NOT_ALLOWED"                                                                                                  },
        {ADMIN,    "{\"kind\":\"issuer\",\"issuer\":\"*\",\"id\":\"x\"}",                          400, "ID_NOT_ALLOWED"    },
        {ADMIN,    "{\"kind\":\"issuer\",\"issuer\":\"*\",\"ttl\":5}",                             400, "TTL_NOT_ALLOWED"   },
        {ADMIN,    "{\"kind\":\"all\",\"issuer\":\"issuer-0\"}",                                   400, "ISSUER_NOT_ALLOWED"},
        {ADMIN,    "{\"kind\":\"all\",\"expires_at\":1900000000}",                                 400, "TTL_NOT_ALLOWED"   },
        {ADMIN,    "{\"kind\":\"subject\",\"issuer\":\"*\",\"id\":\"x\",\"ttl\":5}",               400,
         "TTL_NOT_ALLOWED"                                                                                                  },
        {ADMIN,    "{\"kind\":\"subject\",\"issuer\":\"*\",\"id\":\"x\",\"cutoff\":true}",         400,
         "CUTOFF_NOT_ALLOWED"                                                                                               },
        {ADMIN,    "{\"kind\":\"issuer\",\"issuer\":\"*\",\"cutoff\":1}",                          400, "BAD_REQUEST"       },
        {ADMIN,    "{\"kind\":\"token\",\"issuer\":\"*\",\"id\":\"x\",\"ttl\":0}",                 400, "TTL_INVALID"       },
        {ADMIN,    "{\"kind\":\"token\",\"issuer\":\"*\",\"id\":\"x\",\"ttl\":-1}",                400,
         "TTL_INVALID"                                                                                                      },
        {ADMIN,    "{\"kind\":\"token\",\"issuer\":\"*\",\"id\":\"x\",\"ttl\":\"1y\"}",            400,
         "TTL_INVALID"                                                                                                      },
        {ADMIN,    "{\"kind\":\"token\",\"issuer\":\"*\",\"id\":\"x\",\"ttl\":1e300}",             400,
         "TTL_INVALID"                                                                                                      },
        {ADMIN,    "{\"kind\":\"token\",\"issuer\":\"*\",\"id\":\"x\",\"ttl\":9e9}",               400,
         "TTL_INVALID"                                                                                                      },
        {ADMIN,    "{\"kind\":\"token\",\"issuer\":\"*\",\"id\":\"x\",\"expires_at\":1}",          400,
         "TTL_INVALID"                                                                                                      },
        {ADMIN,
         "{\"kind\":\"token\",\"issuer\":\"*\",\"id\":\"x\",\"ttl\":5,\"expires_at\":1900000000}", 400, "TTL_INVALID"       },
        {ADMIN,    "{\"kind\":\"token\",\"issuer\":\"*\",\"id\":\"x\",\"reason\":\"a\\u0001\"}",   400,
         "REASON_INVALID"                                                                                                   },
        {ADMIN,    "{\"kind\":\"token\",\"issuer\":\"*\",\"id\":\"x\",\"why\":1}",                 400,
         "unknown member"                                                                                                   },
        {ADMIN,    "{\"token\":\"x.y.z\"}",                                                        400, "TOKEN_MALFORMED"   },
        {ADMIN,    "{\"token\":\"x\",\"kind\":\"token\"}",                                         400, "BAD_REQUEST"       },
        {ADMIN,    "[]",                                                                           400, "BAD_REQUEST"       },
        {ADMIN,    "[1]",                                                                          400, "BAD_REQUEST"       },
        {ADMIN,    "7",                                                                            400, "BAD_REQUEST"       },
        {ADMIN,    "nonsense",                                                                     400, "JSON_INVALID"      },
        {GATEWAY,  "{\"kind\":\"session\",\"issuer\":\"*\",\"id\":\"x\"}",                         403, "FORBIDDEN"         },
        {GATEWAY,  "{\"kind\":\"all\"}",                                                           403, "FORBIDDEN"         },
        {GATEWAY,  "{\"kind\":\"token\",\"issuer\":\"*\",\"id\":\"x\"}",                           403, "FORBIDDEN"         },
        {GATEWAY,  "{\"kind\":\"token\",\"issuer\":\"issuer-0\",\"id\":\"x\"}",                    200,
         "\"revoked\":1"                                                                                                    },
        {OPERATOR, "{\"kind\":\"key\",\"issuer\":\"*\",\"id\":\"" T43 "\"}",                       200, "\"revoked\":1"     },
    };
    for (unsigned i = 0; i < PC_COUNT(cases); i++) {
        unsigned status = call("POST", "/v1/revoke", credentials[cases[i].who], cases[i].body);
        if (status != cases[i].status || !answer_has(cases[i].code))
            fail_msg("%s -> %s", cases[i].body, (const char *)conn.out);
    }
    assert_int_equal(400, call("DELETE", "/v1/revoke", credentials[ADMIN],
                               "{\"kind\":\"token\",\"issuer\":\"*\",\"id\":\"x\",\"ttl\":5}"));
    assert_true(answer_has("TTL_NOT_ALLOWED"));
}

static void a_revocation_is_seen_by_the_next_request(void **state)
{
    (void)state;
    char text[RIG_TOKEN_MAX], body[RIG_TOKEN_MAX + 32];
    snprintf(text, sizeof text, "%s", token("j1"));
    assert_int_equal(200, call("GET", "/v1/auth", text, NULL));
    snprintf(body, sizeof body, "{\"token\":\"%s\",\"reason\":\"stolen\"}", text);
    assert_int_equal(200, call("POST", "/v1/revoke", credentials[GATEWAY], body));
    assert_true(answer_has("\"changed\":1") && answer_has("\"id\":\"j1\""));
    assert_int_equal(401, call("GET", "/v1/auth", text, NULL));
    assert_true(answer_has("TOKEN_REVOKED"));
    assert_int_equal(200, call("POST", "/v1/revoke", credentials[GATEWAY], body)); /* again */
    assert_true(answer_has("\"changed\":0"));
    assert_int_equal(
        200, call("GET", "/v1/revocations/token/j1?issuer=issuer-0", credentials[GATEWAY], NULL));
    assert_true(answer_has("\"revoked\":true") && answer_has("\"expires_at\":1800000900"));
    static const char id[] = "{\"kind\":\"token\",\"issuer\":\"issuer-0\",\"id\":\"j1\"}";
    assert_int_equal(403, call("DELETE", "/v1/revoke", credentials[GATEWAY], id));
    assert_int_equal(200, call("DELETE", "/v1/revoke", credentials[OPERATOR], id));
    assert_true(answer_has("\"unrevoked\":1"));
    assert_int_equal(200, call("GET", "/v1/auth", text, NULL));
    assert_int_equal(
        200, call("GET", "/v1/revocations/token/j1?issuer=issuer-0", credentials[GATEWAY], NULL));
    assert_true(answer_has("\"revoked\":false"));
}

/* Without a ttl it lasts as long as any token of the issuer issued by now can live, one issued by a
 * clock ahead by the skew included. */
static void a_revocation_without_ttl_outlives_every_token(void **state)
{
    (void)state;
    rig.settings[0].max_lifetime_ms = 900000;
    rig_reload(&rig);
    int64_t iat_s = NOW_S + RIG_SKEW_MS / 1000;
    char text[RIG_TOKEN_MAX];
    rig_token(&rig, 0, "u", "j9", iat_s, "", text);
    assert_int_equal(200, call("POST", "/v1/revoke", credentials[GATEWAY],
                               "{\"kind\":\"token\",\"issuer\":\"issuer-0\",\"id\":\"j9\"}"));
    rig.wall_ms = (iat_s + 900) * 1000 + RIG_SKEW_MS - 1;
    assert_int_equal(401, call("GET", "/v1/auth", text, NULL));
    assert_true(answer_has("TOKEN_REVOKED"));
    rig.wall_ms++;
    assert_int_equal(401, call("GET", "/v1/auth", text, NULL));
    assert_true(answer_has("TOKEN_EXPIRED"));
}

static void a_batch_is_all_or_nothing(void **state)
{
    (void)state;
    assert_int_equal(400, call("POST", "/v1/revoke", credentials[ADMIN],
                               "[{\"kind\":\"token\",\"issuer\":\"*\",\"id\":\"a\"},"
                               "{\"kind\":\"token\",\"issuer\":\"?\",\"id\":\"b\"}]"));
    assert_false(rig_look_up(&rig, PC_KIND_TOKEN, "*", "a").refused);
    assert_int_equal(200, call("POST", "/v1/revoke", credentials[ADMIN],
                               "[{\"kind\":\"token\",\"issuer\":\"*\",\"id\":\"a\"},"
                               "{\"kind\":\"subject\",\"issuer\":\"issuer-1\",\"id\":\"b\"},"
                               "{\"kind\":\"issuer\",\"issuer\":\"issuer-1\",\"cutoff\":true}]"));
    assert_true(answer_has("\"revoked\":3") && answer_has("\"changed\":3"));
    assert_true(rig_look_up(&rig, PC_KIND_TOKEN, "*", "a").refused);
    assert_true(rig_look_up(&rig, PC_KIND_ISSUER, "issuer-1", "").cutoff_ms >= RIG_WALL_MS);
}

static void a_failed_journal_is_told_and_decisions_go_on(void **state)
{
    (void)state;
    static const char body[] = "{\"kind\":\"token\",\"issuer\":\"*\",\"id\":\"a\"}";
    sim_disk_fault(disk, SIM_SYNC, 1, false);
    assert_int_equal(503, call("POST", "/v1/revoke", credentials[ADMIN], body));
    assert_int_equal(503, call("POST", "/v1/revoke", credentials[ADMIN], body));
    assert_true(answer_has("READ_ONLY") && answer_has("Retry-After"));
    assert_int_equal(200, call("GET", "/v1/auth", token("t"), NULL));
    assert_int_equal(200, call("GET", "/health", NULL, NULL));
    assert_true(answer_has("degraded"));
    struct pc_mutation_refusal r;
    static const int results[] = {PC_E_READ_ONLY, PC_E_FULL, -ENOSPC};
    static const char *const codes[] = {"READ_ONLY", "JOURNAL_FULL", "NOT_STORED"};
    for (unsigned i = 0; i < PC_COUNT(results); i++) {
        pc_mutation_explain(results[i], &r);
        assert_int_equal(r.status, 503);
        assert_string_equal(r.code, codes[i]);
    }
}

/* Bodies broken at random are answered, one way or the other. */
static void broken_bodies_are_answered(void **state)
{
    (void)state;
    static const char good[] =
        "[{\"kind\":\"session\",\"issuer\":\"issuer-0\",\"id\":\"s\\u00e9\",\"ttl\":\"15m\","
        "\"reason\":\"r\"},{\"kind\":\"token\",\"issuer\":\"*\",\"id\":\"x\",\"expires_at\":1.9e9}"
        "]";
    uint64_t random = 5;
    for (unsigned i = 0; i < 2000; i++) {
        char body[sizeof good];
        memcpy(body, good, sizeof good);
        for (uint64_t n = 1 + sim_below(&random, 3); n > 0; n--)
            body[sim_below(&random, sizeof good - 1)] = (char)(1 + sim_below(&random, 127));
        unsigned status =
            call(sim_below(&random, 4) ? "POST" : "DELETE", "/v1/revoke", credentials[ADMIN], body);
        assert_true(status == 200 || status == 400 || status == 413);
        rig_forget(&rig);
        pc_rcu_quiescent();
    }
}

/* ---- the cached path ---- */

static void a_cached_decision_allocates_nothing(void **state)
{
    (void)state;
    if (!COUNTS_ALLOCATIONS)
        skip();
    char text[RIG_TOKEN_MAX];
    snprintf(text, sizeof text, "%s", token("j1"));
    assert_int_equal(200, call("GET", "/v1/auth", text, NULL));    /* warm */
    rig_commit(&rig, PC_KIND_SESSION, PC_OP_REVOKE, "*", "other"); /* wildcards looked up too */
    assert_int_equal(200, call("GET", "/v1/auth", text, NULL));
    snprintf(request, sizeof request,
             "GET /v1/auth HTTP/1.1\r\nHost: h\r\nX-Forwarded-Uri: /a/b?c\r\n"
             "Authorization: Bearer %s\r\n\r\n",
             text);
    struct pc_bytes bytes = pc_bytes_str(request);
    unsigned long before = allocations;
    for (unsigned i = 0; i < 1000; i++) {
        conn.out_n = 0;
        core.core.now_ms++;
        fake_conn_feed(&conn, bytes);
        assert_int_equal(200, fake_conn_status(&conn));
    }
    assert_int_equal(allocations, before);
    /* Nor does a refusal of a revoked one. */
    rig_commit(&rig, PC_KIND_TOKEN, PC_OP_REVOKE, ISSUER, "j1");
    before = allocations;
    for (unsigned i = 0; i < 100; i++) {
        conn.out_n = 0;
        fake_conn_feed(&conn, bytes);
        assert_int_equal(401, fake_conn_status(&conn));
    }
    assert_int_equal(allocations, before);
}

/* One route, one limit by subject, flags and an IP set on the way. */
static const char whole_config[] =
    "routes:\n"
    "  - {name: orders, path: \"/orders/{id}\", methods: [GET], hosts: [\"*.example\"],\n"
    "     scopes: [read], limits: [plenty], ip_sets: [near], flags: [cache.ttl_seconds]}\n"
    "limit_policies:\n"
    "  - {name: plenty, rate: 3000/min, key: [subject], algorithm: window}\n"
    "ip_sets:\n"
    "  - {name: near, default: deny, allow: [127.0.0.0/8]}\n";

static void a_whole_decision_allocates_nothing(void **state)
{
    (void)state;
    char text[RIG_TOKEN_MAX];
    rig_install(&rig, whole_config);
    rig_token(&rig, 0, "alice", "whole", NOW_S, ",\"sid\":\"s1\",\"scope\":\"read write\"", text);
    snprintf(request, sizeof request,
             "GET /v1/auth HTTP/1.1\r\nHost: h\r\nX-Forwarded-Uri: /orders/7?x=1\r\n"
             "X-Forwarded-Method: GET\r\nX-Forwarded-Host: shop.example:443\r\n"
             "Authorization: Bearer %s\r\n\r\n",
             text);
    struct pc_bytes bytes = pc_bytes_str(request);
    assert_int_equal(200, ask(request)); /* now the token is in the cache */
    unsigned long before = allocations;
    for (unsigned i = 1; i < 3000; i++) {
        conn.out_n = 0;
        fake_conn_feed(&conn, bytes);
        assert_int_equal(200, fake_conn_status(&conn));
    }
    assert_true(answer_has("X-Portcullis-Route: orders\r\n") &&
                answer_has("X-Portcullis-Flags: {\"cache.ttl_seconds\":300}\r\n") &&
                answer_has("X-RateLimit-Remaining: 0\r\n"));
    /* Nor does the refusal by the limit. */
    for (unsigned i = 0; i < 100; i++) {
        conn.out_n = 0;
        fake_conn_feed(&conn, bytes);
        assert_int_equal(429, fake_conn_status(&conn));
    }
    assert_true(answer_has("RATE_LIMITED") && answer_has("Retry-After: "));
    assert_int_equal(allocations, before);
    rig_install(&rig, "");
}

/* What the gateway tells of the original request, and what is refused because it does not. */
static void forward_auth_reads_the_original_request(void **state)
{
    (void)state;
    static const struct {
        const char *path, *fields;
        unsigned status;
        const char *says;
    } cases[] = {
        {"/v1/auth",             "X-Forwarded-Uri: /a\r\nX-Forwarded-Method: PUT\r\n",                           200,
         "X-Portcullis-Route: a-any"                                                                                                              },
        {"/v1/auth",             "X-Forwarded-Uri: /a\r\nX-Forwarded-Method: GET\r\n",                           200,
         "X-Portcullis-Route: a-get"                                                                                                              },
        {"/v1/auth",             "X-Forwarded-Uri: /a\r\nX-Original-Method: HEAD\r\n",                           200,
         "X-Portcullis-Route: a-get"                                                                                                              },
        {"/v1/auth",             "X-Original-Uri: /b;x=1?q\r\nX-Forwarded-Method: GET\r\n",                      200,
         "X-Portcullis-Route: b"                                                                                                                  },
        {"/v1/auth",             "X-Original-Url: http://h.example/a\r\nX-Original-Method: GET\r\n",             200,
         "X-Portcullis-Route: a-get"                                                                                                              },
        {"/v1/auth",             "",                                                                             400, "ORIGINAL_REQUEST_MISSING"  },
        {"/v1/auth",             "X-Forwarded-Uri: /a\r\n",                                                      400, "ORIGINAL_REQUEST_MISSING"  },
        {"/v1/auth",             "X-Forwarded-Method: GET\r\n",                                                  400, "ORIGINAL_REQUEST_MISSING"  },
 /* Two gateways' fields, one of them perhaps the client's. */
        {"/v1/auth",             "X-Forwarded-Uri: /a\r\nX-Original-Uri: /b\r\nX-Forwarded-Method: GET\r\n",
         400,                                                                                                         "ORIGINAL_REQUEST_AMBIGUOUS"},
        {"/v1/auth",             "X-Forwarded-Uri: /a\r\nX-Original-Uri: /./a?x\r\nX-Forwarded-Method: GET\r\n",
         200,                                                                                                         "X-Portcullis-Route: a-get" },
        {"/v1/auth",             "X-Forwarded-Uri: /a\r\nX-Forwarded-Method: GET\r\nX-Original-Method: PUT\r\n",
         400,                                                                                                         "ORIGINAL_REQUEST_AMBIGUOUS"},
        {"/v1/auth",
         "X-Forwarded-Uri: /a\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Method: GET\r\n",                        400,
         "ORIGINAL_REQUEST_AMBIGUOUS"                                                                                                             },
        {"/v1/auth/nginx",       "",                                                                             403, "X-Portcullis-Status: 400"  },
        {"/v1/auth/envoy/a",     "",                                                                             200, "X-Portcullis-Route: a-get" },
        {"/v1/auth/envoy/c/d?x", "X-Forwarded-Uri: /a\r\n",                                                      401, "TOKEN_MISSING"             },
 /* Methods have a case: "get" would meet a weaker rule. */
        {"/v1/auth",             "X-Forwarded-Uri: /a\r\nX-Forwarded-Method: get\r\nX-Original-Method: GET\r\n",
         400,                                                                                                         "ORIGINAL_REQUEST_AMBIGUOUS"},
    };
    rig_install(&rig, "routes:\n"
                      "  - {name: a-get, path: /a, methods: [GET], authentication: none}\n"
                      "  - {name: a-any, path: /a, authentication: none}\n"
                      "  - {name: b, path: /b, authentication: none}\n");
    for (size_t i = 0; i < PC_COUNT(cases); i++) {
        snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: h\r\n%s\r\n", cases[i].path,
                 cases[i].fields);
        unsigned status = ask(request);
        if (status != cases[i].status || !answer_has(cases[i].says))
            fail_msg("%s -> %s", request, (const char *)conn.out);
    }
    rig_install(&rig, "");
}

static void forward_auth_reads_the_original_host(void **state)
{
    (void)state;
    static const struct {
        const char *fields;
        unsigned status;
        const char *says;
    } cases[] = {
        {"X-Forwarded-Host: H.example:8080",                                     200, "Route: host"},
        {"X-Original-Url: http://H.example:80/x\r\nX-Forwarded-Host: h.example", 200,
         "Route: host"                                                                             },
        {"X-Original-Url: http://h.example/x",                                   200, "Route: host"},
        {"X-Original-Url: http://h.example/x\r\nX-Forwarded-Host: i.example",    400, "AMBIGUOUS"  },
        {"X-Forwarded-Host: h.example, i.example",                               400, "AMBIGUOUS"  },
        {"X-Forwarded-Host: h.example\r\nX-Forwarded-Host: h.example",           400, "AMBIGUOUS"  },
        {"X-Forwarded-Uri: /x",                                                  400, "MISSING"    },
    };
    rig_install(&rig, "routes:\n  - {name: host, hosts: [h.example], authentication: none}\n");
    for (size_t i = 0; i < PC_COUNT(cases); i++) {
        snprintf(request, sizeof request, "GET /v1/auth HTTP/1.1\r\nHost: h.example\r\n%s\r\n\r\n",
                 cases[i].fields);
        unsigned status = ask(request);
        if (status != cases[i].status || !answer_has(cases[i].says))
            fail_msg("%s -> %s", request, (const char *)conn.out);
    }
    rig_install(&rig, "");
}

static void refusals_of_routes_have_their_challenge(void **state)
{
    (void)state;
    rig_install(&rig, "routes:\n  - {name: a, path: \"\", scopes: [orders.read, orders.list]}\n");
    snprintf(request, sizeof request,
             "GET /v1/auth HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n\r\n",
             token("challenge"));
    assert_int_equal(403, ask(request));
    assert_true(answer_has("WWW-Authenticate: Bearer realm=\"portcullis\", "
                           "error=\"insufficient_scope\"") &&
                answer_has("scope=\"orders.read orders.list\"\r\n"));
    rig_install(&rig, "");
}

/* Each setting a verdict rests on: changed, it must change the verdict of a token that is cached.
 */
static void a_cached_verdict_dies_with_what_it_rested_on(void **state)
{
    (void)state;
    static const struct pc_bytes audiences[] = {PC_LIT("other")};
    static const struct pc_bytes types[] = {PC_LIT("other+jwt")};
    struct pc_issuer_settings good = rig.settings[0], *s = &rig.settings[0];
    struct mint_key *key = rig.keys[0];
    uint8_t seed[32] = {123};
    struct mint_key *another = mint_key_from_seed(seed, "key-0");
    char text[RIG_TOKEN_MAX];
    rig_token(&rig, 0, "alice", "j", NOW_S + 3, ",\"scope\":\"a\",\"scp2\":\"b\"", text);
    for (unsigned i = 0; i < 9; i++) {
        enum pc_token_error expected = PC_TOKEN_OK;
        assert_int_equal(PC_TOKEN_OK, rig_decide(&core, &rig, text)); /* cached */
        switch (i) {
        case 0: rig.keys[0] = another, expected = PC_TOKEN_SIGNATURE_INVALID; break;
        case 1: s->algorithms = PC_ALG_BIT(PC_ALG_ES256), expected = PC_TOKEN_ALGORITHM; break;
        case 2:
            s->audiences = audiences, s->audience_count = 1, expected = PC_TOKEN_AUDIENCE;
            break;
        case 3: s->skew_ms = 0, expected = PC_TOKEN_ISSUED_IN_FUTURE; break;
        case 4: s->types = types, s->type_count = 1, expected = PC_TOKEN_TYPE; break;
        case 5: s->max_lifetime_ms = 1000, expected = PC_TOKEN_LIFETIME; break;
        case 6: s->require_session = true, expected = PC_TOKEN_CLAIM_MISSING; break;
        case 7: s->name = PC_LIT("renamed"), expected = PC_TOKEN_ISSUER_UNKNOWN; break;
        case 8: s->claims.scopes = PC_LIT("scp2"); break;
        }
        rig_reload(&rig);
        assert_int_equal(expected, rig_decide(&core, &rig, text));
        assert_int_equal(expected, rig_decide(&core, &rig, text)); /* failures are cached as well */
        if (i == 8) {
            assert_int_equal(200, call("GET", "/v1/auth", text, NULL));
            assert_true(answer_has("X-Portcullis-Scopes: b\r\n"));
        }
        *s = good;
        rig.keys[0] = key;
        rig_reload(&rig);
    }
    assert_int_equal(PC_TOKEN_OK, rig_decide(&core, &rig, text));
    mint_key_free(another);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_endpoint_names_role_and_permission),
        TEST(every_endpoint_wants_its_credential),
        TEST(every_endpoint_keeps_to_its_listeners),
        TEST(paths_answer_under_api_and_methods_are_told),
        TEST(administrators_of_an_issuer_are_told_by_their_roles),
        TEST(a_bearer_credential_is_read_strictly),
        TEST(an_allow_carries_every_identity_header),
        TEST(an_ambiguous_original_path_is_refused),
        TEST(a_check_is_read_strictly),
        TEST(bad_wishes_have_their_codes),
        TEST(a_revocation_is_seen_by_the_next_request),
        TEST(a_revocation_without_ttl_outlives_every_token),
        TEST(a_batch_is_all_or_nothing),
        TEST(a_failed_journal_is_told_and_decisions_go_on),
        TEST(broken_bodies_are_answered),
        TEST(a_cached_decision_allocates_nothing),
        TEST(a_whole_decision_allocates_nothing),
        TEST(forward_auth_reads_the_original_request),
        TEST(forward_auth_reads_the_original_host),
        TEST(refusals_of_routes_have_their_challenge),
        TEST(a_cached_verdict_dies_with_what_it_rested_on),
    };
    pc_rcu_thread_register();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    pc_rcu_barrier();
    pc_rcu_thread_unregister();
    return failed;
}
