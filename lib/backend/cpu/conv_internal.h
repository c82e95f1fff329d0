/* What all convolutions have in common, our own and oneDNN's: what is convolved, and how work is
 * cut into pieces. */
#ifndef FX_BACKEND_CPU_CONV_INTERNAL_H
#define FX_BACKEND_CPU_CONV_INTERNAL_H

#include "backend/lower/lower.h"

struct fx_conv_shape {
    int n;
    int block;               /* 8 or 16 */
    int groups, c_in, c_out; /* all channels; c / groups is a multiple of the block */
    int h_in, w_in, h_out, w_out;
    int kernel, stride, pad;
    bool bf16; /* of maps; weights and their gradient are f32 */
};

static inline int fx_smaller(int a, int b)
{
    return a < b ? a : b;
}

static inline int fx_larger(int a, int b)
{
    return a > b ? a : b;
}

static inline int fx_divide_up(int a, int b)
{
    return (a + b - 1) / b;
}

/* Where part i of n of a number of things begins. */
static inline int fx_part_at(int things, int n, int i)
{
    return (int)((long)things * i / n);
}

#endif
