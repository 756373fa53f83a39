/* SPDX-License-Identifier: Apache-2.0
 * Texts without secrets (command_line.h). Pure; any thread. */
#include "load/command_line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/def.h"

#define HIDDEN "[hidden]"

static const char token_chars[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

/* Where a credential begins in a text that is all "NAME: VALUE", "AUTH PASSWORD" or the option of
 * one of them; NULL: it does not. */
static const char *secret_of(const char *text)
{
    static const char *const openings[] = {
        "authorization:", "proxy-authorization:", "cookie:", "x-api-key:", "auth "};
    static const char *const options[] = {"--header=", "--command="};
    for (size_t i = 0; i < PC_COUNT(options); i++)
        if (strncmp(text, options[i], strlen(options[i])) == 0)
            text += strlen(options[i]);
    text += strspn(text, " ");
    for (size_t i = 0; i < PC_COUNT(openings); i++)
        if (strncasecmp(text, openings[i], strlen(openings[i])) == 0)
            return text + strcspn(text, ": ") + (openings[i][strlen(openings[i]) - 1] == ':');
    return NULL;
}

/* A JWS: its header is JSON, so its base64url begins like this. */
static bool is_token(const char *text, size_t n)
{
    const char *dot = n > 3 && memcmp(text, "eyJ", 3) == 0 ? memchr(text, '.', n) : NULL;
    return dot && memchr(dot + 1, '.', n - (size_t)(dot + 1 - text));
}

char *ld_without_secrets(const char *text)
{
    char *copy = NULL;
    size_t bytes;
    const char *secret = secret_of(text);
    FILE *f = open_memstream(&copy, &bytes);
    if (!f)
        return NULL;
    while (*text && text != secret) {
        const size_t word = strspn(text, token_chars), n = word ? word : 1;
        if (is_token(text, word))
            fputs(HIDDEN, f);
        else
            fwrite(text, 1, secret && secret < text + n ? (size_t)(secret - text) : n, f);
        text = secret && secret < text + n ? secret : text + n;
    }
    if (secret)
        fputs(" " HIDDEN, f);
    return fclose(f) == 0 ? copy : NULL;
}

static void put_quoted(FILE *f, const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-_./:=,+@%";
    if (*text && text[strspn(text, plain)] == 0) {
        fputs(text, f);
        return;
    }
    fputc('\'', f);
    for (; *text; text++)
        if (*text == '\'')
            fputs("'\\''", f);
        else
            fputc(*text, f);
    fputc('\'', f);
}

char *ld_command_line(int argc, char **argv)
{
    char *line = NULL;
    size_t bytes;
    FILE *f = open_memstream(&line, &bytes);
    if (!f)
        return NULL;
    fputs("portcullis-load", f);
    for (int i = 0; i < argc; i++) {
        char *shown = ld_without_secrets(argv[i]);
        fputc(' ', f);
        put_quoted(f, shown ? shown : "");
        free(shown);
    }
    return fclose(f) == 0 ? line : NULL;
}
