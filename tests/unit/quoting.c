/* UTF-8 as RFC 3629 has it, and text that cannot do anything to a terminal. */
#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_quoted(const char *text, const char *expected)
{
    char quoted[256], *put = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&put, &n);

    fx_quote(quoted, sizeof quoted, text);
    assert_string_equal(quoted, expected);
    fx_quote_put(out, text);
    fclose(out);
    assert_string_equal(put, expected);
    free(put);
}

static void test_utf8(void **state)
{
    static const char *const good[] = { "a",          "\u00e9",       "\u20ac",      "\U0001f600",
                                        "\U0010ffff", "\xed\x9f\xbf", "\xee\x80\x80" };
    /* Cut off, overlong, a surrogate, beyond the last, a stray continuation. */
    static const char *const bad[] = { "\xc3",         "\xe2\x82",     "\xc0\x80",
                                       "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                       "\x80",         "\xf8" };
    uint32_t code;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_int_equal(fx_utf8_next(good[i], &code), strlen(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(fx_utf8_next(bad[i], &code), 0);
    assert_int_equal(fx_utf8_next("\u20ac", &code), 3);
    assert_int_equal(code, 0x20ac);
    assert_int_equal(fx_utf8_next("", &code), 0);
}

static void test_quote(void **state)
{
    (void)state;
    assert_quoted("plain r\u00e9sum\u00e9 \\ \u4e2d", "plain r\u00e9sum\u00e9 \\ \u4e2d");
    assert_quoted("\033[2J\a\n\t\177", "\\x1b[2J\\x07\\x0a\\x09\\x7f");
    assert_quoted("\xc2\x9b"
                  "31m",
                  "\\u009b31m"); /* CSI of C1 */
    assert_quoted("\x9b"
                  "31m\xff",
                  "\\x9b31m\\xff"); /* the same as a byte */
    assert_quoted("a\u202e\u2066b\u200f\u2028", "a\\u202e\\u2066b\\u200f\\u2028");
}

static void test_quote_in_little_room(void **state)
{
    char quoted[6];

    (void)state;
    fx_quote(quoted, sizeof quoted, "abcd\033");
    assert_string_equal(quoted, "abcd");
    fx_quote(quoted, sizeof quoted, "abcdef");
    assert_string_equal(quoted, "abcde");
    fx_quote(quoted, sizeof quoted, "ab\u20ac\u20ac");
    assert_string_equal(quoted, "ab\u20ac");
    fx_quote(quoted, sizeof quoted, "a\033");
    assert_string_equal(quoted, "a\\x1b");
}

static void assert_trimmed(const char *text, const char *expected)
{
    char trimmed[32];

    strcpy(trimmed, text);
    fx_utf8_trim(trimmed);
    assert_string_equal(trimmed, expected);
}

static void test_mend_and_trim(void **state)
{
    char *mended = fx_utf8_mend("r\xe9sum\u00e9\xff");

    (void)state;
    assert_string_equal(mended, "r\ufffdsum\u00e9\ufffd");
    free(mended);
    assert_trimmed("", "");
    assert_trimmed("abc", "abc");
    assert_trimmed("a\u20ac", "a\u20ac");
    assert_trimmed("a\xe2\x82", "a");
    assert_trimmed("a\xe2", "a");
    assert_trimmed("\xf0\x9f\x98", "");
    assert_trimmed("\U0001f600", "\U0001f600");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_quote),
        cmocka_unit_test(test_quote_in_little_room),
        cmocka_unit_test(test_mend_and_trim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
