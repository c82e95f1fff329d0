/* The loops of convolutions as matrix products for AVX2 with FMA. */
#if defined(__x86_64__)
#define BLOCK 8
#define FMA 1
#define BF16 0
#define TARGET __attribute__((target("avx2,fma")))
#define ROWS 6
#define COLUMNS 2
#define LOOPS fx_im2col_avx2
#include "backend/cpu/im2col_template_internal.h"
#endif
