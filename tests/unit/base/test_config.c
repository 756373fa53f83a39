/* SPDX-License-Identifier: Apache-2.0
 * Loading a configuration: sources, precedence, and what each refusal says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/config.h"

static char dir[32], file[64], overlay[64], env_file[64];

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/pc-config-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(file, sizeof file, "%s/portcullis.yaml", dir);
    snprintf(overlay, sizeof overlay, "%s/overlay.yaml", dir);
    snprintf(env_file, sizeof env_file, "%s/env", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(file);
    unlink(overlay);
    unlink(env_file);
    return rmdir(dir);
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static struct pc_config *load(const struct pc_config_options *o)
{
    struct pc_config *c = NULL;
    struct pc_why why = {""};
    if (pc_config_load(o, &c, &why))
        fail_msg("refused: %s", why.text);
    return c;
}

static struct pc_config *load_yaml(const char *yaml)
{
    write_text(file, yaml);
    return load(&(struct pc_config_options){.path = file});
}

static void assert_refused(const struct pc_config_options *o, const char *says)
{
    struct pc_config *c = (struct pc_config *)1;
    struct pc_why why = {""};
    if (pc_config_load(o, &c, &why) == 0)
        fail_msg("accepted; expected: %s", says);
    assert_ptr_equal(c, (struct pc_config *)1); /* untouched on failure */
    if (!strstr(why.text, says))
        fail_msg("says \"%s\", not \"%s\"", why.text, says);
}

static void assert_yaml_refused(const char *yaml, const char *says)
{
    write_text(file, yaml);
    assert_refused(&(struct pc_config_options){.path = file}, says);
}

static void assert_env_refused(const char *variable, const char *says)
{
    char copy[256];
    snprintf(copy, sizeof copy, "%s", variable);
    assert_refused(
        &(struct pc_config_options){
            .environ = (char *[]){copy, NULL}
    },
        says);
}

static void without_configuration_it_listens_on_loopback_only(void **state)
{
    (void)state;
    struct pc_config *c = load(&(struct pc_config_options){0});
    struct pc_why why;
    assert_int_equal(c->listener_count, 2);
    assert_int_equal(c->listeners[0].protocol, PC_PROTOCOL_HTTP1);
    assert_int_equal(c->listeners[0].parsed.port, 8080);
    assert_int_equal(c->listeners[1].protocol, PC_PROTOCOL_RESP);
    assert_int_equal(c->listeners[1].parsed.port, 6380);
    assert_true(pc_address_is_local(&c->listeners[0].parsed));
    assert_int_equal(c->listeners[0].role_bits, PC_ROLE_GATEWAY | PC_ROLE_PUBLIC | PC_ROLE_ADMIN);
    assert_int_equal(c->issuer_count, 0);
    assert_string_equal(c->prefixes[0].prefix, "bl:");
    assert_string_equal(c->data_dir, "./data");
    assert_string_equal(c->admin.tokens_file, "./data/admin_tokens.json");
    assert_int_equal(c->http.header_timeout_ms, 5000);
    assert_int_equal(c->http.body_bytes, 1 << 20);
    assert_int_equal(c->journal.segment_bytes, 16 << 20);
    assert_false(c->resp.trust_loopback);
    assert_int_equal(pc_config_check(c, false, &why), 0);
    pc_config_free(c);
}

static void an_empty_file_and_one_of_comments_are_the_defaults(void **state)
{
    (void)state;
    struct pc_config *c = load(&(struct pc_config_options){0});
    const char *const texts[] = {"", "# nothing\n", "\n\n", "---\n"};
    for (size_t i = 0; i < 3; i++) {
        struct pc_config *d = load_yaml(texts[i]);
        assert_string_equal(c->hash, d->hash);
        pc_config_free(d);
    }
    pc_config_free(c);
}

