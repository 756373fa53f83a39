/* SPDX-License-Identifier: Apache-2.0 */
#include "support/fake_malloc.h"

#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WORKS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define WORKS 0
#endif
#endif
#ifndef WORKS
#define WORKS 1
#endif

/* Compilers assume that allocating changes no variable. */
static _Thread_local volatile long left; /* allocations until one fails; 0: none does */
static _Thread_local volatile bool fired;
static volatile long live;

#if WORKS
/* Libraries are to use these too. */
#define SHARED __attribute__((visibility("default")))

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t count, size_t n);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t alignment, size_t n);
void __libc_free(void *p);

static bool fails(void)
{
    if (left == 0)
        return false;
    left = left - 1;
    if (left > 0)
        return false;
    fired = true;
    return true;
}

static void *counted(void *p)
{
    if (p)
        __atomic_fetch_add(&live, 1, __ATOMIC_RELAXED);
    return p;
}

SHARED void *malloc(size_t n)
{
    return fails() ? NULL : counted(__libc_malloc(n));
}

SHARED void *calloc(size_t count, size_t n)
{
    return fails() ? NULL : counted(__libc_calloc(count, n));
}

SHARED void *aligned_alloc(size_t alignment, size_t n)
{
    return fails() ? NULL : counted(__libc_memalign(alignment, n));
}

SHARED void free(void *p)
{
    if (p)
        __atomic_fetch_sub(&live, 1, __ATOMIC_RELAXED);
    __libc_free(p);
}

SHARED void *realloc(void *p, size_t n)
{
    if (!p)
        return malloc(n);
    if (n == 0) {
        free(p);
        return NULL;
    }
    return fails() ? NULL : __libc_realloc(p, n);
}
#endif

bool fake_malloc_works(void)
{
    return WORKS;
}

void fake_malloc_fail_at(long k)
{
    left = WORKS ? k : 0;
    if (k)
        fired = false;
}

bool fake_malloc_fired(void)
{
    return fired;
}

long fake_malloc_live(void)
{
    return __atomic_load_n(&live, __ATOMIC_RELAXED);
}
