/* The inner loops for AVX2, values in f32. */
#if defined(__x86_64__)
#define BLOCK 8
#define FMA 0
#define BF16 0
#define TARGET __attribute__((target("avx2")))
#define TABLE fx_loops_avx2
#include "backend/cpu/loops_template_internal.h"
#endif
