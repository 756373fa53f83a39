/* SPDX-License-Identifier: Apache-2.0
 * The C library's allocator with a fault: the k-th allocation of a thread fails. For the k-th fault
 * loops: run with 1, 2, 3, … until a run ends without the fault having fired.
 *
 * Linked only into the tests that include this, where it stands in front of the library's. The
 * sanitizers do that themselves; there nothing fails and nothing is counted. */
#ifndef PC_TESTS_FAKE_MALLOC_H
#define PC_TESTS_FAKE_MALLOC_H

#include "base/def.h"

/* Whether allocations can fail here at all. */
bool fake_malloc_works(void);
/* From now on the k-th allocation of the calling thread fails, once; 0: none does. */
void fake_malloc_fail_at(long k);
/* Whether it did since. */
bool fake_malloc_fired(void);
/* Allocations of all threads not freed; 0 where nothing is counted. */
long fake_malloc_live(void);

#endif
