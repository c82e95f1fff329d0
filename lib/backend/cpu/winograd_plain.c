/* The Winograd loops for any processor. */
#define BLOCK 8
#define FMA 0
#define BF16 0
#define TARGET
#define ROWS 3
#define COLUMNS 2
#define LOOPS fx_winograd_plain
#include "backend/cpu/winograd_template_internal.h"
