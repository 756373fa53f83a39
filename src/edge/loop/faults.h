/* SPDX-License-Identifier: Apache-2.0
 * The seam for fault injection: tests hand a table to pc_loop_config.faults, production hands
 * NULL. Called on the core's thread. */
#ifndef PC_LOOP_FAULTS_H
#define PC_LOOP_FAULTS_H

#include "edge/loop/op.h"

struct io_uring_sqe;

struct pc_loop_faults {
    void *ctx;
    /* Asked once for each submission. A negative result is what the operation completes with,
     * without having been submitted (-ENOBUFS, -EMFILE, -ECANCELED, ...). 0 submits it, possibly
     * changed: fewer bytes (a short send) or without its multishot flag (a multishot that ends). */
    int (*submission)(void *ctx, enum pc_loop_op op, struct io_uring_sqe *sqe);
    /* Asked once for each allocation of a buffer or connection; false: it fails. */
    bool (*allocation)(void *ctx, size_t bytes);
};

#endif
