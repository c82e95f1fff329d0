/* The inner loops of the cpu back end, compiled once for each instruction set and value type from
 * loops_template_internal.h and chosen at run time by oneDNN's view of the machine.
 *
 * A span is n pixels of one image and one channel block, `block` channels a pixel, packed: n *
 * block values.  Values are f32 or bf16; coefficients and sums are f32, one for each channel.
 * Nothing here allocates, fails or knows shapes beyond the span.  Loops use no fused multiply-add
 * and no reassociation, so every instruction set with the same block gives the same bits. */
#ifndef FX_BACKEND_CPU_LOOPS_INTERNAL_H
#define FX_BACKEND_CPU_LOOPS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FX_MAX_BLOCK = 16 };

/* A number for each channel of one block. */
struct fx_channels {
    _Alignas(64) float v[FX_MAX_BLOCK];
};

/* Which channels of which pixel dropout keeps: one word a pixel, bit l for channel l.  NULL words:
 * all.
 */
struct fx_kept {
    const uint16_t *words; /* borrowed */
    float factor;          /* of what is kept: 1 / (1 - p) */
};

/* The mask of one image in one channel block (base/philox.h): C is a multiple of 4, and the block
 * begins at channel `first` and has `used` channels. */
struct fx_mask_span {
    uint32_t counter[3]; /* the words before the draw */
    uint64_t seed;
    uint32_t limit; /* drop where the upper 24 bits of the random word are below this */
    uint32_t c, first, used;
};

/* BatchNorm's backward pass over a block.  With z = scale * x + shift (the value before ReLU) and
 * g = dy where ReLU and dropout let it pass, else 0:
 *   dx = by_g * g + by_x * (x - mean) + constant */
struct fx_bn_back {
    struct fx_channels scale, shift, mean;
    struct fx_channels by_g, by_x, constant;
    bool relu;
};

struct fx_loops {
    int block;
    size_t value_bytes;

    void (*to_f32)(const void *x, float *y, size_t n_values);
    void (*from_f32)(const float *x, void *y, size_t n_values);

    /* mean and sum of squared deviations from it, of n pixels */
    void (*moments)(const void *x, size_t n, float *mean, float *m2);
    /* y = scale * x + shift, then ReLU, then dropout; y may be x */
    void (*bn_apply)(const void *x, void *y, size_t n, const struct fx_channels *scale,
                     const struct fx_channels *shift, bool relu, struct fx_kept kept);
    /* sum_g = sum of g, sum_gx = sum of g * (x - mean) */
    void (*bn_sums)(const void *x, const void *dy, size_t n, const struct fx_bn_back *b,
                    struct fx_kept kept, float *sum_g, float *sum_gx);
    /* the same, and to = or += by_g * g; to may be dy when it is = */
    void (*bn_gather)(const void *x, const void *dy, void *to, size_t n, const struct fx_bn_back *b,
                      struct fx_kept kept, bool accumulate, float *sum_g, float *sum_gx);
    /* dx = or +=; dx may be dy when it is = */
    void (*bn_back)(const void *x, const void *dy, void *dx, size_t n, const struct fx_bn_back *b,
                    struct fx_kept kept, bool accumulate);

    /* y = a + b, then ReLU; y may be a or b */
    void (*add)(const void *a, const void *b, void *y, size_t n, bool relu);
    /* dx = dy where y > 0, else 0; dx may be dy */
    void (*relu_back)(const void *y, const void *dy, void *dx, size_t n);
    /* y = x * factor where kept, else 0; y may be x */
    void (*drop)(const void *x, void *y, size_t n, struct fx_kept kept);

    /* words[p] = which channels of pixel p are kept */
    void (*draw)(const struct fx_mask_span *m, size_t n, uint16_t *words);

    void (*sum)(const void *x, size_t n, float *sum);
    void (*fill)(void *y, size_t n, const float *value);
    /* 2x2 means of rows of w_in pixels; y has h x w pixels */
    void (*avgpool2)(const void *x, void *y, int h, int w, int w_in);
    /* dx (h_in x w_in) = a quarter of dy, 0 in an odd last row or column */
    void (*avgpool2_back)(const void *dy, void *dx, int h_in, int w_in);
};

extern const struct fx_loops fx_loops_plain; /* blocks of 8 channels, f32, any CPU */
extern const struct fx_loops fx_loops_avx2;  /* blocks of 8 channels, f32 */
extern const struct fx_loops fx_loops_avx512;
extern const struct fx_loops fx_loops_avx512_bf16; /* values in bf16 */

#endif