static const char full[] = "data_dir: /var/lib/p\n"
                           "cores: 3\n"
                           "durability: async\n"
                           "listeners:\n"
                           "  - name: gw\n"
                           "    address: \"0.0.0.0:9000\"\n"
                           "    protocols: [http1]\n"
                           "    roles: [gateway]\n"
                           "    trusted_peers: [10.0.0.0/8, unix, \"2001:db8::/32\"]\n"
                           "    forwarded: x-forwarded-for\n"
                           "  - {name: sock, address: \"unix:/run/p.sock\", protocols: [resp],\n"
                           "     unix_mode: \"0600\"}\n"
                           "issuers:\n"
                           "  - name: https://id.example\n"
                           "    jwks_file: keys.json\n"
                           "    algorithms: [ES256]\n"
                           "    audiences: [api, web]\n"
                           "    clock_skew: 2s\n"
                           "    max_token_lifetime: 1h\n"
                           "    claims: {session: session_state, roles: realm_access.roles}\n"
                           "admin: {issuer: https://id.example, admin_values: [boss]}\n"
                           "resp:\n"
                           "  trust_loopback: true\n"
                           "  prefixes:\n"
                           "    - {prefix: \"jwt:\", form: token, allow_unrevoke: true}\n"
                           "http: {body: 64KiB, idle_timeout: 100ms}\n"
                           "log: {level: debug, decisions_sample: 0.25}\n"
                           "cors: {origins: [\"https://app.example\"]}\n";

static void every_kind_of_value_arrives(void **state)
{
    (void)state;
    struct pc_config *c = load_yaml(full);
    const struct pc_config_listener *l = &c->listeners[0];
    assert_int_equal(c->cores, 3);
    assert_int_equal(c->durability, PC_DURABILITY_ASYNC);
    assert_int_equal(c->listener_count, 2);
    assert_int_equal(l->role_bits, PC_ROLE_GATEWAY);
    assert_int_equal(l->peer_count, 2);
    assert_true(l->trust_unix_peers);
    assert_int_equal(l->forwarded, PC_CLIENT_X_FORWARDED_FOR);
    assert_int_equal(c->listeners[1].unix_mode, 0600);
    assert_string_equal(c->listeners[1].parsed.path, "/run/p.sock");
    assert_int_equal(c->issuers[0].audiences.n, 2);
    assert_int_equal(c->issuers[0].clock_skew_ms, 2000);
    assert_string_equal(c->issuers[0].claims.session, "session_state");
    assert_string_equal(c->issuers[0].claims.client, "client_id");
    assert_true(c->issuers[0].require_jti);
    assert_string_equal(c->admin.admin_values.v[0], "boss");
    assert_string_equal(c->admin.tokens_file, "/var/lib/p/admin_tokens.json");
    assert_int_equal(c->prefixes[0].form, PC_PREFIX_TOKEN);
    assert_int_equal(c->http.body_bytes, 65536);
    assert_int_equal(c->http.idle_timeout_ms, 100);
    assert_true(c->log.decisions_sample == 0.25);
    assert_int_equal(c->log.level, 0);
    pc_config_free(c);
}

static void what_is_shown_loads_to_the_same_configuration(void **state)
{
    (void)state;
    struct pc_config *c = load_yaml(full);
    char *shown = pc_config_show(c, true);
    assert_non_null(strstr(shown, "cores: 3  # file\n"));
    assert_non_null(strstr(shown, "pin: \"auto\"  # default\n"));
    assert_non_null(strstr(shown, "content not shown"));
    struct pc_config *d = load_yaml(shown);
    assert_string_equal(c->hash, d->hash);
    assert_int_equal(strlen(c->hash), PC_CONFIG_HASH_CHARS);
    struct pc_config *e = load_yaml("cores: 4\n");
    assert_string_not_equal(c->hash, e->hash);
    free(shown);
    pc_config_free(c);
    pc_config_free(d);
    pc_config_free(e);
}

