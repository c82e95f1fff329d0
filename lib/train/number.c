/* The shortest of 15, 16 and 17 digits that reads back: 15 always survive a double, 17 always do.
 */
#include "train/number.h"

#include <stdio.h>
#include <stdlib.h>

char *fx_number_text(double value, char *buf, size_t n)
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(buf, n, "%.*g", digits, value);
        if (strtod(buf, NULL) == value)
            break;
    }
    return buf;
}

char *fx_number_rate(double per_second, char *buf, size_t n)
{
    snprintf(buf, n, per_second < 1 ? "%.2g" : "%.1f", per_second);
    return buf;
}
