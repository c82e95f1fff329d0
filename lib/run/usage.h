/* The back ends of the build, and the time and memory that a run has used. */
#ifndef FX_RUN_USAGE_H
#define FX_RUN_USAGE_H

/* "back ends: ref cpu", for --version. */
const char *fx_train_built_with(void);

/* The last line of the log: time and peak memory. */
void fx_log_usage(double seconds);

#endif