static void mistakes_in_the_file_are_refused_with_their_line(void **state)
{
    (void)state;
    const struct {
        const char *yaml, *says;
    } cases[] = {
        {"coers: 1\n",                                              "portcullis.yaml:1: unknown key \"coers\""                 },
        {"cores: 1\nhttp:\n  body: 1KiB\n\n  bdoy: 2\n",            ":5: unknown key \"bdoy\""                                 },
        {"listeners:\n  - name: x\n    role: [gateway]\n",          ":3: unknown key \"role\""                                 },
        {"cores: 1\ncores: 2\n",                                    ":2: given twice: \"cores\""                               },
        {"pin: auto\ncores: many\n",                                "portcullis.yaml:2: cores: Invalid INT value: 'many'"      },
        {"resp: {trust_loopback: fasle}\n",
         ":1: trust_loopback: none of the words that may stand here: \"fasle\""                                                },
        {"resp:\n  trust_loopback: 1\n",
         ":2: trust_loopback: none of the words that may stand here: \"1\""                                                    },
        {"\ndurability: always\n",
         ":2: durability: none of the words that may stand here: \"always\""                                                   },
        {"http: 5\n",                                               ":1: http: Expecting MAPPING, got event: SCALAR"           },
        {"cors:\n  origins: https://a\n",                           ":2: origins: Expecting SEQUENCE, got event: SCALAR"       },
        {"data_dir: [a]\n",                                         ":1: data_dir: Expecting STRING, got event: SEQUENCE_START"},
        {"a: &x 1\nb: *x\n",                                        ":1: unknown key \"a\""                                    },
        {"cores: 1\n---\ncores: 2\n",                               "after first"                                              },
        {"http:\n\tbody: 1\n",                                      ":"                                                        },
        {"listeners: []\n",                                         ":1: "                                                     },
        {"issuers:\n  - {name: a, jwks_file: b, algorithms: []}\n", ":2: "                                                     },
    };
    for (size_t i = 0; i < PC_COUNT(cases); i++)
        assert_yaml_refused(cases[i].yaml, cases[i].says);
}

static void values_out_of_range_are_refused_with_their_path(void **state)
{
    (void)state;
    const struct {
        const char *yaml, *says;
    } cases[] = {
        {"cores: 257\n",                              "cores: must be between 0 and 256"                 },
        {"cores: -1\n",                               "cores: "                                          },
        {"http: {header_timeout: 1ms}\n",             "http.header_timeout: must be between 10ms and 10m"},
        {"http: {header_timeout: 5}\n",               "http.header_timeout: not a duration"              },
        {"http: {body: 1MB}\n",                       "http.body: not a size"                            },
        {"journal: {segment: 1GiB}\n",                "journal.segment: must be between 4KiB and 256MiB" },
        {"journal: {segment: 5000B}\n",               "journal.segment: must be a multiple"              },
        {"log: {decisions_sample: 1.5}\n",            "log.decisions_sample: must be between 0 and 1"    },
        {"log: {decisions_sample: nan}\n",            "log.decisions_sample: not a number"               },
        {"issuers:\n  - {name: a, clock_skew: 1h}\n", "issuers[0].clock_skew: must be between"           },
        {"listeners:\n  - {unix_mode: \"0999\"}\n",   "listeners[0].unix_mode: not a file mode"          },
        {"limits: {writer_queue: 100}\n",             "limits.writer_queue: must be a power of two"      },
        {"data_dir: \"\"\n",                          "data_dir: must not be empty"                      },
        {"signature_budget: {fraction: 0}\n",         "signature_budget.fraction"                        },
        {"signature_budget: {client_share: 0.6}\n",   "signature_budget.client_share"                    },
        {"cors: {origins: [app.example]}\n",          "cors.origins: not an origin"                      },
        {"cors: {origins: [\"https://a/b\"]}\n",      "cors.origins: not an origin"                      },
        {"cors: {allow_all: true}\n",                 "cors.allow_all: only in development mode"         },
    };
    for (size_t i = 0; i < PC_COUNT(cases); i++)
        assert_yaml_refused(cases[i].yaml, cases[i].says);
}

