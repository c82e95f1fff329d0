/* The fewest digits that read back: 15 decimal digits always survive a double and 17 always tell
 * it from its neighbours; of a float 6 and 9. */
#include "base/number.h"

#include <float.h>
#include <stdio.h>
#include <stdlib.h>

char *fx_number_text(double value, char *buf, size_t n)
{
    for (int digits = DBL_DIG; digits <= DBL_DECIMAL_DIG; digits++) {
        snprintf(buf, n, "%.*g", digits, value);
        if (strtod(buf, NULL) == value)
            break;
    }
    return buf;
}

char *fx_number_text_f32(float value, char *buf, size_t n)
{
    for (int digits = FLT_DIG; digits <= FLT_DECIMAL_DIG; digits++) {
        snprintf(buf, n, "%.*g", digits, (double)value);
        if (strtof(buf, NULL) == value)
            break;
    }
    return buf;
}

char *fx_number_rate(double per_second, char *buf, size_t n)
{
    snprintf(buf, n, per_second < 1 ? "%.2g" : "%.1f", per_second);
    return buf;
}

double fx_number_round(double value)
{
    char text[FX_NUMBER_BYTES];

    snprintf(text, sizeof text, "%.*g", DBL_DIG, value);
    return strtod(text, NULL);
}

double fx_number_times(double a, double b)
{
    return a == 1 || b == 1 ? a * b : fx_number_round(a * b);
}
