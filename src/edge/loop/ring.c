/* SPDX-License-Identifier: Apache-2.0
 * io_uring set-up, submission and entering; see ring.h. */
#include "edge/loop/ring.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "edge/loop/core.h"

/* Newer than liburing 2.3's copy of the kernel's header. */
#define ENTER_NO_IOWAIT (1u << 7)
#define FEAT_NO_IOWAIT  (1u << 17)

#define RING_FLAGS                                                                                 \
    (IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_COOP_TASKRUN |         \
     IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP)
/* All present since Linux 5.12. */
#define RING_NEEDS (IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_EXT_ARG)

#define RING_ENTRIES_MIN 64

/* How often a submission that the kernel puts off is tried before we call it a bug. */
#define RING_SUBMIT_TRIES 10000

/* The value of kernel.io_uring_disabled, or -1 where the kernel does not have it. */
static int io_uring_disabled(void)
{
    int value = -1;
    FILE *f = fopen("/proc/sys/kernel/io_uring_disabled", "re");
    if (!f)
        return -1;
    if (fscanf(f, "%d", &value) != 1)
        value = -1;
    fclose(f);
    return value;
}

/* Puts the refusal into words. Which of several causes it is can only be told from outside the
 * call: the sysctl is readable, a container's seccomp profile is what is left. */
static PC_COLD int explain(int err, struct pc_why *why)
{
    struct utsname u = {0};
    int disabled = io_uring_disabled();
    uname(&u);
    if (err == -ENOSYS)
        return pc_fail(
            why, err,
            "io_uring is not there: Linux %s was built without it (CONFIG_IO_URING), or a "
            "container profile hides it (Docker: --security-opt seccomp=PROFILE that "
            "allows io_uring_setup, io_uring_enter and io_uring_register)",
            u.release);
    if (err == -EPERM && disabled > 0)
        return pc_fail(why, err,
                       "io_uring is switched off by kernel.io_uring_disabled=%d: set it to 0 "
                       "(sysctl -w kernel.io_uring_disabled=0)%s",
                       disabled,
                       disabled == 1 ? ", or add the user's group to kernel.io_uring_group" : "");
    if (err == -EPERM || err == -EACCES)
        return pc_fail(why, err,
                       "io_uring is forbidden to this process: a seccomp profile or a security "
                       "module denies it (container: allow io_uring_setup, io_uring_enter and "
                       "io_uring_register; systemd: SystemCallFilter=@aio)");
    if (err == -EINVAL)
        return pc_fail(why, err, "Linux %s is too old: io_uring as of Linux 6.1 is needed",
                       u.release);
    if (err == -ENOMEM)
        return pc_fail(why, err, "no memory for io_uring: raise the memory limit (ulimit -l %s)",
                       "unlimited, systemd: LimitMEMLOCK=infinity");
    if (err == -EMFILE || err == -ENFILE)
        return pc_fail(why, err, "no descriptors left for io_uring: raise LimitNOFILE (ulimit -n)");
    return pc_fail(why, err, "io_uring cannot be set up: %s", pc_strerror(err));
}

/* The operations we cannot do without. Multishot and buffer rings have no probe of their own; they
 * are older than DEFER_TASKRUN, which the set-up already asked for. */
static int check_operations(struct io_uring *u, struct pc_why *why)
{
    static const int needed[] = {IORING_OP_ACCEPT,       IORING_OP_RECV,    IORING_OP_SEND,
                                 IORING_OP_SENDMSG,      IORING_OP_CLOSE,   IORING_OP_NOP,
                                 IORING_OP_ASYNC_CANCEL, IORING_OP_POLL_ADD};
    struct io_uring_probe *probe = io_uring_get_probe_ring(u);
    if (!probe)
        return pc_fail(why, -ENOSYS, "io_uring does not answer which operations it has");
    int err = 0;
    for (size_t i = 0; i < PC_COUNT(needed) && !err; i++)
        if (!io_uring_opcode_supported(probe, needed[i]))
            err = pc_fail(why, PC_E_UNSUPPORTED,
                          "io_uring lacks operation %d: Linux 6.1 or newer is needed", needed[i]);
    io_uring_free_probe(probe);
    return err;
}

