/* SPDX-License-Identifier: Apache-2.0
 * A line of audit.jsonl: from Changes to text, and back as far as a check needs it. Owns the
 * format. Pure, no allocation; any thread.
 *
 * One line is one call: the Changes of one batch of the journal that follow each other and agree in
 * node, actor, source and request id (RESP commands have no request id, so those of one client in
 * one batch share a line), at most PC_AUDIT_LINE_CHANGES of them. A JSON object, its members always
 * in this order, those in brackets only where there is something to say:
 *
 *   {"v":1,"time":"2026-11-20T10:00:00.123Z","node":"00f1…","first":12,"last":13,
 *    "actor":"token:ops","source":"192.0.2.1"[,"request_id":"…"][,"reason":"…"],
 *    "changes":[{"op":"revoke","kind":"token"[,"issuer":"…"][,"id":"…"][,"value":…]
 *    [,"ephemeral":true][,"expires_at":…][,"cutoff":…][,"reason":"…"]},…],"prev":"64 hex digits"}
 *
 * time is when the batch was written; first and last are positions in the journal; a reason that is
 * not the line's stands with its change; expires_at and cutoff are Unix seconds; value is JSON for
 * a flag or an administrative note (where it is one short enough), else a string. prev is the
 * SHA-256 of the line before, without its newline, over all files; 64 zeros in the very first line.
 * A record that is no Change this version knows has {"op":"unknown","sha256":"…"}.
 *
 * A gap is a line of its own: {"v":1,"time":…,"node":…,"first":…,"last":…,"gap":"why","prev":…}:
 * what stood at these positions was not derived (the audit was off), or will not be found in this
 * journal (it was replaced by another one).
 *
 * The text of a line depends on nothing but its records, its node's gap text and prev, so a check
 * that still has the records writes the line again and compares. */
#ifndef PC_LINK_AUDIT_LINE_H
#define PC_LINK_AUDIT_LINE_H

#include "base/sha256.h"
#include "link/change.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PC_AUDIT_VERSION      1
#define PC_AUDIT_LINE_CHANGES 100
/* A line is closed once its changes are longer than this, */
#define PC_AUDIT_LINE_SOFT_BYTES (64u << 10)
/* and none is longer than this: the largest record more, with all its bytes escaped. */
#define PC_AUDIT_LINE_MAX (256u << 10)
#define PC_AUDIT_GAP_MAX  200
/* What stands before the changes: four texts, escaped, and the numbers. */
#define PC_AUDIT_HEAD_MAX                                                                          \
    (6 * (PC_ACTOR_MAX + PC_SOURCE_MAX + PC_REQUEST_ID_MAX + PC_REASON_MAX) + 256)
/* JSON values of one value that is taken over as JSON. */
#define PC_AUDIT_VALUE_TOKENS 512

/* Files: the one written to, and what older ones are called (by a number that ascends). */
#define PC_AUDIT_FILE       "audit.jsonl"
#define PC_AUDIT_NAME_BYTES 40
void pc_audit_older_name(uint64_t number, char ret_name[PC_AUDIT_NAME_BYTES]);
/* 0 when it is no such name. */
uint64_t pc_audit_older_number(const char *name);

struct pc_audit_hash {
    uint8_t b[PC_SHA256_BYTES];
};

/* ---- writing ---- */

/* A line being made. Begin it with the first Change, add the others, end it. */
struct pc_audit_line {
    uint8_t *buf;                  /* PC_AUDIT_LINE_MAX bytes of the caller */
    struct pc_buf text;            /* the changes so far, behind the room for the head */
    struct pc_change first_change; /* its byte runs are the caller's */
    uint64_t first, last;
    int64_t time_ms;
    uint32_t changes;
};

/* Whether this Change, whose record follows the line's last one in the same batch, belongs to it.
 */
bool pc_audit_line_takes(const struct pc_audit_line *l, const struct pc_change *c);
/* Begins a line in the caller's buffer of PC_AUDIT_LINE_MAX bytes and adds the first Change. */
void pc_audit_line_begin(struct pc_audit_line *l, uint8_t *buf, const struct pc_change *c,
                         uint64_t position, int64_t time_ms);
void pc_audit_line_add(struct pc_audit_line *l, const struct pc_change *c);
/* Ends it with prev and a newline. *ret_hash becomes the next line's prev. */
struct pc_bytes pc_audit_line_end(struct pc_audit_line *l, const struct pc_audit_hash *prev,
                                  struct pc_audit_hash *ret_hash);
/* The Change of a record; one that stands for a record which is none (op and kind NONE, its digest
 * in `digest`, which must live as long). */
void pc_audit_change(struct pc_bytes record, char digest[2 * PC_SHA256_BYTES],
                     struct pc_change *ret_change);
/* A gap line, whole. why: plain text of at most PC_AUDIT_GAP_MAX bytes. */
struct pc_bytes pc_audit_gap(uint8_t *buf, uint64_t node, uint64_t first, uint64_t last,
                             int64_t time_ms, const char *why, const struct pc_audit_hash *prev,
                             struct pc_audit_hash *ret_hash);

/* ---- reading ---- */

/* What the check and a restart need of a line. */
struct pc_audit_entry {
    uint64_t first, last;
    uint64_t node;
    struct pc_bytes time; /* "2026-11-20T10:00:00.123Z", of the line */
    bool gap;
    struct pc_audit_hash prev;
};

/* Reads a line without its newline. PC_E_DAMAGED: it is not a line of this format; PC_E_VERSION: a
 * newer version wrote it. */
int pc_audit_line_parse(struct pc_bytes line, struct pc_audit_entry *ret_entry);
/* Of a line without its newline. */
void pc_audit_line_hash(struct pc_bytes line, struct pc_audit_hash *ret_hash);

#ifdef __cplusplus
}
#endif
#endif
