/* The loops of convolutions as matrix products for any processor. */
#define BLOCK 8
#define FMA 0
#define BF16 0
#define TARGET
#define ROWS 3
#define COLUMNS 2
#define LOOPS fx_im2col_plain
#include "backend/cpu/im2col_template_internal.h"
