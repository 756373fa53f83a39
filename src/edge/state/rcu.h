/* SPDX-License-Identifier: Apache-2.0
 * Read-copy-update over liburcu-qsbr: the only way to load, publish and retire what cores share.
 * Any thread may include this; it owns no state of its own.
 *
 * I1  A shared pointer (or packed word) is read only by pc_rcu_load and written only by
 *     pc_rcu_publish: everything written before the publish is visible after the load.
 * I2  What was loaded is used only by a registered, online thread and dropped before that thread
 *     announces its next quiescent state or goes offline.
 * I3  What was unpublished is handed to pc_rcu_retire; its function runs, on liburcu's thread,
 *     after every thread that could have loaded it has passed a quiescent state.
 * I4  No writer waits for a grace period: pc_rcu_barrier is for tests and shutdown.
 *
 * liburcu is not instrumented, so ThreadSanitizer cannot see that a grace period orders readers
 * before the retire function. The annotations tell it exactly that and no more: what a reader did
 * before its last quiescent state happens before a retire function that starts later, which
 * happens before the end of a barrier. A read after that quiescent state is still a race. */
#ifndef PC_EDGE_STATE_RCU_H
#define PC_EDGE_STATE_RCU_H

#include <urcu-qsbr.h>

#include "base/def.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__SANITIZE_THREAD__)
#define PC_RCU_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PC_RCU_TSAN 1
#endif
#endif
#ifndef PC_RCU_TSAN
#define PC_RCU_TSAN 0
#endif

#if PC_RCU_TSAN
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
/* Two objects for the whole process stand for "all quiescent states so far" and "all retire
 * functions so far". Never written. */
__attribute__((weak)) char pc_rcu_tsan_grace, pc_rcu_tsan_retired;
#define PC_RCU_TSAN_ACQUIRE(addr) __tsan_acquire((void *)(addr))
#define PC_RCU_TSAN_RELEASE(addr) __tsan_release((void *)(addr))
#define PC_RCU_TSAN_QUIESCENT()   __tsan_release(&pc_rcu_tsan_grace)
#define PC_RCU_TSAN_GRACE()       __tsan_acquire(&pc_rcu_tsan_grace)
#define PC_RCU_TSAN_RETIRED()     __tsan_release(&pc_rcu_tsan_retired)
#define PC_RCU_TSAN_BARRIER()     __tsan_acquire(&pc_rcu_tsan_retired)
#else
#define PC_RCU_TSAN_ACQUIRE(addr) ((void)0)
#define PC_RCU_TSAN_RELEASE(addr) ((void)0)
#define PC_RCU_TSAN_QUIESCENT()   ((void)0)
#define PC_RCU_TSAN_GRACE()       ((void)0)
#define PC_RCU_TSAN_RETIRED()     ((void)0)
#define PC_RCU_TSAN_BARRIER()     ((void)0)
#endif

/* The two accessors (I1). Acquire instead of consume: compilers promote it anyway, and it is free
 * on x86. They take the address of a pointer or of a 64-bit word that packs one. */
#define pc_rcu_load(address)           __atomic_load_n((address), __ATOMIC_ACQUIRE)
#define pc_rcu_publish(address, value) __atomic_store_n((address), (value), __ATOMIC_RELEASE)

/* Each thread that loads or retires registers first and is then online. */
static inline void pc_rcu_thread_register(void)
{
    urcu_qsbr_register_thread();
}

/* The thread will neither load nor retire again; it must be online. */
static inline void pc_rcu_thread_unregister(void)
{
    PC_RCU_TSAN_QUIESCENT();
    urcu_qsbr_unregister_thread();
}

/* Whether this thread may hold loaded pointers now. */
static inline bool pc_rcu_is_online(void)
{
    return urcu_qsbr_read_ongoing() != 0;
}

/* Once per loop turn: this thread holds nothing loaded before (I2). */
static inline void pc_rcu_quiescent(void)
{
    PC_RCU_TSAN_QUIESCENT();
    urcu_qsbr_quiescent_state();
}

/* Before sleeping, so that a sleeping thread delays nobody; the thread must be registered. */
static inline void pc_rcu_offline(void)
{
    PC_RCU_TSAN_QUIESCENT();
    urcu_qsbr_thread_offline();
}

static inline void pc_rcu_online(void)
{
    urcu_qsbr_thread_online();
}

/* Lies inside (or beside) the object to be retired; must stay in place until the function ran. */
struct pc_rcu_head {
    struct rcu_head rcu;
    void (*fn)(struct pc_rcu_head *head);
};

static inline void pc_rcu_run_retired(struct rcu_head *rcu)
{
    struct pc_rcu_head *head = PC_CONTAINER_OF(rcu, struct pc_rcu_head, rcu);
    PC_RCU_TSAN_ACQUIRE(head);
    PC_RCU_TSAN_GRACE();
    head->fn(head);
    PC_RCU_TSAN_RETIRED();
}

/* Calls fn(head) after a grace period, on another thread (I3). The caller is registered and
 * online, has already unpublished the object, and returns without waiting (I4). */
static inline void pc_rcu_retire(struct pc_rcu_head *head, void (*fn)(struct pc_rcu_head *head))
{
    PC_ASSERT(pc_rcu_is_online());
    head->fn = fn;
    PC_RCU_TSAN_RELEASE(head);
    urcu_qsbr_call_rcu(&head->rcu, pc_rcu_run_retired);
}

/* Waits until every function retired before this call ran. Only tests and shutdown (I4). The
 * calling thread is quiescent meanwhile if it is registered. */
static inline void pc_rcu_barrier(void)
{
    bool online = pc_rcu_is_online();
    if (online)
        pc_rcu_offline();
    urcu_qsbr_barrier();
    PC_RCU_TSAN_BARRIER();
    if (online)
        pc_rcu_online();
}

#ifdef __cplusplus
}
#endif
#endif
