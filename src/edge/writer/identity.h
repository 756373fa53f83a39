/* SPDX-License-Identifier: Apache-2.0
 * Who this node is: its random id and the secret key of its fingerprints, in <data_dir>/identity.
 *
 *   node=<16 hexadecimal digits>\n
 *   fingerprint_key=<32 hexadecimal digits>\n
 *
 * Made once, mode 0600, linked into place when complete, so that two servers that start at once
 * agree on one. Without it the snapshots are unreadable: it belongs into every backup of the data
 * directory. Main thread, before the writer starts. */
#ifndef PC_WRITER_IDENTITY_H
#define PC_WRITER_IDENTITY_H

#include "base/err.h"

struct pc_identity {
    uint64_t node; /* never 0 */
    uint8_t fingerprint_key[16];
};

/* Creates the data directory (0700) and the file as needed. */
int pc_identity_load(const char *data_dir, struct pc_identity *ret_identity, struct pc_why *why);

#endif
