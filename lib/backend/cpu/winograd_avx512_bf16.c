/* The Winograd loops for AVX-512, maps in bf16. */
#if defined(__x86_64__)
#define BLOCK 16
#define FMA 1
#define BF16 1
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))
#define ROWS 6
#define COLUMNS 4
#define LOOPS fx_winograd_avx512_bf16
#include "backend/cpu/winograd_template_internal.h"
#endif
