/* SPDX-License-Identifier: Apache-2.0
 * Tokens a core has not seen before take their turn: a few of them in each turn of the core, those
 * whose signature it knows at once. Forward auth only, where the request can be begun again.
 *
 * Whoever floods a core with tokens nobody knows fills it with signatures and with refusals. Taken
 * as they come they make turns long, and everybody waits for the turn to end. So a turn looks at
 * PC_UNSEEN_PER_TURN of them; further ones wait, oldest first, and while any do, a new one joins
 * behind them. Nothing is refused or delayed by a clock: the turns go on without sleeping, and when
 * only unseen tokens come they have the whole core, as before.
 *
 * A request that waits has been charged, counted and answered nothing; its bytes stay in the
 * connection's input, which is paused. Owned by one core thread; no allocation. */
#ifndef PC_API_UNSEEN_H
#define PC_API_UNSEEN_H

#include "edge/api/call.h"

#define PC_UNSEEN_PER_TURN 4

/* May a token that was not seen before be looked at now? True: it counts towards this turn. */
bool pc_unseen_now(struct pc_worker *w);

/* The call waits: it is begun again in one of the next turns, with call->unseen_due. */
void pc_unseen_wait(struct pc_call *call);
/* Its connection goes. Harmless for calls that do not wait. */
void pc_unseen_forget(struct pc_call *call);

/* At the end of each turn: those that wait longest go on in the next. */
void pc_unseen_turn_end(struct pc_worker *w);

#endif
