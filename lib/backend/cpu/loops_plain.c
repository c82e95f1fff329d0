/* The inner loops for any processor, values in f32. */
#define BLOCK 8
#define FMA 0
#define BF16 0
#define TARGET
#define TABLE fx_loops_plain
#include "backend/cpu/loops_template_internal.h"