static void rules_over_listeners(void **state)
{
    (void)state;
    const struct {
        const char *yaml, *says;
    } cases[] = {
        {"listeners: [{name: \"a b\"}]\n",                            "listeners[0].name: must be of letters"        },
        {"listeners: [{address: \"example.com:80\"}]\n",              "listeners[0].address: not an address"         },
        {"listeners: [{address: \"127.0.0.1\"}]\n",                   "listeners[0].address: not an address"         },
        {"listeners: [{address: \"unix:relative\"}]\n",               "listeners[0].address: not an address"         },
        {"listeners: [{name: a}, {name: a, address: \"[::1]:1\"}]\n", "listeners[1].name: used"                      },
        {"listeners: [{name: a}, {name: b}]\n",                       "listeners[1].address: used twice"             },
        {"listeners: [{protocols: [http1, resp]}]\n",                 "listeners[0].protocols: must be one"          },
        {"listeners: [{protocols: [http2]}]\n",                       "listeners[0].protocols: must be http1 or resp"},
        {"listeners: [{roles: [root]}]\n",                            "listeners[0].roles: must be gateway"          },
        {"listeners: [{trusted_peers: [10.0.0.1/8]}]\n",              "listeners[0].trusted_peers: not a net"        },
        {"listeners: [{forwarded: forwarded}]\n",                     "listeners[0].trusted_peers: must name"        },
    };
    for (size_t i = 0; i < PC_COUNT(cases); i++)
        assert_yaml_refused(cases[i].yaml, cases[i].says);
    pc_config_free(load_yaml("listeners: [{name: a, address: \"[::1]:0\"}, "
                             "{name: b, address: \"[::1]:0\"}]\n")); /* any port, twice */
}

static void rules_over_issuers_and_prefixes(void **state)
{
    (void)state;
    const struct {
        const char *yaml, *says;
    } cases[] = {
        {"issuers: [{jwks_file: x}]\n",                                   "issuers[0].name: must be"                  },
        {"issuers: [{name: \"*\", jwks_file: x}]\n",                      "issuers[0].name: must be"                  },
        {"issuers: [{name: a, jwks_file: x}, {name: a, jwks_file: y}]\n", "issuers[1].name: used"                     },
        {"issuers: [{name: a}]\n",                                        "issuers[0].jwks_file: must name"           },
        {"issuers: [{name: a, jwks_file: x, algorithms: [none]}]\n",      "issuers[0].algorithms: not"                },
        {"issuers: [{name: a, algorithms: [HS256]}]\n",                   "issuers[0].allow_hmac: must be true"       },
        {"issuers: [{name: a, algorithms: [HS256], allow_hmac: true}]\n",
         "issuers[0].hmac_secret_file: must name"                                                                     },
        {"issuers: [{name: a, jwks_file: x, allow_hmac: true}]\n",        "issuers[0].algorithms: has no"             },
        {"admin: {issuer: a}\n",                                          "admin.issuer: no such issuer"              },
 /* An empty word would be found in every list of a token, the empty one too. */
        {"routes: [{name: a, path: /a, scopes: [\"\"]}]\n",               "routes[0].scopes: has an empty"            },
        {"routes: [{name: a, path: /a, roles: [x, \"\"]}]\n",             "routes[0].roles: has an empty"             },
        {"resp: {prefixes: [{prefix: \"\"}]}\n",                          "resp.prefixes[0].prefix: must not be empty"},
        {"resp: {prefixes: [{prefix: a}, {prefix: a}]}\n",                "resp.prefixes[1].prefix: used twice"       },
        {"resp: {prefixes: [{issuer: a}]}\n",                             "resp.prefixes[0].issuer: no such issuer"   },
        {"issuers: [{name: a, jwks_file: x}, {name: b, jwks_file: y}]\n"
         "resp: {prefixes: [{prefix: \"k:\"}]}\n",               "resp.prefixes[0].issuer: must be named"    },
    };
    for (size_t i = 0; i < PC_COUNT(cases); i++)
        assert_yaml_refused(cases[i].yaml, cases[i].says);
    pc_config_free(load_yaml("issuers: [{name: a, jwks_file: x}, {name: b, jwks_file: y}]\n"));
    pc_config_free(load_yaml("issuers: [{name: a, algorithms: [HS256], allow_hmac: true, "
                             "hmac_secret_file: s}]\n"));
}

