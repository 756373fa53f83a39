/* SPDX-License-Identifier: Apache-2.0
 * The capacity planner: from a target, an objective and measured points to cores, nodes, memory,
 * network and revocation traffic. Pure: no file, no clock; any thread.
 *
 * The model, in the order in which it is applied:
 *   P1 CPU per request on N cores = 1e6 N / X(N), with X(N) of the Universal Scalability Law. Its
 *      sigma and kappa come from CPU per request of the edge over cores, or from decisions in
 *      process over threads (weighed by the decision's share of a request), whichever is worse.
 *   P2 Every core verifies a token's signature when it first sees it. A token that is asked about R
 *      times in its life is seen by D = K (1 - (1 - 1/K)^R) of K cores, so D/R of the requests
 *      cost a verification more; those a cache misses for want of room come on top.
 *   P3 The objective allows the load at which the platform's floor, waiting (queueing.h) and
 *      service stay below its limit, at most `load_max`.
 *   P4 The nodes that are left when `nodes_lost` are gone carry the target at that load.
 *   P5 Memory is an empty server plus a line per table; every node holds every revocation, and may
 *      see every limit key; the token cache holds what its cores see.
 *   P6 Every node applies and journals every Change of the cluster, on one thread; a Change goes
 *      once to the hub and from there once to each node.
 * P2 depends on the nodes and P4 on P2: they are repeated until they agree. */
#ifndef LD_PLAN_H
#define LD_PLAN_H

#include <jansson.h>
#include <stdio.h>

#include "load/points.h"
#include "load/slo.h"
#include "load/units.h"

enum {
    LD_PLAN_CORES_MAX = 1024, /* per node */
    LD_PLAN_NODES_MAX = 1000000,
    LD_PLAN_WARNINGS_MAX = 32,
    LD_PLAN_WARNING_BYTES = 320,
    LD_PLAN_CHECKS_MAX = 16, /* more loads measured than that are not compared */
};

struct ld_plan_ask {
    struct ld_slo slo;
    double target_per_s;
    double tokens, token_lifetime_s; /* alive at a time; 0 tokens: all known, none verified */
    double cores_per_token;          /* how many cores see a token; 0: all, as chance has it */
    double cache_entries;            /* per core; 0: as many as it sees, up to the server's most */
    double entries[LD_TABLES];       /* LD_TABLE_CACHED_TOKENS is not asked but found */
    double revocations_per_s;        /* accepted by the cluster */
    double nodes_lost;
    double cores_per_node;                   /* 0: found from nodes, or 8 */
    double nodes;                            /* 0: found */
    double load_max;                         /* of a core's capacity, 0 … 1 */
    double memory_bytes, network_bits_per_s; /* of one node */
    double snapshot_interval_s;
};

enum ld_resource {
    LD_RESOURCE_CPU,
    LD_RESOURCE_MEMORY,
    LD_RESOURCE_NETWORK_IN,
    LD_RESOURCE_NETWORK_OUT,
    LD_RESOURCE_JOURNAL,
    LD_RESOURCE_WRITER,
    LD_RESOURCE_FAN_OUT,
    LD_RESOURCES
};

struct ld_need {
    enum ld_resource resource;
    const char *name, *unit_of; /* what is counted */
    enum ld_unit unit;
    double used, capacity;
    double factor; /* capacity / used: how many times it could grow */
};

struct ld_plan_term {
    double load;      /* the objective's term allows */
    double floor_us;  /* of the platform at the load after losses */
    double normal_us; /* predicted with all nodes */
    double lost_us;   /* predicted with nodes_lost gone */
    bool reachable;
};

struct ld_plan_warning {
    char name[40]; /* stable, for scripts */
    char text[LD_PLAN_WARNING_BYTES];
};

/* What a prediction from part of the points says about the rest. */
struct ld_plan_check {
    char what[160];
    double predicted, measured, error; /* relative */
    enum ld_unit unit;
};

struct ld_plan {
    struct ld_plan_ask ask;
    const struct ld_points *points; /* borrowed */
    struct ld_usl edge, decisions;  /* fits of both sweeps */
    struct ld_usl law, worst;       /* used; and with all of the cost taken for kappa */
    bool law_is_of_decisions;
    double cpu_us;    /* known token, cores_per_node */
    double new_share; /* P2: requests that cost a verification */
    double seen_by;   /* cores per token */
    struct ld_service service;
    struct ld_floor floor;
    struct ld_plan_term terms[LD_SLO_TERMS_MAX];
    double load_allowed, load_normal, load_lost;
    bool reachable; /* the objective, at any load */
    bool fits;      /* nothing exceeds its capacity */
    double cores_per_node, nodes;
    double nodes_needed, nodes_worst; /* by law and worst, also where nodes were given */
    double node_per_s;                /* a node's rate at the load allowed */
    struct ld_line memory_line[LD_TABLES];
    double memory_part[LD_TABLES], memory_bytes;
    double cache_entries;                 /* per core */
    double in_bits_per_s, out_bits_per_s; /* of one node, after losses */
    double change_bits_per_s;             /* into one node */
    double hub_bits_per_s;                /* out of the hub */
    double journal_bytes_per_s, disk_bytes, start_s, writer_share;
    struct ld_need needs[LD_RESOURCES]; /* ascending factor: the first breaks first */
    size_t needs_n;
    struct ld_plan_warning warnings[LD_PLAN_WARNINGS_MAX];
    size_t warnings_n;
    struct ld_plan_check checks[LD_PLAN_CHECKS_MAX];
    size_t checks_n;
};

/* All defaults. */
void ld_plan_ask_init(struct ld_plan_ask *a);

/* false: the question or the points cannot be used. The plan is large; points must outlive it. */
bool ld_plan_make(const struct ld_plan_ask *ask, const struct ld_points *points,
                  struct ld_plan *ret_plan, struct ld_problem *problem);

/* plan_print.c */
void ld_plan_print(const struct ld_plan *p, FILE *to);
json_t *ld_plan_to_json(const struct ld_plan *p, const char *command);
/* The model in sentences, for text, JSON and page alike; NULL after the last. */
const char *ld_plan_model_sentence(unsigned i);

#endif
