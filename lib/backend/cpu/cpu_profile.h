/* Where a program's time goes, for bench/: the cpu back end counts the processor time of
 * each step (of the worker, not of its OpenMP team). */
#ifndef FX_BACKEND_CPU_CPU_PROFILE_H
#define FX_BACKEND_CPU_CPU_PROFILE_H

#include "backend/backend.h"

#include <stdio.h>

/* fx_cpu_profile_print: for each kind of step, milliseconds summed over lanes since the last call,
 * and its count, the slowest first; then forgets them. */
void fx_cpu_profile_print(struct fx_program *program, FILE *out);

#endif
