/* Learning rates, epoch by epoch. */
#ifndef FX_CONFIG_SCHEDULE_H
#define FX_CONFIG_SCHEDULE_H

#include "net/graph.h"

#include <stdbool.h>
#include <stdint.h>

#define FX_SCHEDULE_KINDS "cosine|restarts|constant"
enum fx_schedule_kind { FX_SCHEDULE_COSINE, FX_SCHEDULE_RESTARTS, FX_SCHEDULE_CONSTANT };

struct fx_schedule {
    enum fx_schedule_kind kind;
    int64_t epochs;         /* T_max */
    double lr[FX_N_GROUPS]; /* where each group starts */
    double floor;           /* eta_min = floor * lr */
};

/* fx_schedule_rates: the rates after n_done finished epochs; epoch e (from 1) trains with those of
 * n_done = e - 1, and what an epoch event reports are those of n_done = e.
 *   cosine    all groups: torch's CosineAnnealingLR, closed form, T_max = epochs
 *   restarts  experts: torch's CosineAnnealingWarmRestarts, T_0 = max(1, epochs / 4), T_mult = 2;
 *             fusion and head: cosine
 *   constant  lr
 * Source: torch/optim/lr_scheduler.py (1.13); Loshchilov and Hutter, "SGDR" (2017).
 * Test: tests/unit/lr_schedule.c */
void fx_schedule_rates(const struct fx_schedule *schedule, int64_t n_done, double lr[FX_N_GROUPS]);

#endif