static void the_environment_wins_over_the_file(void **state)
{
    (void)state;
    const char *variables[] = {"HOME=/root",
                               "PORTCULLIS_CORES=2",
                               "PORTCULLIS_HTTP_IDLE_TIMEOUT=1s",
                               "PORTCULLIS_RESP_TRUST_LOOPBACK=true",
                               "PORTCULLIS_CORS_ORIGINS=https://a, https://b",
                               "PORTCULLIS_ISSUERS_1_NAME=second",
                               "PORTCULLIS_ISSUERS_1_JWKS_FILE=k2",
                               "PORTCULLIS_ISSUERS_0_CLAIMS_SESSION=s",
                               "PORTCULLIS_HTTP_PORT=1234",
                               "PORTCULLIS_ADMIN_TOKEN_FILE=/run/secrets/admin",
                               "PORTCULLIS_DATA_DIR=/d",
                               "PORTCULLIS_URL=http://ignored",
                               NULL};
    write_text(file, "cores: 1\nissuers: [{name: first, jwks_file: k1}]\nhttp: {fields: 50}\n");
    struct pc_config *c =
        load(&(struct pc_config_options){.path = file, .environ = (char **)variables});
    assert_int_equal(c->cores, 2);
    assert_int_equal(c->http.fields, 50);
    assert_int_equal(c->http.idle_timeout_ms, 1000);
    assert_true(c->resp.trust_loopback);
    assert_int_equal(c->cors.origins.n, 2);
    assert_string_equal(c->cors.origins.v[1], "https://b");
    assert_int_equal(c->issuer_count, 2);
    assert_string_equal(c->issuers[1].name, "second");
    assert_string_equal(c->issuers[0].claims.session, "s");
    assert_int_equal(c->listeners[0].parsed.port, 1234);
    assert_int_equal(c->listeners[1].parsed.port, 6380);
    assert_string_equal(c->admin.token_file, "/run/secrets/admin");
    assert_string_equal(c->admin.tokens_file, "/d/admin_tokens.json");
    char *shown = pc_config_show(c, true);
    assert_non_null(strstr(shown, "cores: 2  # environment\n"));
    assert_non_null(strstr(shown, "address: \"127.0.0.1:1234\"  # environment\n"));
    free(shown);
    pc_config_free(c);
}

static void mistakes_in_the_environment_are_refused_by_name(void **state)
{
    (void)state;
    assert_env_refused("PORTCULLIS_COERS=1", "unknown variable PORTCULLIS_COERS");
    assert_env_refused("PORTCULLIS_=1", "unknown variable PORTCULLIS_");
    assert_env_refused("PORTCULLIS_LISTENERS=1", "unknown variable PORTCULLIS_LISTENERS");
    assert_env_refused("PORTCULLIS_LISTENERS_99_NAME=a", "unknown variable");
    assert_env_refused("PORTCULLIS_LISTENERS_0_NAMES=a", "unknown variable");
    assert_env_refused("PORTCULLIS_LISTENERS_x_NAME=a", "unknown variable");
    assert_env_refused("PORTCULLIS_ISSUERS_1_NAME=a", "issuers[1].name: there is no entry before");
    assert_env_refused("PORTCULLIS_CORES=", "cores: not a whole number");
    assert_env_refused("PORTCULLIS_DATA_DIR=\xff", "data_dir: has a control character");
    assert_env_refused("PORTCULLIS_DATA_DIR=\xc1\x81", "data_dir: has a control character");
    assert_env_refused("PORTCULLIS_DATA_DIR=\xed\xa0\x80", "data_dir: has a control character");
    assert_env_refused("PORTCULLIS_PIN=maybe", "pin: not one of its words");
    assert_env_refused("PORTCULLIS_HTTP_PORT=70000", "PORTCULLIS_HTTP_PORT: not a port");
    assert_env_refused("PORTCULLIS_LISTENERS_0_ROLES=", "listeners[0].roles: must not be empty");
    const char *variables[] = {"PORTCULLIS_RESP_PORT=1", NULL};
    write_text(file, "listeners: [{name: only}]\n");
    assert_refused(&(struct pc_config_options){.path = file, .environ = (char **)variables},
                   "PORTCULLIS_RESP_PORT: no listener \"resp\"");
}

