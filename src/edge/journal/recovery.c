/* SPDX-License-Identifier: Apache-2.0
 * The rows of the decision table as data, and the words for what was found. Pure but for the
 * caller's tell(). */
#include "edge/journal/recovery.h"

#include "base/bytes.h"

enum advice {
    ADVICE_NONE,
    ADVICE_NOT_STRICT,
    ADVICE_BACKUP,
    ADVICE_NO_SALVAGE,
    ADVICE_NEWER,
    ADVICE_FOREIGN,
    ADVICE_DISK,
    ADVICE_SPACE,
    ADVICE_WRITABLE,
    ADVICE_ACCESS,
    ADVICE_PARENT,
    ADVICE_MEMORY,
    ADVICES
};

static const char *const advice_text[ADVICES] = {
    [ADVICE_NONE] = "",
    [ADVICE_NOT_STRICT] = "start without --recover=strict to cut it off",
    [ADVICE_BACKUP] =
        "restore the directory from a backup, or keep what is valid with --recover=salvage: "
        "revocations may be missing then",
    [ADVICE_NO_SALVAGE] =
        "restore the directory from a backup, or move it away to start empty: all "
        "its revocations are missing then",
    [ADVICE_NEWER] = "start the version that wrote it, or a newer one",
    [ADVICE_FOREIGN] = "move the file away, or restore the directory as a whole from one backup",
    [ADVICE_DISK] = "check the disk; copy what can be read to another one and start there",
    [ADVICE_SPACE] = "free some space on this file system and start again",
    [ADVICE_WRITABLE] = "mount it writable (after an error: check the disk first) and start again",
    [ADVICE_ACCESS] = "give the directory and its files to the user who runs the server",
    [ADVICE_PARENT] = "check the path: the directory itself is made, its parent must exist",
    [ADVICE_MEMORY] = "give the server more memory, or stop something else",
};

struct row {
    const char *name, *what;
    int error;
    enum pc_recovery_action action[PC_RECOVER_MODES];
    enum advice advice;
};

/* clang-format off */
static const struct row rows[PC_FOUND_COUNT] = {
#define PC_RECOVERY_ROW(name, what, error, normal, strict, salvage, advice)                        \
    [PC_FOUND_##name] = {#name, what, error,                                                       \
        {PC_RECOVERY_##normal, PC_RECOVERY_##strict, PC_RECOVERY_##salvage}, ADVICE_##advice},
    PC_RECOVERY_TABLE(PC_RECOVERY_ROW)
#undef PC_RECOVERY_ROW
};
/* clang-format on */

static const char *const action_text[PC_RECOVERY_ACTIONS] = {
    [PC_RECOVERY_CREATE] = "a new journal begins",
    [PC_RECOVERY_REPORT] = "nothing to do",
    [PC_RECOVERY_REPAIR] = "written again",
    [PC_RECOVERY_CUT] = "cut off; nothing in it was acknowledged as durable",
    [PC_RECOVERY_SKIP] = "skipped on the operator's word (salvage): records may be missing",
    [PC_RECOVERY_REFUSE] = "refused",
};

enum pc_recovery_action pc_recovery_decide(enum pc_recovery_condition c, enum pc_recover_mode mode,
                                           bool accepted)
{
    PC_ASSERT(c < PC_FOUND_COUNT && mode < PC_RECOVER_MODES);
    if (accepted && rows[c].action[PC_RECOVER_SALVAGE] == PC_RECOVERY_SKIP)
        return PC_RECOVERY_REPORT;
    return rows[c].action[mode];
}

const char *pc_recovery_name(enum pc_recovery_condition c)
{
    return rows[c].name;
}

const char *pc_recovery_what(enum pc_recovery_condition c)
{
    return rows[c].what;
}

const char *pc_recovery_advice(enum pc_recovery_condition c)
{
    return advice_text[rows[c].advice];
}

enum pc_recovery_condition pc_recovery_of_errno(int err, bool writing)
{
    switch (err) {
    case -ENOSPC:
    case -EDQUOT: return PC_FOUND_NO_SPACE;
    case -EROFS: return PC_FOUND_READ_ONLY;
    case -EACCES:
    case -EPERM: return PC_FOUND_NO_ACCESS;
    case -ENOENT:
    case -ENOTDIR: return PC_FOUND_NOT_FOUND;
    case -ENOMEM: return PC_FOUND_NO_MEMORY;
    default: return writing ? PC_FOUND_WRITE_ERROR : PC_FOUND_READ_ERROR;
    }
}

static void say_where(struct pc_buf *b, const struct pc_found *found)
{
    if (found->segment)
        pc_buf_fmt(b, "segment-%010llu, byte %llu: ", (unsigned long long)found->segment,
                   (unsigned long long)found->offset);
    pc_buf_str(b, rows[found->condition].what);
    if (found->position)
        pc_buf_fmt(b, ", at position %llu", (unsigned long long)found->position);
    if (found->detail)
        pc_buf_fmt(b, " (%s)", found->detail);
    if (found->err)
        pc_buf_fmt(b, " (%s)", pc_strerror(found->err));
}

enum pc_recovery_action pc_findings_add(struct pc_findings *f, const struct pc_found *found)
{
    const struct row *row = &rows[found->condition];
    enum pc_recovery_action action = pc_recovery_decide(found->condition, f->mode, found->accepted);
    struct pc_finding finding = {
        .condition = (int)found->condition,
        .action = (int)action,
        .segment = found->segment,
        .offset = found->offset,
        .position = found->position,
    };
    struct pc_buf b = pc_buf_of(finding.text, sizeof finding.text - 1);
    say_where(&b, found);
    pc_buf_str(&b, found->accepted ? ": accepted by an earlier salvage" : ": ");
    if (!found->accepted)
        pc_buf_str(&b, action_text[action]);
    finding.text[b.len] = '\0';
    f->count++;
    f->skipped |= action == PC_RECOVERY_SKIP;
    if (action == PC_RECOVERY_REFUSE && !f->refused)
        f->refused = pc_fail(&f->why, row->error ? row->error : found->err, "%s; %s", finding.text,
                             advice_text[row->advice]);
    if (f->tell)
        f->tell(f->ctx, &finding);
    return action;
}

int pc_findings_result(const struct pc_findings *f, struct pc_why *why)
{
    if (f->refused && why)
        *why = f->why;
    return f->refused;
}
