/* Cosine annealing, with and without warm restarts. */
#include "config/schedule.h"

#include <math.h>

/* The first epoch of a period has the rate as it was given. */
static double anneal(double lr, double lr_min, int64_t done, int64_t period)
{
    if (done == 0)
        return lr;
    return lr_min + (lr - lr_min) * (1 + cos(M_PI * (double)done / (double)period)) / 2;
}

/* Warm restarts: periods T_0, 2 T_0, 4 T_0, ...; each starts again from the full rate. */
static double anneal_restarting(double lr, double lr_min, int64_t done, int64_t epochs)
{
    int64_t period = epochs / 4 > 1 ? epochs / 4 : 1;

    while (done >= period) {
        done -= period;
        period *= 2;
    }
    return anneal(lr, lr_min, done, period);
}

void fx_schedule_rates(const struct fx_schedule *schedule, int64_t n_done, double lr[FX_N_GROUPS])
{
    for (int group = 0; group < FX_N_GROUPS; group++) {
        double lr_max = schedule->lr[group], lr_min = schedule->floor * lr_max;
        if (schedule->kind == FX_SCHEDULE_CONSTANT)
            lr[group] = lr_max;
        else if (schedule->kind == FX_SCHEDULE_RESTARTS && group == FX_GROUP_EXPERTS)
            lr[group] = anneal_restarting(lr_max, lr_min, n_done, schedule->epochs);
        else
            lr[group] = anneal(lr_max, lr_min, n_done, schedule->epochs);
    }
}
