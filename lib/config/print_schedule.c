/* A table for people and plots. */
#include "config/print_schedule.h"

#include "base/number.h"
#include "config/schedule.h"

#include <inttypes.h>

void fx_print_schedule(const struct fx_settings *settings, FILE *out)
{
    struct fx_schedule schedule = { .kind = settings->schedule,
                                    .epochs = settings->epochs,
                                    .floor = settings->lr_floor };
    int n_groups = settings->fusion == FX_NONE ? 1 : FX_N_GROUPS;

    fx_settings_rates(settings, schedule.lr);
    fputs(n_groups == 1 ? "epoch\tlr_experts\n" : "epoch\tlr_experts\tlr_fusion\tlr_global_head\n",
          out);
    for (int64_t epoch = 1; epoch <= settings->epochs; epoch++) {
        double lr[FX_N_GROUPS];
        char text[FX_NUMBER_BYTES];
        fx_schedule_rates(&schedule, epoch - 1, lr);
        fprintf(out, "%" PRId64, epoch);
        for (int group = 0; group < n_groups; group++)
            fprintf(out, "\t%s", fx_number_text(lr[group], text, sizeof text));
        fputc('\n', out);
    }
}
