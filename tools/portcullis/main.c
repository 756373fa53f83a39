/* SPDX-License-Identifier: Apache-2.0
 * The portcullis command: the table of subcommands and options, and nothing else. */
#include "cli.h"

#include <locale.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OPTION(field) offsetof(struct cli_options, field)
#define HELP_COLUMN   26

static const struct cli_option options[] = {
    {"after",       "ID",       OPTION(after),       "go on behind this event"                                          },
    {"alg",         "NAME",     OPTION(alg),         "algorithm to sign with; default: what the key is for"             },
    {"anonymous",   NULL,       OPTION(anonymous),   "without a token"                                                  },
    {"aud",         "AUDIENCE", OPTION(aud),         "claim aud"                                                        },
    {"client",      "ID",       OPTION(client),      "claim client_id"                                                  },
    {"config",      "FILE",     OPTION(config),      "configuration (PORTCULLIS_CONFIG; ./portcullis.yaml)"             },
    {"connections", "N",        OPTION(connections), "connections used at once, 1 to 64 (default 4)"                    },
    {"cost",        "N",        OPTION(cost),        "what to take; default: the policy's cost; 0 only looks"           },
    {"count",       "N",        OPTION(count),       "stop after so many"                                               },
    {"credential",  "FILE",     OPTION(credential),
     "administrator's token (PORTCULLIS_ADMIN_TOKEN_FILE; admin.token of the data directory)"                           },
    {"cutoff",      NULL,       OPTION(cutoff),      "issuer: refuse tokens issued until now, not later ones"           },
    {"dev",         NULL,       OPTION(dev),         "development mode: its own issuer and administrator, loopback only"},
    {"env-file",    "FILE",     OPTION(env_file),    "file of PORTCULLIS_… variables"                                 },
    {"ephemeral",   NULL,       OPTION(ephemeral),   "until the next start only"                                        },
    {"expires-at",  "SECONDS",  OPTION(exp),         "honoured until this Unix time"                                    },
    {"family",      "ID",       OPTION(family),      "claim fam"                                                        },
    {"follow",      NULL,       OPTION(follow),      "go on as lines are written"                                       },
    {"force",       NULL,       OPTION(force),       "also while a server uses the directory"                           },
    {"help",        NULL,       OPTION(help),        "this text"                                                        },
    {"host",        "HOST",     OPTION(host),        "Host of the request"                                              },
    {"import",      "FILE",     OPTION(import),      "revoke every line of an NDJSON file; can be resumed"              },
    {"ip",          "ADDRESS",  OPTION(ip),          "address of the client; default: of this command"                  },
    {"iss",         "NAME",     OPTION(iss),         "claim iss; needed with --key"                                     },
    {"issuer",      "NAME",     OPTION(issuer),      "issuer of the id; * is every issuer"                              },
    {"json",        NULL,       OPTION(json),        "print the server's answer as it is"                               },
    {"jti",         "ID",       OPTION(jti),         "claim jti; default: a new UUID"                                   },
    {"key",         "FILE",     OPTION(key),         "private key, JWK (Ed25519) or PEM; default: the development key"  },
    {"kid",         "ID",       OPTION(kid),         "header kid"                                                       },
    {"method",      "METHOD",   OPTION(method),      "method of the request"                                            },
    {"lines",       "N",        OPTION(lines),       "how many lines from the end (default 10)"                         },
    {"name",        "NAME",     OPTION(name),        "name of the token"                                                },
    {"path",        "PATH",     OPTION(path),        "path of the request"                                              },
    {"prev",        "HASH",     OPTION(prev),        "SHA-256 of the last line of older files that were moved away"     },
    {"reason",      "TEXT",     OPTION(reason),      "why; kept in the journal"                                         },
    {"recover",     "HOW",      OPTION(recover),     "normal, strict or salvage: what to do about damage"               },
    {"role",        "ROLE",     OPTION(role),        "gateway, viewer, operator or admin"                               },
    {"roles",       "A,B",      OPTION(roles),       "claim roles"                                                      },
    {"route",       "NAME",     OPTION(route),       "decide by this route, whatever the request is"                    },
    {"scope",       "TEXT",     OPTION(scope),       "claim scope"                                                      },
    {"set",         "NAME",     OPTION(set),         "the IP set (default: global)"                                     },
    {"sid",         "ID",       OPTION(sid),         "claim sid"                                                        },
    {"source",      "SOURCE",   OPTION(source),      "configured or runtime only"                                       },
    {"sources",     NULL,       OPTION(sources),     "add where each value comes from"                                  },
    {"text-only",   NULL,       OPTION(text_only),   "the file alone, not what it refers to"                            },
    {"string",      NULL,       OPTION(string),      "VALUE is a text, also where it looks like JSON"                   },
    {"sub",         "NAME",     OPTION(sub),         "claim sub"                                                        },
    {"token-file",  "FILE",     OPTION(token_file),  "file with the token; - is standard input"                         },
    {"ttl",         "TIME",     OPTION(ttl),         "duration such as 15m, or seconds"                                 },
    {"undo",        NULL,       OPTION(undo),        "un-revoke instead"                                                },
    {"types",       "A,B",      OPTION(types),
     "flag, revocation or both; default: all the credential may see"                                                    },
    {"url",         "URL",      OPTION(url),
     "server (PORTCULLIS_URL; what the data directory says; http://127.0.0.1:8080); unix:PATH too"                      },
    {"wait",        "TIME",     OPTION(wait),        "how long to wait for the new server (default 60s)"                },
};