static void an_env_file_stands_between_file_and_environment(void **state)
{
    (void)state;
    const char *variables[] = {"PORTCULLIS_CORES=3", NULL};
    write_text(file, "cores: 1\n");
    write_text(env_file, "# comment\n\nOTHER=x\n  PORTCULLIS_CORES=2 \n"
                         "PORTCULLIS_DATA_DIR=\"/with blank\"\r\nPORTCULLIS_LOG_LEVEL='warn'");
    struct pc_config_options o = {.path = file, .env_file = env_file};
    struct pc_config *c = load(&o);
    assert_int_equal(c->cores, 2);
    assert_string_equal(c->data_dir, "/with blank");
    assert_int_equal(c->log.level, 2);
    pc_config_free(c);
    o.environ = (char **)variables;
    c = load(&o);
    assert_int_equal(c->cores, 3);
    pc_config_free(c);
    write_text(env_file, "PORTCULLIS_CORES=2\nnonsense\n");
    assert_refused(&o, "env:2: not NAME=value");
    write_text(env_file, "PORTCULLIS_NOPE=2\n");
    assert_refused(&o, "env: unknown variable PORTCULLIS_NOPE");
}

static void an_overlay_adds_to_lists_and_replaces_values(void **state)
{
    (void)state;
    write_text(file, "cores: 1\nissuers: [{name: a, jwks_file: x}]\n");
    write_text(overlay, "cores: 2\nissuers: [{name: dev, jwks_file: y}]\n");
    struct pc_config *c = load(&(struct pc_config_options){.path = file, .overlay = overlay});
    assert_int_equal(c->cores, 2);
    assert_int_equal(c->issuer_count, 2);
    assert_string_equal(c->issuers[0].name, "a");
    assert_string_equal(c->issuers[1].name, "dev");
    pc_config_free(c);
}

static void off_loopback_needs_roles_and_administrators(void **state)
{
    (void)state;
    const struct {
        const char *yaml;
        bool have_tokens, dev;
        const char *says; /* NULL: accepted */
    } cases[] = {
        {"listeners: [{address: \"0.0.0.0:80\"}]\n",                   true,  false, "listeners[0].roles: must say"},
        {"listeners: [{address: \"[::]:80\", roles: [gateway]}]\n",    false, false,
         "admin.token_file: other machines can reach [::]:80"                                                      },
        {"listeners: [{address: \"0.0.0.0:80\", roles: [gateway]}]\n", true,  false, NULL                          },
        {"listeners: [{address: \"0.0.0.0:80\", roles: [gateway]}]\n"
         "admin: {token_file: x}\n",                          false, false, NULL                          },
        {"listeners: [{address: \"0.0.0.0:80\", roles: [gateway]}]\n", true,  true,
         "listeners[0].address: development mode"                                                                  },
        {"listeners: [{address: \"unix:/run/x\"}]\n",                  false, true,  NULL                          },
        {"listeners: [{address: \"[::ffff:127.0.0.1]:80\"}]\n",        false, false, NULL                          },
        {"listeners: [{address: \"localhost:80\"}]\n",                 false, true,  NULL                          },
    };
    for (size_t i = 0; i < PC_COUNT(cases); i++) {
        struct pc_config *c;
        struct pc_why why = {""};
        write_text(file, cases[i].yaml);
        c = load(&(struct pc_config_options){.path = file, .dev = cases[i].dev});
        int err = pc_config_check(c, cases[i].have_tokens, &why);
        assert_int_equal(err, cases[i].says ? -EINVAL : 0);
        if (cases[i].says && !strstr(why.text, cases[i].says))
            fail_msg("case %zu says: %s", i, why.text);
        pc_config_free(c);
    }
}

