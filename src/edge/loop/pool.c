/* SPDX-License-Identifier: Apache-2.0
 * The buffer pool; see pool.h. */
#include "edge/loop/pool.h"

#include <stdlib.h>

static unsigned class_of(size_t bytes)
{
    if (bytes > (size_t)1 << POOL_LARGEST_LOG2)
        return POOL_CLASSES;
    if (bytes <= (size_t)1 << POOL_SMALLEST_LOG2)
        return 0;
    return 64 - (unsigned)__builtin_clzl(bytes - 1) - POOL_SMALLEST_LOG2;
}

static PC_COLD struct chunk *allocate(struct pool *p, unsigned class, size_t bytes)
{
    if (p->faults && p->faults->allocation && !p->faults->allocation(p->faults->ctx, bytes))
        return NULL;
    struct chunk *c = malloc(bytes);
    if (!c)
        return NULL;
    c->class = class;
    c->capacity = bytes - sizeof *c;
    return c;
}

struct chunk *pool_get(struct pool *p, size_t n)
{
    size_t bytes = n + sizeof(struct chunk);
    if (bytes < n)
        return NULL;
    unsigned class = class_of(bytes);
    struct chunk *c = class < POOL_CLASSES ? p->free[class] : NULL;
    if (PC_LIKELY(c != NULL)) {
        p->free[class] = c->next;
        p->kept_bytes -= c->capacity;
    } else {
        if (class < POOL_CLASSES)
            bytes = (size_t)1 << (class + POOL_SMALLEST_LOG2);
        c = allocate(p, class, bytes);
        if (!c)
            return NULL;
    }
    c->next = NULL;
    c->off = c->len = 0;
    p->used_bytes += c->capacity;
    PC_ASSERT(c->capacity >= n);
    return c;
}

void pool_put(struct pool *p, struct chunk *c)
{
    PC_ASSERT(p->used_bytes >= c->capacity);
    p->used_bytes -= c->capacity;
    if (c->class == POOL_CLASSES || p->kept_bytes + c->capacity > p->keep_max_bytes) {
        free(c);
        return;
    }
    c->next = p->free[c->class];
    p->free[c->class] = c;
    p->kept_bytes += c->capacity;
}

void pool_put_chain(struct pool *p, struct chunk *c)
{
    while (c) {
        struct chunk *next = c->next;
        pool_put(p, c);
        c = next;
    }
}

void pool_empty(struct pool *p)
{
    PC_ASSERT(p->used_bytes == 0);
    for (unsigned i = 0; i < POOL_CLASSES; i++) {
        while (p->free[i]) {
            struct chunk *c = p->free[i];
            p->free[i] = c->next;
            free(c);
        }
    }
    p->kept_bytes = 0;
}
