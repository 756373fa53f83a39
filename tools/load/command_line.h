/* SPDX-License-Identifier: Apache-2.0
 * What was typed, as reports keep it: quoted as a shell reads it, without the secrets that were in
 * it. Reports are passed on, committed and put on pages; whoever repeats a run has the secrets. */
#ifndef LD_COMMAND_LINE_H
#define LD_COMMAND_LINE_H

/* A copy in which "[hidden]" stands for the value of a header field that carries credentials
 * ("Authorization: …", also behind "--header="), for the password of a RESP AUTH, and for every
 * signed token (three dotted parts of base64url). The caller frees it. NULL: no memory. */
char *ld_without_secrets(const char *text);

/* "portcullis-load" and the arguments, each without secrets. The caller frees it. */
char *ld_command_line(int argc, char **argv);

#endif