static void assert_restart(const char *a, const char *b, const char *keys)
{
    char text[256] = "";
    struct pc_buf names = pc_buf_of(text, sizeof text - 1);
    struct pc_config *running = load_yaml(a), *fresh = load_yaml(b);
    unsigned n = pc_config_needs_restart(running, fresh, &names);
    assert_string_equal(text, keys);
    assert_int_equal(n == 0, *keys == 0);
    pc_config_free(running);
    pc_config_free(fresh);
}

static void a_reload_knows_what_needs_a_restart(void **state)
{
    (void)state;
    assert_restart(full, full, "");
    assert_restart("log: {level: debug}\n", "issuers: [{name: a, jwks_file: x}]\n", "");
    assert_restart("cores: 1\nhttp: {body: 1KiB}\n", "http: {body: 2KiB}\n", "cores, http.body");
    assert_restart("data_dir: a\n", "data_dir: b\nadmin: {token_file: c}\n", "data_dir");
    assert_restart("io_uring: {mask: [a]}\n", "io_uring: {mask: [b]}\n", "io_uring.mask");
    assert_restart("listeners: [{name: a}]\n", "listeners: [{name: b}]\n", "listeners");
    assert_restart("listeners: [{roles: [admin]}]\n", "listeners: [{roles: [gateway]}]\n",
                   "listeners");
    assert_restart("listeners: [{name: a}]\n", "{}\n", "listeners");
}

static void files_that_cannot_be_read_are_named(void **state)
{
    (void)state;
    assert_refused(&(struct pc_config_options){.path = "/nonexistent/p.yaml"},
                   "/nonexistent/p.yaml: No such file");
    assert_refused(&(struct pc_config_options){.path = dir}, dir);
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    for (int i = 0; i < PC_CONFIG_FILE_MAX / 8 + 1; i++)
        fputs("# filler", f);
    fclose(f);
    assert_refused(&(struct pc_config_options){.path = file}, "larger than its limit");
}

static void count_key(void *ctx, const char *path, const char *type, const char *default_text,
                      const char *help, bool live)
{
    unsigned *n = ctx;
    ++*n;
    if (strcmp(path, "issuers[].name") == 0)
        assert_true(live);
    if (strcmp(path, "listeners[].name") == 0)
        assert_false(live);
    assert_true(*path && *type && default_text && help);
    assert_true(strlen(help) > 10 && help[strlen(help) - 1] == '.');
}

static void every_key_is_documented(void **state)
{
    (void)state;
    unsigned n = 0;
    pc_config_document(count_key, &n);
    assert_true(n > 60);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_configuration_it_listens_on_loopback_only),
        TEST(an_empty_file_and_one_of_comments_are_the_defaults),
        TEST(every_kind_of_value_arrives),
        TEST(what_is_shown_loads_to_the_same_configuration),
        TEST(mistakes_in_the_file_are_refused_with_their_line),
        TEST(values_out_of_range_are_refused_with_their_path),
        TEST(rules_over_listeners),
        TEST(rules_over_issuers_and_prefixes),
        TEST(the_environment_wins_over_the_file),
        TEST(mistakes_in_the_environment_are_refused_by_name),
        TEST(an_env_file_stands_between_file_and_environment),
        TEST(an_overlay_adds_to_lists_and_replaces_values),
        TEST(off_loopback_needs_roles_and_administrators),
        TEST(a_reload_knows_what_needs_a_restart),
        TEST(files_that_cannot_be_read_are_named),
        TEST(every_key_is_documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
