/* Random numbers of other distributions (see draws_internal.h). */
#include "data/draws_internal.h"

#include <math.h>

/* A standard normal number by Box and Muller (1958). */
static double draw_normal(struct fx_draws *draws)
{
    double radius = sqrt(-2.0 * log(fx_draws_open(draws)));

    return radius * cos(2.0 * M_PI * fx_draws_open(draws));
}

/* Marsaglia and Tsang, "A simple method for generating
 * gamma variables" (2000): for shapes from 1; a smaller shape is that of alpha + 1 times
 * U^(1/alpha), which may underflow and therefore stays a logarithm. */
double fx_draws_log_gamma(struct fx_draws *draws, double alpha)
{
    double boost = alpha < 1.0 ? log(fx_draws_open(draws)) / alpha : 0.0;
    double d = (alpha < 1.0 ? alpha + 1.0 : alpha) - 1.0 / 3.0, c = 1.0 / sqrt(9.0 * d);

    for (;;) {
        double x = draw_normal(draws), v = 1.0 + c * x;
        if (v <= 0.0)
            continue;
        v = v * v * v;
        if (log(fx_draws_open(draws)) < 0.5 * x * x + d - d * v + d * log(v))
            return log(d * v) + boost;
    }
}
