/* SPDX-License-Identifier: Apache-2.0
 * Between settings.c and settings_routes.c. */
#ifndef PC_API_SETTINGS_PRIVATE_H
#define PC_API_SETTINGS_PRIVATE_H

#include "edge/api/settings.h"

/* Compiles routes, router, default route; policies and IP sets are there. */
int pc_settings_compile_routes(struct pc_settings *s, const struct pc_config *running,
                               struct pc_why *why);
void pc_settings_free_routes(struct pc_settings *s);

#endif
