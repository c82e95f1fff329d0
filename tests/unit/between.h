/* Whole numbers between two bounds, both included.  cmocka's assertion for it is unsigned before
 * version 2 and deprecated since. */
#ifndef FX_TESTS_UNIT_BETWEEN_H
#define FX_TESTS_UNIT_BETWEEN_H

#define assert_between(value, low, high)                                                           \
    check_between(#value, (long long)(value), (long long)(low), (long long)(high))

static inline void check_between(const char *what, long long value, long long low, long long high)
{
    if (value < low || value > high)
        fail_msg("%s is %lld, not one of %lld to %lld", what, value, low, high);
}

#endif
