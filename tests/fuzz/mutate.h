/* Deterministic mutation: the same seed gives the same broken inputs on every machine, so a finding
 * is repeated by its number.
 *
 * A driver hands its good inputs to fuzz_run, which calls the target with N mutants of them; the
 * target parses, touches everything it was given, and asserts what must always hold.  FX_FUZZ_N
 * sets N (default 20000), FX_FUZZ_FIRST the number to begin with.  Included after cmocka.h. */
#ifndef FX_TESTS_MUTATE_H
#define FX_TESTS_MUTATE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fuzz_bytes {
    uint8_t *at;
    size_t n;
};

/* SplitMix64 (Steele, Lea and Flood 2014). */
static uint64_t fuzz_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static size_t fuzz_below(uint64_t *state, size_t n)
{
    return n > 0 ? fuzz_random(state) % n : 0;
}

/* Values at which parsers break. */
static uint64_t fuzz_interesting(uint64_t *state)
{
    static const uint64_t values[] = {
        0,
        1,
        0x7f,
        0x80,
        0xff,
        0x7fff,
        0xffff,
        0x7fffffff,
        0x80000000,
        0xffffffff,
        0x100000000,
        0x3fffffffffffffff,
        0x7fffffffffffffff,
        0x8000000000000000,
        0xffffffffffffffff,
    };

    return values[fuzz_below(state, sizeof values / sizeof *values)];
}

/* Replaces the bytes [begin, begin + n_out) by n_in new ones; the new ones may lie in the buffer.
 */
static void fuzz_splice(struct fuzz_bytes *b, size_t begin, size_t n_out, const uint8_t *in,
                        size_t n_in)
{
    uint8_t *spliced = malloc(b->n - n_out + n_in + 1);

    memcpy(spliced, b->at, begin);
    if (n_in > 0)
        memcpy(spliced + begin, in, n_in);
    memcpy(spliced + begin + n_in, b->at + begin + n_out, b->n - begin - n_out);
    free(b->at);
    b->at = spliced;
    b->n += n_in - n_out;
}

static void fuzz_mutate(struct fuzz_bytes *b, const struct fuzz_bytes *other, uint64_t *state)
{
    size_t at = fuzz_below(state, b->n), n = fuzz_below(state, 16) + 1;
    size_t width = (size_t)1 << fuzz_below(state, 4);
    uint64_t value;

    n = n < b->n - at ? n : b->n - at;
    switch (fuzz_below(state, 8)) {
    case 0:
    case 1:
        if (b->n > 0)
            b->at[at] ^= (uint8_t)(1 << fuzz_below(state, 8));
        break;
    case 2:
        if (b->n > 0)
            b->at[at] = (uint8_t)fuzz_random(state);
        break;
    case 3: /* a number of 1, 2, 4 or 8 bytes */
        value = fuzz_interesting(state);
        if (b->n >= width)
            memcpy(b->at + fuzz_below(state, b->n - width + 1), &value, width);
        break;
    case 4: /* loses some bytes */
        fuzz_splice(b, at, n, NULL, 0);
        break;
    case 5: /* says some bytes twice */
        fuzz_splice(b, fuzz_below(state, b->n + 1), 0, b->at + at, n);
        break;
    case 6: /* takes some bytes of another input */
        value = fuzz_below(state, other->n);
        n = fuzz_below(state, other->n - value < 64 ? other->n - value : 64);
        fuzz_splice(b, at, n < b->n - at ? n : b->n - at, other->at + value, n);
        break;
    default: /* is cut, rarely */
        if (fuzz_below(state, 4) == 0)
            fuzz_splice(b, at, b->n - at, NULL, 0);
    }
}

static uint64_t fuzz_setting(const char *name, uint64_t fallback)
{
    const char *text = getenv(name);

    return text != NULL ? strtoull(text, NULL, 10) : fallback;
}

/* Calls target with every good input, which it must accept (return true), and then with N mutants,
 * each in a block of exactly its size, so that a sanitizer sees a read behind the end. */
static void fuzz_run(const struct fuzz_bytes *good, size_t n_good,
                     bool (*target)(const uint8_t *bytes, size_t n))
{
    uint64_t first = fuzz_setting("FX_FUZZ_FIRST", 0), n = fuzz_setting("FX_FUZZ_N", 20000);

    for (size_t i = 0; i < n_good; i++)
        assert_true(target(good[i].at, good[i].n));
    for (uint64_t i = first; i < first + n; i++) {
        uint64_t state = i;
        const struct fuzz_bytes *from = &good[fuzz_below(&state, n_good)];
        struct fuzz_bytes b = { malloc(from->n + 1), from->n };
        memcpy(b.at, from->at, from->n);
        for (size_t k = fuzz_below(&state, 5) + 1; k > 0; k--)
            fuzz_mutate(&b, &good[fuzz_below(&state, n_good)], &state);
        b.at = realloc(b.at, b.n > 0 ? b.n : 1);
        target(b.at, b.n);
        free(b.at);
    }
}

#endif
