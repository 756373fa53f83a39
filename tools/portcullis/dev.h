/* SPDX-License-Identifier: Apache-2.0
 * Development mode: an issuer and an administrator of its own, made once in the data directory. */
#ifndef PC_CLI_DEV_H
#define PC_CLI_DEV_H

#include "cli.h"

/* Makes what is missing: the issuer's key pair and its configuration overlay, and an
 * administrator's token in admin.token. ret_overlay: path of the overlay. A status after saying
 * why. */
int dev_prepare(const struct pc_config *config, char ret_overlay[CLI_PATH_MAX]);

#endif
