/* NumPy's generator: the words and shuffles of numpy 1.24.2 for seeds of one and two 32-bit words.
 * Expected values printed by: python3 -c 'import numpy as np;
 *   np.random.PCG64(seed).random_raw(3); np.random.default_rng(seed).permutation(n)' */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/hash.h"
#include "between.h"
#include "data/pcg64_internal.h"

static const struct {
    uint64_t seed, words[3];
    int64_t permutation[10];
} known[] = {
    { 0,
      { 0xa30febcfd9c2825f, 0x4510bdf882d9d721, 0x0a7d3da94ecde8b8 },
      { 4, 6, 2, 7, 3, 5, 9, 0, 8, 1 } },
    { 1,
      { 0x8306bdf37922e4ff, 0xf35196bbc152a866, 0x24e7a4f608ec18cd },
      { 8, 4, 7, 0, 1, 2, 5, 9, 6, 3 } },
    { 42,
      { 0xc621fbcd16d92688, 0x705a5661a791ffc1, 0xdbcd12c26eda1624 },
      { 5, 6, 0, 7, 3, 2, 4, 9, 1, 8 } },
    { 12345,
      { 0x3a32b18db2ffc19d, 0x51171315c9e4c4de, 0xcc2024823444efd9 },
      { 4, 8, 1, 3, 7, 9, 6, 0, 2, 5 } },
    { 0xffffffff,
      { 0x407f5fa930d8fd9f, 0x3814b22eb9684802, 0x498b7dcee8d8dc95 },
      { 0, 1, 4, 8, 3, 7, 5, 6, 2, 9 } },
    { 0x100000000,
      { 0xe3c5ebe285ac1625, 0x8ea09968fe31dbcc, 0xcd084ff84d8de9be },
      { 9, 1, 3, 8, 7, 6, 0, 4, 2, 5 } },
    { 0x8000000000000005,
      { 0x7af08e89d1f1456d, 0xe777e80c301c2fd6, 0xa44875755450c1c0 },
      { 1, 3, 2, 7, 8, 5, 0, 4, 6, 9 } },
};
enum { N_KNOWN = sizeof known / sizeof known[0] };

static int64_t *count_to(size_t n)
{
    int64_t *values = malloc(n * sizeof *values);

    assert_non_null(values);
    for (size_t i = 0; i < n; i++)
        values[i] = (int64_t)i;
    return values;
}

static void test_words(void **state)
{
    (void)state;
    for (int s = 0; s < N_KNOWN; s++) {
        struct fx_pcg64 rng;
        fx_pcg64_init(&rng, known[s].seed);
        for (int i = 0; i < 3; i++)
            assert_true(fx_pcg64_next(&rng) == known[s].words[i]);
    }
}

static void test_small_permutations(void **state)
{
    (void)state;
    for (int s = 0; s < N_KNOWN; s++) {
        struct fx_pcg64 rng;
        int64_t *values = count_to(10);
        fx_pcg64_init(&rng, known[s].seed);
        fx_pcg64_shuffle(&rng, values, 10);
        assert_memory_equal(values, known[s].permutation, sizeof known[s].permutation);
        free(values);
    }
}

/* Long enough for every mask, and beyond 16 bits. */
static void test_digests_of_permutations(void **state)
{
    static const struct {
        uint64_t seed;
        size_t n;
        const char *sha256;
    } cases[] = {
        { 42, 50000, "c7cee14bf6acb10a103c2d362ed94615d4e67bcf3a944cb2dd10f4d138bccf62" },
        { 7, 1, "af5570f5a1810b7af78caf4bc70a660f0df51e42baf91d4de5b2328de0e83dfc" },
        { 7, 2, "9d34149fbd1fe777eb238799054c8cbfbce372255f219f8740838def9bfd02db" },
        { 7, 65537, "943a95d26a76190619a8ec1aa25184873db26237b8d1294d1ad1aaf9f8bf7e61" },
        { UINT64_C(1) << 40, 1000,
          "becfb5f932d7a6fa27e7c058786e40370e67830a2ad5e1122214724bacf785c8" },
    };

    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        struct fx_pcg64 rng;
        struct fx_sha256 hash;
        char text[FX_SHA256_TEXT_BYTES];
        int64_t *values = count_to(cases[c].n);
        fx_pcg64_init(&rng, cases[c].seed);
        fx_pcg64_shuffle(&rng, values, cases[c].n);
        fx_sha256_init(&hash);
        fx_sha256_update(&hash, values, cases[c].n * sizeof *values);
        fx_sha256_text(&hash, text);
        assert_string_equal(text, cases[c].sha256);
        free(values);
    }
}

static void test_bounds(void **state)
{
    struct fx_pcg64 rng;
    int seen[7] = { 0 };

    (void)state;
    fx_pcg64_init(&rng, 3);
    assert_int_equal(fx_pcg64_bounded(&rng, 0), 0);
    for (int i = 0; i < 1000; i++) {
        uint32_t value = fx_pcg64_bounded(&rng, 6);
        assert_between(value, 0, 6);
        seen[value]++;
    }
    for (int i = 0; i < 7; i++)
        assert_between(seen[i], 100, 190); /* 143 expected, standard deviation 11 */
    fx_pcg64_shuffle(&rng, NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_small_permutations),
        cmocka_unit_test(test_digests_of_permutations),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
