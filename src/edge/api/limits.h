/* SPDX-License-Identifier: Apache-2.0
 * Charging limits from a core: who charges, as every caller on a core is. */
#ifndef PC_API_LIMITS_H
#define PC_API_LIMITS_H

#include "edge/api/policies.h"
#include "edge/api/server.h"

/* Of this core, now, as strict as the view's flags say. */
struct pc_limit_user pc_limit_user_of(struct pc_worker *w, const struct pc_view *view);

#endif
