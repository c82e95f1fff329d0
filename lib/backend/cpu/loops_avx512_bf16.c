/* The inner loops for AVX-512 with bf16 conversions, values in bf16. */
#if defined(__x86_64__)
#define BLOCK 16
#define FMA 0
#define BF16 1
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))
#define TABLE fx_loops_avx512_bf16
#include "backend/cpu/loops_template_internal.h"
#endif
