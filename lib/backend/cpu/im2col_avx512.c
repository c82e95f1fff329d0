/* The loops of convolutions as matrix products for AVX-512. */
#if defined(__x86_64__)
#define BLOCK 16
#define FMA 1
#define BF16 0
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))
#define ROWS 6
#define COLUMNS 4
#define LOOPS fx_im2col_avx512
#include "backend/cpu/im2col_template_internal.h"
#endif
