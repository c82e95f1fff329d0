/* The inner loops for AVX-512, values in f32. */
#if defined(__x86_64__)
#define BLOCK 16
#define FMA 0
#define BF16 0
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))
#define TABLE fx_loops_avx512
#include "backend/cpu/loops_template_internal.h"
#endif
