/* SPDX-License-Identifier: Apache-2.0
 * Due times, see schedule.h. */
#include <math.h>

#include "load/schedule.h"

/* splitmix64: a counter with a strong mix; good enough for arrivals, and one word of state. */
static uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Mixed twice: draws step through one long cycle, and a seed that is only multiplied or added to
 * would begin a step beside its neighbour, whose arrivals it would then repeat, moved by one. */
uint64_t ld_schedule_seed(uint64_t seed, unsigned thread)
{
    uint64_t state = random_next(&seed) + thread;
    return random_next(&state);
}

double ld_schedule_uniform(uint64_t *state)
{
    return ((double)(random_next(state) >> 11) + 1.0) / 9007199254740992.0;
}

static double rate_at(const struct ld_schedule *s, int64_t ns)
{
    const double rate = s->rate_of ? s->rate_of(s->arg, ns - s->start_ns) : s->rate_per_s;
    return rate > 0 ? rate : 0;
}

/* Reads λ where the last piece ended. A fixed rate is one piece for ever. */
static void next_piece(struct ld_schedule *s)
{
    s->piece_rate = rate_at(s, s->at_ns);
    s->piece_end_ns = s->rate_of ? pc_add_sat_i64(s->at_ns, LD_SCHEDULE_PIECE_NS) : INT64_MAX;
    s->fraction_ns = 0;
}

/* Moves at_ns to where `left` arrivals' worth of rate have passed. */
static void integrate(struct ld_schedule *s)
{
    while (s->at_ns < s->horizon_ns) {
        const double room_ns = (double)(s->piece_end_ns - s->at_ns);
        const double wanted_ns =
            s->piece_rate > 0 ? s->left * 1e9 / s->piece_rate + s->fraction_ns : INFINITY;
        if (wanted_ns < room_ns) {
            const double whole_ns = floor(wanted_ns);
            s->at_ns += (int64_t)whole_ns;
            s->fraction_ns = wanted_ns - whole_ns;
            s->next_ns = s->at_ns < s->horizon_ns ? s->at_ns : INT64_MAX;
            return;
        }
        if (s->piece_end_ns == INT64_MAX) /* the fixed rate is 0, or too low to matter */
            break;
        s->left -= (room_ns - s->fraction_ns) * s->piece_rate / 1e9;
        s->left = s->left > 0 ? s->left : 0;
        s->at_ns = s->piece_end_ns;
        next_piece(s);
    }
    s->next_ns = INT64_MAX;
}

void ld_schedule_begin(struct ld_schedule *s, int64_t start_ns, int64_t horizon_ns, double phase,
                       uint64_t seed)
{
    s->start_ns = s->at_ns = start_ns;
    s->horizon_ns = horizon_ns;
    s->random = seed;
    next_piece(s);
    s->left = s->poisson ? -log(ld_schedule_uniform(&s->random)) : phase;
    integrate(s);
}

void ld_schedule_pop(struct ld_schedule *s)
{
    if (s->next_ns == INT64_MAX)
        return;
    s->left = s->poisson ? -log(ld_schedule_uniform(&s->random)) : 1.0;
    integrate(s);
}
