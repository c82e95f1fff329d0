/* Philox4x32-10 against the known-answer vectors of Random123 (kat_vectors, "philox4x32 10"). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/philox.h"

struct known_answer {
    uint32_t counter[4], key[2], out[4];
};

static const struct known_answer vectors[] = {
    { { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
    { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff },
      { 0xffffffff, 0xffffffff },
      { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
    { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
      { 0xa4093822, 0x299f31d0 },
      { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
};

static void test_known_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        const struct known_answer *known = &vectors[i];
        uint32_t out[4];
        fx_philox(known->counter, (uint64_t)known->key[1] << 32 | known->key[0], out);
        assert_memory_equal(out, known->out, sizeof out);
    }
}

static void test_counter_word(void **state)
{
    (void)state;
    assert_int_equal(fx_rng_word(FX_RNG_DROPOUT, 3, 0x1234), 0x07031234);
    assert_int_equal(fx_rng_word(FX_RNG_INIT, FX_RNG_FUSION, 1), 0x01ff0001);
}

static void test_uniform_bounds(void **state)
{
    (void)state;
    assert_true(fx_uniform24(0) == 0.0f);
    assert_true(fx_uniform24(0xffffffff) < 1.0f);
    assert_true(fx_uniform24(0x80000000) == 0.5f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_counter_word),
        cmocka_unit_test(test_uniform_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