#define CLIENT_OPTIONS  "url", "credential"
#define REQUEST_OPTIONS "method", "host", "path", "ip", "route"

/* clang-format off */
const struct cli_command cli_commands[] = {
    {"serve",
     "",                       "Start the server and supervise it.",
     "Opens the listening sockets and keeps them open while the server is replaced, so that a\n"
     "restart refuses nobody. Signals: TERM and INT stop (a second one at once), HUP reloads,\n"
     "USR2 restarts.",                                                                            cli_serve,
     {"config", "env-file", "dev", "recover"},
     0,                                                                                                                                                0},
    {"restart",
     "",                       "Replace the running server without refusing a connection.",
     NULL,                                                                                        cli_restart,
     {"config", "env-file", "wait", "url"},
     0,                                                                                                                                                0},
    {"reload", "", "Have the server read configuration, keys, flags and lists again.",
     "What is bad is refused as a whole and the old stays. Some keys need a restart.",
     cli_reload, {CLIENT_OPTIONS}, 0, 0},
    {"snapshot",
     "",                       "Have the server write a snapshot now.",
     NULL,                                                                                        cli_snapshot,
     {CLIENT_OPTIONS},
     0,                                                                                                                                                0},
    {"confirm-clock",
     "",                       "Tell the server that its wall clock is right.",
     "After a clock step, or a start whose clock disagrees with the journal by more than an hour,\n"
     "expired revocations are kept until this is said (see: portcullis status).",                 cli_confirm_clock,
     {CLIENT_OPTIONS},
     0,                                                                                                                                                0},
    {"status",             "", "Say how the server is.",                                    NULL, cli_status,             {CLIENT_OPTIONS, "json"}, 0, 0},
    {"check", "[TOKEN]", "Ask whether a token, or a request with it, is allowed.",
     "Without TOKEN it is read from standard input: arguments can be seen by other users. Routes of\n"
     "the configuration need --path, and --method and --host where they name some. What the\n"
     "decision costs is taken from the limits. Exit status 0: allowed; 1: refused.",
     cli_check, {CLIENT_OPTIONS, "token-file", "anonymous", REQUEST_OPTIONS, "json"}, 0, 1},
    {"explain", "[TOKEN]", "Say step by step how a request would be decided.",
     "As check, but nothing is counted and nothing taken from limits; needs role viewer.",
     cli_explain, {CLIENT_OPTIONS, "token-file", "anonymous", REQUEST_OPTIONS, "json"}, 0, 1},
    {"revoke",
     "KIND [ID]",              "Revoke tokens; with --import, millions.",
     "KIND is token (ID: jti), session, family, subject, client, key (ID: thumbprint), issuer or\n"
     "all (no ID). With --token-file the token is reduced to issuer and jti by the server.",      cli_revoke,
     {CLIENT_OPTIONS, "issuer", "ttl", "expires-at", "reason", "token-file", "cutoff", "undo",
      "import", "connections", "json"},
     0,                                                                                                                                                2},
    {"unrevoke",
     "KIND [ID]",              "Take a revocation back.",
     NULL,                                                                                        cli_unrevoke,
     {CLIENT_OPTIONS, "issuer", "reason", "token-file", "json"},
     0,                                                                                                                                                2},
    {"revocation get",
     "KIND [ID]",              "Say whether something is revoked, and since when.",
     NULL,                                                                                        cli_revocation_get,
     {CLIENT_OPTIONS, "issuer", "json"},
     1,                                                                                                                                                2},
    {"flags list", "", "List all flags with type, source and value.",
     NULL, cli_flags_list, {CLIENT_OPTIONS, "json"}, 0, 0},
    {"flags get", "KEY", "Show one flag.",
     NULL, cli_flags_get, {CLIENT_OPTIONS, "json"}, 1, 1},
    {"flags set", "KEY VALUE", "Set a flag.",
     "VALUE is JSON (true, 42, {\"a\":1}) or else a text. A flag keeps its type; one that nobody\n"
     "knows yet is created. The value is kept over restarts unless --ephemeral is given.",
     cli_flags_set, {CLIENT_OPTIONS, "ephemeral", "string", "reason", "json"}, 2, 2},
    {"flags unset", "KEY", "Remove the value that was set: the file's or the default counts again.",
     NULL, cli_flags_unset, {CLIENT_OPTIONS, "json"}, 1, 1},
    {"limits take", "POLICY KEY", "Charge a limit.",
     "KEY is what the policy's key makes of a request (an address for the policy ip), or any text.\n"
     "Exit status 0: allowed; 1: refused.",
     cli_limits_take, {CLIENT_OPTIONS, "cost", "json"}, 2, 2},
    {"limits peek", "POLICY KEY", "Say what is left of a limit, without charging it.",
     NULL, cli_limits_peek, {CLIENT_OPTIONS, "json"}, 2, 2},
    {"limits reset", "POLICY KEY", "Forget what a key has taken.",
     NULL, cli_limits_reset, {CLIENT_OPTIONS, "json"}, 2, 2},
    {"limits top", "", "List the keys that are refused most, or close to it.",
     NULL, cli_limits_top, {CLIENT_OPTIONS, "json"}, 0, 0},
    {"flags reload", "", "Have the server read the flag file again.",
     NULL, cli_flags_reload, {CLIENT_OPTIONS, "json"}, 0, 0},
    {"ip-rules list", "", "List the IP rules, of the configuration and added at run time.",
     NULL, cli_ip_rules_list, {CLIENT_OPTIONS, "set", "source", "json"}, 0, 0},
    {"ip-rules add", "ACTION CIDR", "Allow or deny a network, at once.",
     "ACTION is allow or deny, CIDR 192.0.2.0/24, 2001:db8::/32 or an address. Of all rules that\n"
     "contain a client's address the longest decides. A rule of the same network is replaced.",
     cli_ip_rules_add, {CLIENT_OPTIONS, "set", "ttl", "expires-at", "reason", "json"}, 2, 2},
    {"ip-rules remove", "CIDR", "Remove a rule that was added at run time.",
     NULL, cli_ip_rules_remove, {CLIENT_OPTIONS, "set", "reason", "json"}, 1, 1},
    {"token mint",
     "",                       "Sign a token.",
     "With the key that serve --dev made, or with --key and --iss.",                              cli_token_mint,
     {"sub", "ttl", "scope", "roles", "client", "sid", "family", "jti", "aud", "key", "iss", "kid",
      "alg", "config", "env-file"},
     0,                                                                                                                                                0},
    {"admin-token create",
     "",                       "Make an administrator's token and print it once.",
     NULL,                                                                                        cli_admin_token_create,
     {"name", "role", "ttl", "config", "env-file"},
     0,                                                                                                                                                0},
    {"admin-token list",
     "",                       "List administrators' tokens.",
     NULL,                                                                                        cli_admin_token_list,
     {"config", "env-file"},
     0,                                                                                                                                                0},
    {"admin-token revoke",
     "NAME",                   "Revoke an administrator's token by name or id.",
     NULL,                                                                                        cli_admin_token_revoke,
     {"config", "env-file"},
     1,                                                                                                                                                1},
    {"config check",
     "",                       "Check the configuration, and all it refers to.",
     "As a start would: keys, administrators' tokens, routes, limit policies, lists of networks and "
     "flags are read too.",                                                                                        cli_config_check,
     {"config", "env-file", "dev", "text-only"},
     0,                                                                                                                                                0},
    {"config show",
     "",                       "Print the configuration in effect.",
     "What it prints is a configuration file; secrets are in files of their own and not shown.",  cli_config_show,
     {"config", "env-file", "dev", "sources"},
     0,                                                                                                                                                0},
    {"config keys",        "", "Describe every key.",                                       NULL, cli_config_keys,        {NULL},                   0, 0},
    {"journal ls",
     "[DIR]",                  "List the files of a journal.",
     NULL,                                                                                        cli_journal_ls,
     {"config", "env-file", "force"},
     0,                                                                                                                                                1},
    {"journal dump",
     "[DIR]",                  "Print the journal's records as NDJSON.",
     NULL,                                                                                        cli_journal_dump,
     {"config", "env-file", "force"},
     0,                                                                                                                                                1},
    {"journal verify",
     "[DIR]",                  "Read the whole journal and say what a start would do.",
     "Exit status 0: it would start; 1: it would refuse.",                                        cli_journal_verify,
     {"config", "env-file", "force", "recover"},
     0,                                                                                                                                                1},
    {"events", "", "Print changes of flags, and revocations, as they happen.",
     "A line of JSON each: {\"event\",\"id\",\"data\"}. A stream that ends is opened again behind the\n"
     "last event; \"reset\" says that events were missed. Revocations are told to role operator.",
     cli_events, {CLIENT_OPTIONS, "types", "after", "count"}, 0, 0},
    {"audit verify",
     "[DIR]", "Check audit.jsonl and the files before it against their chain and the journal.",
     "Finds a line that was changed, removed or put in, and an end that is cut off, as far as the\n"
     "chain of hashes and the records still in the journal tell; also while a server runs. Keep the\n"
     "hash of a line elsewhere to tell a chain that was written anew.\n"
     "Exit status 0: whole; 1: not.", cli_audit_verify,
     {"config", "env-file", "prev"},
     0, 1},
    {"audit tail",
     "[DIR]", "Print the last lines of audit.jsonl.",
     NULL, cli_audit_tail,
     {"config", "env-file", "lines", "follow"},
     0, 1},
    {"doctor",
     "",                       "Check this machine and say what to change.",
     NULL,                                                                                        cli_doctor,
     {"config", "env-file"},
     0,                                                                                                                                                0},
    {"version",            "", "Print versions.",                                           NULL, cli_version,            {NULL},                   0, 0},
};
/* clang-format on */
const unsigned cli_command_count = PC_COUNT(cli_commands);

