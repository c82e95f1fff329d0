/* The learning rates of a run as a table, without training. */
#ifndef FX_CONFIG_PRINT_SCHEDULE_H
#define FX_CONFIG_PRINT_SCHEDULE_H

#include "config/settings.h"

#include <stdio.h>

/* fx_print_schedule: a line of names, then one an epoch, separated by tabs: the epoch, and the rate
 * of each group while it is trained.  The settings are complete. */
void fx_print_schedule(const struct fx_settings *settings, FILE *out);

#endif
