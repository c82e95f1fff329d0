/* A sequence of random numbers for one decision maker, counted, never shared: private to lib/data.
 *
 * The words of draw 0, 1, 2 ... of one Philox stream are handed out in order, four per block. */
#ifndef FX_DATA_DRAWS_INTERNAL_H
#define FX_DATA_DRAWS_INTERNAL_H

#include "base/philox.h"

struct fx_draws {
    uint64_t seed;
    uint32_t counter[4]; /* purpose word, epoch, image, draw (of the next block) */
    uint32_t words[4];
    int n_left; /* words of the current block not yet used */
};

/* fx_draws_begin: the stream of (purpose, number) for one image (or batch) of one epoch. */
static inline struct fx_draws fx_draws_begin(uint64_t seed, enum fx_rng_purpose purpose,
                                             unsigned number, uint32_t epoch, uint32_t image)
{
    return (struct fx_draws){ .seed = seed,
                              .counter = { fx_rng_word(purpose, 0, number), epoch, image, 0 } };
}

static inline uint32_t fx_draws_word(struct fx_draws *draws)
{
    if (draws->n_left == 0) {
        fx_philox(draws->counter, draws->seed, draws->words);
        draws->counter[3]++;
        draws->n_left = 4;
    }
    return draws->words[4 - draws->n_left--];
}

/* A whole number in [0, n), n > 0; the bias is below n / 2^32. */
static inline uint32_t fx_draws_below(struct fx_draws *draws, uint32_t n)
{
    return (uint32_t)((uint64_t)fx_draws_word(draws) * n >> 32);
}

/* A float in [low, high). */
static inline float fx_draws_between(struct fx_draws *draws, float low, float high)
{
    return low + (high - low) * fx_uniform24(fx_draws_word(draws));
}

/* A double in (0, 1), never 0 or 1: its logarithm is finite. */
static inline double fx_draws_open(struct fx_draws *draws)
{
    return (fx_draws_word(draws) + 0.5) * 0x1p-32;
}

/* fx_draws_log_gamma: the logarithm of a Gamma(alpha, 1) number. */
double fx_draws_log_gamma(struct fx_draws *draws, double alpha);

#endif
