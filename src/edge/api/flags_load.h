/* SPDX-License-Identifier: Apache-2.0
 * From the configured flag file to a layer. Main thread; reads a file. */
#ifndef PC_API_FLAGS_LOAD_H
#define PC_API_FLAGS_LOAD_H

#include "base/config.h"
#include "edge/state/flags.h"

/* The layer of flags.file; of an empty file when none is configured, so never NULL. On failure
 * *why says "flags.file: PATH: line L column C: …". */
int pc_flags_load(const struct pc_config *c, struct pc_flag_layer **ret_layer, struct pc_why *why);

#endif
