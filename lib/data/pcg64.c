/* NumPy's SeedSequence, PCG64 and shuffle (see pcg64_internal.h). */
#include "data/pcg64_internal.h"

enum { POOL_WORDS = 4, HASH_SHIFT = 16 };

/* SeedSequence hashes each word with a constant that changes at every use. */
static uint32_t hash_word(uint32_t value, uint32_t *hash_const, uint32_t multiplier)
{
    value ^= *hash_const;
    *hash_const *= multiplier;
    value *= *hash_const;
    return value ^ value >> HASH_SHIFT;
}

static uint32_t mix_words(uint32_t x, uint32_t y)
{
    uint32_t mixed = 0xCA01F9DDu * x - 0x4973F715u * y;
    return mixed ^ mixed >> HASH_SHIFT;
}

/* SeedSequence(seed).pool: hash the seed's words (at most two, the rest zeros) into the pool, then
 * let every word of the pool touch every other. */
static void seed_pool(uint64_t seed, uint32_t pool[POOL_WORDS])
{
    const uint32_t entropy[POOL_WORDS] = { (uint32_t)seed, (uint32_t)(seed >> 32) };
    const uint32_t multiplier = 0x931E8875u;
    uint32_t hash_const = 0x43B0D7E5u;

    for (int i = 0; i < POOL_WORDS; i++)
        pool[i] = hash_word(entropy[i], &hash_const, multiplier);
    for (int from = 0; from < POOL_WORDS; from++)
        for (int to = 0; to < POOL_WORDS; to++)
            if (from != to)
                pool[to] = mix_words(pool[to], hash_word(pool[from], &hash_const, multiplier));
}

/* SeedSequence.generate_state(n, uint64). */
static void seed_words(const uint32_t pool[POOL_WORDS], uint64_t *words, int n)
{
    uint32_t hash_const = 0x8B51F9DDu;

    for (int i = 0; i < n; i++) {
        uint32_t half[2];
        for (int h = 0; h < 2; h++)
            half[h] = hash_word(pool[(2 * i + h) % POOL_WORDS], &hash_const, 0x58F38DEDu);
        words[i] = half[0] | (uint64_t)half[1] << 32;
    }
}

static struct fx_u128 add128(struct fx_u128 a, struct fx_u128 b)
{
    uint64_t low = a.low + b.low;
    return (struct fx_u128){ a.high + b.high + (low < a.low), low };
}

/* The upper half of a 64 x 64 product, in portable C17 (no 128-bit type). */
static uint64_t mul_high(uint64_t a, uint64_t b)
{
    uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
    uint64_t middle = a1 * b0 + (a0 * b0 >> 32);
    uint64_t carry = a0 * b1 + (uint32_t)middle;
    return a1 * b1 + (middle >> 32) + (carry >> 32);
}

static struct fx_u128 mul128(struct fx_u128 a, struct fx_u128 b)
{
    return (struct fx_u128){ mul_high(a.low, b.low) + a.high * b.low + a.low * b.high,
                             a.low * b.low };
}

static void step(struct fx_pcg64 *rng)
{
    const struct fx_u128 multiplier = { 2549297995355413924u, 4865540595714422341u };
    rng->state = add128(mul128(rng->state, multiplier), rng->increment);
}

void fx_pcg64_init(struct fx_pcg64 *rng, uint64_t seed)
{
    uint32_t pool[POOL_WORDS];
    uint64_t words[4]; /* initial state, then the sequence number: high word first */

    seed_pool(seed, pool);
    seed_words(pool, words, 4);
    *rng = (struct fx_pcg64){ .increment = { words[2] << 1 | words[3] >> 63, words[3] << 1 | 1 } };
    step(rng);
    rng->state = add128(rng->state, (struct fx_u128){ words[0], words[1] });
    step(rng);
}

uint64_t fx_pcg64_next(struct fx_pcg64 *rng)
{
    step(rng);
    uint64_t folded = rng->state.high ^ rng->state.low;
    unsigned turn = (unsigned)(rng->state.high >> 58);
    return folded >> turn | folded << (-turn & 63);
}

static uint32_t next_half(struct fx_pcg64 *rng)
{
    if (rng->has_spare) {
        rng->has_spare = 0;
        return rng->spare;
    }
    uint64_t word = fx_pcg64_next(rng);
    rng->spare = (uint32_t)(word >> 32);
    rng->has_spare = 1;
    return (uint32_t)word;
}

uint32_t fx_pcg64_bounded(struct fx_pcg64 *rng, uint32_t max)
{
    uint32_t mask = max, value;

    if (max == 0)
        return 0;
    for (int shift = 1; shift < 32; shift *= 2)
        mask |= mask >> shift;
    do
        value = next_half(rng) & mask;
    while (value > max);
    return value;
}

void fx_pcg64_shuffle(struct fx_pcg64 *rng, int64_t *values, size_t n)
{
    for (size_t i = n; i-- > 1;) {
        size_t j = fx_pcg64_bounded(rng, (uint32_t)i);
        int64_t value = values[i];
        values[i] = values[j];
        values[j] = value;
    }
}
