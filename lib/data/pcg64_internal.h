/* NumPy's default generator: SeedSequence and PCG64 XSL-RR, so that splits drawn here are the ones
 * that np.random.default_rng(seed) draws.
 *
 * Only the splits use it; every other random decision comes from base/philox.h.
 * Sources: M. O'Neill, "PCG: A Family of Simple Fast Space-Efficient Statistically Good Algorithms
 * for Random Number Generation" (HMC-CS-2014-0905); numpy 1.24, random/bit_generator.pyx,
 * random/src/pcg64 and random_interval of random/src/distributions. */
#ifndef FX_DATA_PCG64_INTERNAL_H
#define FX_DATA_PCG64_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

struct fx_u128 {
    uint64_t high, low;
};

/* Plain data, copied freely: a copy continues the same sequence. */
struct fx_pcg64 {
    struct fx_u128 state;
    struct fx_u128 increment; /* odd */
    uint32_t spare;           /* the upper half of the last word, handed out by the next call */
    int has_spare;
};

/* fx_pcg64_init: the state of np.random.default_rng(seed). */
void fx_pcg64_init(struct fx_pcg64 *rng, uint64_t seed);

/* The next 64 bits; leaves the spare half word alone, as NumPy does. */
uint64_t fx_pcg64_next(struct fx_pcg64 *rng);

/* A uniform number in [0, max]: masked words, those above max thrown away.  shuffle draws so; the
 * multiplication method of Generator.integers is another sequence. */
uint32_t fx_pcg64_bounded(struct fx_pcg64 *rng, uint32_t max);

/* fx_pcg64_shuffle: Generator.shuffle of a one-dimensional array, in place; n < 2^32.
 * Generator.permutation(values) is a shuffle of a copy. */
void fx_pcg64_shuffle(struct fx_pcg64 *rng, int64_t *values, size_t n);

#endif
