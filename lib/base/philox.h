/* Philox4x32-10, the counter-based generator behind every random decision.
 *
 * A draw is a pure function of (seed, purpose, expert, layer, epoch, image, draw): nothing depends
 * on threads, batch position or what ran before. Source: Salmon et al., "Parallel random numbers:
 * as easy as 1, 2, 3" (SC 2011); checked against the known-answer vectors published with Random123.
 */
#ifndef FX_BASE_PHILOX_H
#define FX_BASE_PHILOX_H

#include <stdint.h>

/* Purposes; part of the interface (fusion-train(1), RANDOMNESS): never renumber. */
enum fx_rng_purpose {
    FX_RNG_INIT = 1,    /* layer = parameter's number in its component, draw = element / 4 */
    FX_RNG_ORDER = 2,   /* epoch order of the images: image = index in the data set */
    FX_RNG_CROP = 3,    /* crop offsets and flip: image = index in the data set */
    FX_RNG_OPS = 4,     /* colour, RandAugment, TrivialAugment: operations and magnitudes */
    FX_RNG_ERASE = 5,   /* RandomErasing box */
    FX_RNG_MIX = 6,     /* cutmix and mixup: image = batch number in the epoch */
    FX_RNG_DROPOUT = 7, /* expert (FX_RNG_FUSION for the fusion module), layer = dropout number in
                           its lane, image = index in the data set, draw = element / 4 where
                           element = (h * W + w) * C + c, so every layout computes the same mask */
    /* fusion-eval(1): epoch = sample, image = position in the sample / 4 */
    FX_RNG_BOOTSTRAP = 8,
    /* cifar-prep(1), shares: layer = what is drawn (data/shares.c), image = class */
    FX_RNG_SHARES = 9,
    /* cifar-corrupt(1): expert = corruption, layer = severity, image = index in the data set */
    FX_RNG_CORRUPT = 10,
    /* fusion-eval(1), --attack pgd: where it starts; image = index in the data set, draw =
     * element / 4 */
    FX_RNG_ATTACK = 11,
};

enum { FX_RNG_FUSION = 255 }; /* the `expert` of fusion module and head */

struct fx_philox_key {
    uint64_t seed;
};

/* The first counter word: purpose << 24 | expert << 16 | layer. */
static inline uint32_t fx_rng_word(enum fx_rng_purpose purpose, unsigned expert, unsigned layer)
{
    return (uint32_t)purpose << 24 | (expert & 0xffu) << 16 | (layer & 0xffffu);
}

/* fx_philox: out[4] = Philox4x32-10(counter[4], key = seed low word, seed high word). */
static inline void fx_philox(const uint32_t counter[4], uint64_t seed, uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);

    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0;
        uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        uint32_t n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* A uniform float in [0, 1) with 24 random bits, exact in f32. */
static inline float fx_uniform24(uint32_t word)
{
    return (float)(word >> 8) * 0x1p-24f;
}

#endif
