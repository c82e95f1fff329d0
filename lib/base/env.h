/* The environment: the one place that reads it. */
#ifndef FX_BASE_ENV_H
#define FX_BASE_ENV_H

/* fx_env: the value of a variable, or NULL where it is unset or empty; borrowed. */
const char *fx_env(const char *name);

#endif
