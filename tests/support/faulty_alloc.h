/* SPDX-License-Identifier: Apache-2.0
 * Allocations that fail, for sources that a test compiles into itself: include this, then the
 * sources, and nothing that allocates after them. Unlike fake_malloc.h it works under sanitizers
 * too, which then see what leaks. */
#ifndef PC_TESTS_FAULTY_ALLOC_H
#define PC_TESTS_FAULTY_ALLOC_H

#include <stdlib.h>

static unsigned allocations, fails_at; /* the fails_at-th allocation fails; 0: none does */
static int live;                       /* allocated and not freed */

static inline void *counted(void *p)
{
    live += p != NULL;
    return p;
}

static inline void *faulty_malloc(size_t n)
{
    return ++allocations == fails_at ? NULL : counted(malloc(n));
}

static inline void *faulty_calloc(size_t count, size_t n)
{
    return ++allocations == fails_at ? NULL : counted(calloc(count, n));
}

static inline void *faulty_realloc(void *p, size_t n)
{
    if (++allocations == fails_at)
        return NULL;
    live += p == NULL;
    return realloc(p, n);
}

static inline void *faulty_aligned(size_t alignment, size_t n)
{
    return ++allocations == fails_at ? NULL : counted(aligned_alloc(alignment, n));
}

static inline void counted_free(void *p)
{
    live -= p != NULL;
    free(p);
}

#define malloc(n)           faulty_malloc(n)
#define calloc(count, n)    faulty_calloc(count, n)
#define realloc(p, n)       faulty_realloc(p, n)
#define aligned_alloc(a, n) faulty_aligned(a, n)
#define free(p)             counted_free(p)

#endif
