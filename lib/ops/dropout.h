/* Dropout (Srivastava et al., JMLR 2014), inverted as torch.nn.functional.dropout does it: a value
 * is dropped with probability p, and multiplied by 1 / (1 - p) otherwise.
 *
 * The mask is a pure function of (seed, lane, layer, epoch, image, element), drawn with Philox
 * (base/philox.h): every back end and every layout computes the same one; here the backward pass
 * computes it again.  Elements of an image are numbered (h, w, c), channel fastest. */
#ifndef FX_OPS_DROPOUT_H
#define FX_OPS_DROPOUT_H

#include "base/philox.h"
#include "net/graph.h"

/* A dropout node in one epoch. */
struct fx_dropout {
    uint64_t seed;
    uint32_t word; /* fx_rng_word */
    uint32_t epoch;
    float p;
};

static inline struct fx_dropout fx_dropout_of(const struct fx_node *node, uint64_t seed,
                                              uint32_t epoch)
{
    unsigned expert = node->lane == FX_LANE_FUSION ? FX_RNG_FUSION : (unsigned)node->lane;

    return (struct fx_dropout){
        .seed = seed,
        .word = fx_rng_word(FX_RNG_DROPOUT, expert, (unsigned)node->dropout_layer),
        .epoch = epoch,
        .p = node->p,
    };
}

/* The factors of elements 4 * draw .. 4 * draw + 3 of one image: 0 with probability p, else
 * 1 / (1 - p).  image: number in the data set. */
static inline void fx_dropout_quad(const struct fx_dropout *d, uint32_t image, uint32_t draw,
                                   float factor[4])
{
    uint32_t counter[4] = { d->word, d->epoch, image, draw }, words[4];
    float scale = 1.0f / (1.0f - d->p);

    fx_philox(counter, d->seed, words);
    for (int i = 0; i < 4; i++)
        factor[i] = fx_uniform24(words[i]) < d->p ? 0.0f : scale;
}

/* The factor of one element. */
static inline float fx_dropout_factor(const struct fx_dropout *d, uint32_t image, uint32_t element)
{
    float factor[4];

    fx_dropout_quad(d, image, element / 4, factor);
    return factor[element % 4];
}

/* fx_dropout_forward: y = mask(x); x and y (n, tokens, c, h, w) may not alias.
 *   images  in  (n) numbers in the data set
 * fx_dropout_backward: dx += mask(dy), the same mask. */
void fx_dropout_forward(const struct fx_dropout *d, int n, struct fx_value_shape shape,
                        const uint32_t *images, const float *x, float *y);
void fx_dropout_backward(const struct fx_dropout *d, int n, struct fx_value_shape shape,
                         const uint32_t *images, const float *dy, float *dx);

#endif
