/* SPDX-License-Identifier: Apache-2.0
 * The portcullis command: what its subcommands share. One process, one thread; it links OpenSSL
 * (by libcurl and for signing) and therefore never the edge's cryptography. */
#ifndef PC_CLI_H
#define PC_CLI_H

#include <jansson.h>
#include <stdio.h>

#include "base/bytes.h"
#include "base/config.h"
#include "base/err.h"
#include "base/secret.h"

/* Exit statuses of the command. */
enum {
    CLI_OK = 0,
    CLI_NO = 1,     /* it failed, or the answer is no */
    CLI_USAGE = 2,  /* the command line is wrong */
    CLI_SERVER = 3, /* no server answered, or it answered with an error */
};

#define CLI_PATH_MAX  4096
#define CLI_TOKEN_MAX (16 * 1024) /* longest token read; servers take 8 KiB */

/* Every option of every subcommand; which of them a subcommand knows is in its row (main.c). */
struct cli_options {
    const char *after, *alg, *aud, *client, *config, *connections, *cost, *count, *credential,
        *env_file, *exp, *family;
    const char *import, *iss, *issuer, *jti, *key, *kid, *lines, *name, *prev, *reason, *recover,
        *role, *roles;
    const char *scope, *set, *sid, *source, *sub, *token_file, *ttl, *types, *url, *wait;
    const char *host, *ip, *method, *path, *route; /* of a request */
    bool anonymous, cutoff, dev, ephemeral, string, help, json, undo, sources, text_only, force,
        follow;
};

struct cli {
    const char *program; /* argv[0] */
    const struct cli_command *command;
    struct cli_options o;
    char **args; /* what is no option */
    int arg_count;
    char *const *environ;
};

struct cli_option {
    const char *name; /* without "--" */
    const char *arg;  /* NULL: a flag */
    size_t offset;    /* in struct cli_options: const char *, or bool */
    const char *help;
};

#define CLI_OPTIONS_MAX 24

struct cli_command {
    const char *name;
    const char *args;    /* "KIND [ID]" */
    const char *summary; /* one line */
    const char *details; /* more lines, or NULL */
    int (*run)(struct cli *c);
    const char *options[CLI_OPTIONS_MAX]; /* names */
    int min_args, max_args;
};

extern const struct cli_command cli_commands[];
extern const unsigned cli_command_count;

/* Prints "portcullis: …" to standard error and returns the status. */
int cli_fail(int status, const char *fmt, ...) PC_PRINTF(2, 3);
/* The same with a hint at --help. */
int cli_usage(const struct cli *c, const char *fmt, ...) PC_PRINTF(2, 3);

/* Value of an environment variable, or NULL when it is unset or empty. */
const char *cli_env(const struct cli *c, const char *name);
/* The file of --config, PORTCULLIS_CONFIG, ./portcullis.yaml or NULL, in this order. */
const char *cli_config_path(const struct cli *c);
/* Loads it with env file and environment; says what is wrong. */
int cli_load_config(const struct cli *c, struct pc_config **ret_config);
/* The data directory alone, from the environment or the default: for commands that talk to a server
 * and must work without its configuration. */
const char *cli_data_dir(const struct cli *c);
/* "15m" or a number of seconds; ret_ms untouched and false (after saying why) otherwise. */
bool cli_duration(const struct cli *c, const char *option, const char *text, int64_t *ret_ms);
/* A token (JWT) from the argument, --token-file, or standard input ("-" or nothing); trimmed.
 * Malloced; NULL after saying why. */
char *cli_read_token(const struct cli *c, const char *argument);
/* A whole file or ("-") standard input of at most max bytes; malloced, terminated; NULL after
 * saying why. */
char *cli_read_file(const char *path, size_t max, size_t *ret_n);
/* "2026-11-20T10:00:00Z"; "never" for INT64_MAX. */
void cli_format_time(int64_t ms, char ret_text[32]);

/* Subcommands, one function per row of the table. */
int cli_serve(struct cli *c);
int cli_restart(struct cli *c);
int cli_token_mint(struct cli *c);
int cli_check(struct cli *c);
int cli_explain(struct cli *c);
int cli_revoke(struct cli *c);
int cli_unrevoke(struct cli *c);
int cli_revocation_get(struct cli *c);
int cli_status(struct cli *c);
int cli_flags_list(struct cli *c);
int cli_flags_get(struct cli *c);
int cli_flags_set(struct cli *c);
int cli_flags_unset(struct cli *c);
int cli_flags_reload(struct cli *c);
int cli_events(struct cli *c);
int cli_reload(struct cli *c);
int cli_ip_rules_list(struct cli *c);
int cli_ip_rules_add(struct cli *c);
int cli_ip_rules_remove(struct cli *c);
int cli_limits_take(struct cli *c);
int cli_limits_peek(struct cli *c);
int cli_limits_reset(struct cli *c);
int cli_limits_top(struct cli *c);
int cli_snapshot(struct cli *c);
int cli_confirm_clock(struct cli *c);
int cli_doctor(struct cli *c);
int cli_config_check(struct cli *c);
int cli_config_show(struct cli *c);
int cli_config_keys(struct cli *c);
int cli_admin_token_create(struct cli *c);
int cli_admin_token_list(struct cli *c);
int cli_admin_token_revoke(struct cli *c);
int cli_audit_verify(struct cli *c);
int cli_audit_tail(struct cli *c);
int cli_journal_ls(struct cli *c);
int cli_journal_dump(struct cli *c);
int cli_journal_verify(struct cli *c);
int cli_version(struct cli *c);

/* import.c: revoke --import. */
int cli_import(struct cli *c);

#endif