/* ---- Help. ---- */

static const struct cli_option *find_option(const char *name, size_t n)
{
    for (size_t i = 0; i < PC_COUNT(options); i++)
        if (strlen(options[i].name) == n && strncmp(options[i].name, name, n) == 0)
            return &options[i];
    return NULL;
}

static void print_overview(FILE *f)
{
    fputs("usage: portcullis COMMAND [OPTIONS]\n\n", f);
    for (unsigned i = 0; i < cli_command_count; i++)
        fprintf(f, "  %-*s%s\n", HELP_COLUMN, cli_commands[i].name, cli_commands[i].summary);
    fputs("\nportcullis COMMAND --help describes one. Manual: portcullis(1).\n", f);
}

static void print_help(FILE *f, const struct cli_command *command)
{
    fprintf(f, "usage: portcullis %s%s%s%s\n\n%s\n", command->name, *command->args ? " " : "",
            command->args, command->options[0] ? " [OPTIONS]" : "", command->summary);
    if (command->details)
        fprintf(f, "%s\n", command->details);
    if (command->options[0])
        fputs("\n", f);
    for (size_t i = 0; i < CLI_OPTIONS_MAX && command->options[i]; i++) {
        const struct cli_option *o = find_option(command->options[i], strlen(command->options[i]));
        char left[64];
        PC_ASSERT(o);
        snprintf(left, sizeof left, "--%s%s%s", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
        fprintf(f, "  %-*s%s\n", HELP_COLUMN, left, o->help);
    }
}

/* ---- Errors. ---- */

static PC_PRINTF(1, 0) void complain(const char *fmt, va_list args)
{
    fputs("portcullis: ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
}

int cli_fail(int status, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    complain(fmt, args);
    va_end(args);
    return status;
}

int cli_usage(const struct cli *c, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    complain(fmt, args);
    va_end(args);
    if (c->command)
        fprintf(stderr, "Try: portcullis %s --help\n", c->command->name);
    else
        fputs("Try: portcullis --help\n", stderr);
    return CLI_USAGE;
}

/* ---- The command line. ---- */

/* Takes the words of a command's name from argv; how many they were, 0 if it is another. */
static int match_command(const struct cli_command *command, int argc, char **argv)
{
    const char *name = command->name;
    int words = 0;
    while (*name) {
        size_t n = strcspn(name, " ");
        if (words >= argc || strlen(argv[words]) != n || strncmp(argv[words], name, n) != 0)
            return 0;
        words++;
        name += n + (name[n] == ' ');
    }
    return words;
}

static bool knows_option(const struct cli_command *command, const char *name)
{
    if (strcmp(name, "help") == 0)
        return true;
    for (size_t i = 0; i < CLI_OPTIONS_MAX && command->options[i]; i++)
        if (strcmp(command->options[i], name) == 0)
            return true;
    return false;
}

/* Parses the option at args[*at]; moves *at when its value is the next word. */
static int parse_option(struct cli *c, char **args, int count, int *at)
{
    const char *word = args[*at] + 2, *equals = strchr(word, '=');
    size_t n = equals ? (size_t)(equals - word) : strlen(word);
    const struct cli_option *o = find_option(word, n);
    if (!o || !knows_option(c->command, o->name))
        return cli_usage(c, "%s has no option --%.*s", c->command->name, (int)n, word);
    void *value = (uint8_t *)&c->o + o->offset;
    if (!o->arg) {
        if (equals)
            return cli_usage(c, "--%s takes no value", o->name);
        *(bool *)value = true;
        return CLI_OK;
    }
    if (!equals && *at + 1 >= count)
        return cli_usage(c, "--%s needs a value (%s)", o->name, o->arg);
    *(const char **)value = equals ? equals + 1 : args[++*at];
    return CLI_OK;
}

static int parse_args(struct cli *c, char **args, int count)
{
    bool only_words = false;
    for (int i = 0; i < count; i++) {
        if (!only_words && strcmp(args[i], "--") == 0) {
            only_words = true;
        } else if (only_words || args[i][0] != '-' || !args[i][1]) {
            c->args[c->arg_count++] = args[i];
        } else if (strcmp(args[i], "-h") == 0) {
            c->o.help = true;
        } else if (args[i][1] != '-') {
            return cli_usage(c, "%s has no option %s", c->command->name, args[i]);
        } else {
            int status = parse_option(c, args, count, &i);
            if (status)
                return status;
        }
    }
    return CLI_OK;
}

static int run_command(struct cli *c, char **args, int count)
{
    int status = parse_args(c, args, count);
    if (status)
        return status;
    if (c->o.help) {
        print_help(stdout, c->command);
        return CLI_OK;
    }
    if (c->arg_count < c->command->min_args || c->arg_count > c->command->max_args)
        return cli_usage(c, "usage: portcullis %s %s", c->command->name, c->command->args);
    status = c->command->run(c);
    /* A full disk or a closed pipe must not look like success. */
    if (fflush(stdout) != 0 && status == CLI_OK)
        return cli_fail(CLI_NO, "writing the output: %s", pc_strerror(-errno));
    return status;
}

/* "admin-token" alone, or a subcommand of it that does not exist. */
static bool begins_a_command(const char *word)
{
    size_t n = strlen(word);
    for (unsigned i = 0; i < cli_command_count; i++)
        if (strncmp(cli_commands[i].name, word, n) == 0 && cli_commands[i].name[n] == ' ')
            return true;
    return false;
}

static int dispatch(struct cli *c, int argc, char **argv)
{
    if (argc == 0) {
        print_overview(stderr);
        return CLI_USAGE;
    }
    if (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0 ||
        strcmp(argv[0], "help") == 0) {
        print_overview(stdout);
        return CLI_OK;
    }
    if (strcmp(argv[0], "--version") == 0)
        return cli_version(c);
    for (unsigned i = 0; i < cli_command_count; i++) {
        int words = match_command(&cli_commands[i], argc, argv);
        if (!words)
            continue;
        c->command = &cli_commands[i];
        return run_command(c, argv + words, argc - words);
    }
    if (begins_a_command(argv[0]))
        return cli_usage(c, "%s %s is no command", argv[0], argc > 1 ? argv[1] : "alone");
    return cli_usage(c, "%s is no command", argv[0]);
}

int main(int argc, char **argv)
{
    struct cli c = {.program = argv[0], .environ = environ};
    setlocale(LC_CTYPE, "C.UTF-8");
    c.args = calloc((size_t)argc + 1, sizeof *c.args);
    if (!c.args)
        return cli_fail(CLI_NO, "out of memory");
    int status = dispatch(&c, argc - 1, argv + 1);
    free(c.args);
    return status;
}
