/* SPDX-License-Identifier: Apache-2.0
 * The parser kit: a message must give the same result however the network cuts it.
 *
 * Every message is fed whole, byte by byte, and split in two at every position. The bytes always
 * end against a PROT_NONE page, so that reading one byte too many is a crash. A parser under test
 * writes what it found to a text, the trace; all traces of one message must be equal. */
#ifndef PC_TESTS_SUPPORT_PARSER_KIT_H
#define PC_TESTS_SUPPORT_PARSER_KIT_H

#include "base/bytes.h"

#define PC_KIT_MESSAGE_MAX (64 * 1024)
#define PC_KIT_TRACE_MAX   (256 * 1024)

struct pc_kit_subject {
    const char *name;
    size_t state_bytes; /* of the parser's state, zeroed before each run */
    /* How the parser takes its input. true: the buffer keeps growing and may move until the parser
     * consumes from its front. false: every byte is fed once. */
    bool accumulates;
    void (*start)(void *state);
    /* Feeds buf[0..n). Returns -1: refused, the run ends (the trace says why); otherwise how many
     * bytes were consumed (not accumulating: all of n, or the run ends there). */
    ptrdiff_t (*feed)(void *state, uint8_t *buf, size_t n, struct pc_buf *trace);
};

/* Runs all ways of cutting; a difference fails the cmocka test that called, naming label and cut.
 * *ret_trace (if any, PC_KIT_TRACE_MAX bytes) receives the trace. */
void pc_kit_check(const struct pc_kit_subject *subject, const char *label, struct pc_bytes message,
                  struct pc_buf *ret_trace);

/* Checks every file of a folder, in order of name, and that each trace
 * contains what the file's name promises before its first '-': "400-bare-lf" must hold "400".
 * Returns the number of files; none is a failure. */
size_t pc_kit_corpus(const struct pc_kit_subject *subject, const char *folder);

/* Copies bytes so that they end at a PROT_NONE page; one such area per process. */
uint8_t *pc_kit_guarded(struct pc_bytes bytes);

#endif