static int map_bytes(size_t bytes, void **ret_p)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
                   -1, 0);
    if (p == MAP_FAILED)
        return -errno;
    *ret_p = p;
    return 0;
}

/* Lends all receive buffers to the kernel. */
static int lend_buffers(struct ring *r, const struct ring_config *config, struct pc_why *why)
{
    void *p = NULL;
    r->buffers = config->recv_buffers;
    r->buffer_bytes = config->recv_buffer_bytes;
    size_t lent_bytes = r->buffers * sizeof(struct io_uring_buf);
    size_t memory_bytes = (size_t)r->buffers * r->buffer_bytes;
    int err = map_bytes(lent_bytes, &p);
    if (err)
        return pc_fail(why, err, "no memory for receive buffers");
    r->lent = p;
    r->lent_bytes = lent_bytes;
    err = map_bytes(memory_bytes, &p);
    if (err)
        return pc_fail(why, err, "no memory for receive buffers (%zu bytes)", memory_bytes);
    r->memory = p;
    r->memory_bytes = memory_bytes;
    struct io_uring_buf_reg reg = {.ring_addr = (uint64_t)(uintptr_t)r->lent,
                                   .ring_entries = r->buffers,
                                   .bgid = RING_BUFFER_GROUP};
    err = io_uring_register_buf_ring(&r->u, &reg, 0);
    if (err)
        return pc_fail(why, err, "the kernel refuses the ring of %u receive buffers: %s",
                       r->buffers, pc_strerror(err));
    io_uring_buf_ring_init(r->lent);
    for (unsigned i = 0; i < r->buffers; i++)
        ring_buffer_return(r, i);
    ring_buffers_flush(r);
    return 0;
}

static int set_up(struct ring *r, const struct ring_config *config, struct pc_why *why)
{
    struct io_uring_params params;
    unsigned entries = config->entries;
    int err;
    /* Rings count against the user's locked memory where that is limited (64 KiB in some
     * containers): smaller ones cost system calls, not correctness. */
    do {
        params = (struct io_uring_params){.flags = RING_FLAGS, .cq_entries = entries * 4};
        err = io_uring_queue_init_params(entries, &r->u, &params);
        entries /= 2;
    } while (err == -ENOMEM && entries >= RING_ENTRIES_MIN);
    if (err)
        return explain(err, why);
    r->open = true;
    if ((params.features & RING_NEEDS) != RING_NEEDS)
        return explain(-EINVAL, why);
    err = check_operations(&r->u, why);
    if (err)
        return err;
    /* Submissions are used in order, so the index array is the identity for good. */
    for (unsigned i = 0; i < r->u.sq.ring_entries; i++)
        r->u.sq.array[i] = i;
    /* Saves two atomic operations per enter; harmless to do without. */
    if (io_uring_register_ring_fd(&r->u) == 1)
        r->enter_flags |= IORING_ENTER_REGISTERED_RING;
    if ((params.features & FEAT_NO_IOWAIT) && !(config->masked_features & PC_FEATURE_NO_IOWAIT)) {
        r->enter_flags |= ENTER_NO_IOWAIT;
        r->features |= PC_FEATURE_NO_IOWAIT;
    }
    return config->recv_buffers ? lend_buffers(r, config, why) : 0;
}

int ring_open(struct ring *r, const struct ring_config *config, struct pc_why *why)
{
    memset(r, 0, sizeof *r);
    r->faults = config->faults;
    int err = set_up(r, config, why);
    if (err)
        ring_close(r);
    return err;
}

void ring_close(struct ring *r)
{
    if (r->open)
        io_uring_queue_exit(&r->u);
    if (r->lent)
        munmap(r->lent, r->lent_bytes);
    if (r->memory)
        munmap(r->memory, r->memory_bytes);
    memset(r, 0, sizeof *r);
}

