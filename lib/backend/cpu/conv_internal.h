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
    bool bf16;      /* of maps; weights and their gradient are f32 */
    size_t x_image; /* values from one image of x to the next, more than its own in a prefix */
};

/* A norm that a convolution applies to what it reads: x becomes scale * x + shift, then ReLU.  A
 * number for each channel of whole blocks, both 0 in padding; no scale: no norm. */
struct fx_conv_norm {
    const float *scale, *shift; /* borrowed */
};

/* The norm from a channel on. */
static inline struct fx_conv_norm fx_conv_norm_from(const struct fx_conv_norm *norm, int channel)
{
    if (!norm->scale)
        return *norm;
    return (struct fx_conv_norm){ norm->scale + channel, norm->shift + channel };
}

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