int pc_loop_check(uint32_t *ret_features, struct pc_why *why)
{
    struct ring r;
    int err = ring_open(
        &r, &(struct ring_config){.entries = 8, .recv_buffers = 8, .recv_buffer_bytes = 4096}, why);
    if (err)
        return err;
    if (ret_features)
        *ret_features = r.features;
    ring_close(&r);
    return 0;
}

/* One io_uring_enter. Makes new submissions visible to the kernel first. */
static int enter(struct ring *r, unsigned wait_for, unsigned flags, void *arg, size_t arg_bytes)
{
    struct io_uring_sq *sq = &r->u.sq;
    io_uring_smp_store_release(sq->ktail, sq->sqe_tail);
    unsigned submit = sq->sqe_tail - io_uring_smp_load_acquire(sq->khead);
    long n = syscall(__NR_io_uring_enter, r->u.enter_ring_fd, submit, wait_for,
                     flags | r->enter_flags, arg, arg_bytes);
    int err = n < 0 ? -errno : 0;
    sq->sqe_head = io_uring_smp_load_acquire(sq->khead);
    /* EBUSY and EAGAIN put submissions off (they stay queued); EBADR would mean a lost completion,
     * and everything else a mistake of ours. */
    PC_ASSERT(err == 0 || err == -ETIME || err == -EINTR || err == -EBUSY || err == -EAGAIN);
    return err;
}

void ring_enter(struct ring *r)
{
    enter(r, 0, IORING_ENTER_GETEVENTS, NULL, 0);
}

void ring_enter_wait(struct ring *r, int64_t timeout_ns)
{
    struct __kernel_timespec ts = {.tv_sec = timeout_ns / 1000000000,
                                   .tv_nsec = timeout_ns % 1000000000};
    struct io_uring_getevents_arg arg = {.sigmask_sz = _NSIG / 8,
                                         .ts = timeout_ns < 0 ? 0 : (uint64_t)(uintptr_t)&ts};
    enter(r, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg, sizeof arg);
}

struct io_uring_sqe *ring_sqe(struct ring *r)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&r->u);
    for (unsigned i = 0; PC_UNLIKELY(!sqe); i++) {
        PC_ASSERT(i < RING_SUBMIT_TRIES);
        /* Submitting alone is enough unless the kernel wants completions collected first. */
        enter(r, 0, i == 0 ? 0 : IORING_ENTER_GETEVENTS, NULL, 0);
        sqe = io_uring_get_sqe(&r->u);
    }
    return sqe;
}

/* The operation completes with res without being submitted: a NOP takes its place. */
static PC_COLD void complete_without(struct ring *r, struct io_uring_sqe *sqe, uint64_t user_data,
                                     int res)
{
    PC_ASSERT(r->synthetic_count < RING_SYNTHETIC_MAX);
    r->synthetic[r->synthetic_count++] = (struct io_uring_cqe){.user_data = user_data, .res = res};
    io_uring_prep_nop(sqe);
    sqe->user_data = op_encode(PC_OP_LOOP_NONE, 0, 0);
}

void ring_sqe_done(struct ring *r, struct io_uring_sqe *sqe, uint64_t user_data)
{
    sqe->user_data = user_data;
    if (PC_LIKELY(!r->faults || !r->faults->submission))
        return;
    int res = r->faults->submission(r->faults->ctx, op_decode(user_data).op, sqe);
    if (res < 0)
        complete_without(r, sqe, user_data, res);
}

void ring_buffer_return(struct ring *r, unsigned id)
{
    io_uring_buf_ring_add(r->lent, ring_buffer(r, id), r->buffer_bytes, (unsigned short)id,
                          io_uring_buf_ring_mask(r->buffers), (int)r->returned++);
    PC_ASSERT(r->returned <= r->buffers);
}

void ring_buffers_flush(struct ring *r)
{
    if (!r->returned)
        return;
    io_uring_buf_ring_advance(r->lent, (int)r->returned);
    r->returned = 0;
}
