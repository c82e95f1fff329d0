/* What is drawn: noises, and the height map of fog. */
#include "image/corrupt_internal.h"

#include "base/philox.h"

#include <math.h>
#include <stdlib.h>

double fx_corrupt_uniform(const struct fx_corruptor *corruptor, uint32_t number, uint32_t i)
{
    const uint32_t counter[4] = { fx_rng_word(FX_RNG_CORRUPT, corruptor->corruption,
                                              (unsigned)corruptor->severity),
                                  0, number, i / 4 };
    uint32_t words[4];

    fx_philox(counter, corruptor->seed, words);
    return ((double)words[i % 4] + 0.5) * 0x1p-32;
}

/* Source: Box and Muller, "A note on the generation of random normal deviates" (1958). */
static double normal(const struct fx_corruptor *corruptor, uint32_t number, uint32_t i)
{
    double u = fx_corrupt_uniform(corruptor, number, 2 * i),
           v = fx_corrupt_uniform(corruptor, number, 2 * i + 1);

    return sqrt(-2 * log(u)) * cos(2 * 3.14159265358979323846 * v);
}

/* ---- shot noise ------------------------------------------------------------------------------ */

/* Photons of a white pixel: the mean of its Poisson distribution, and room for one of 500. */
static const int photons[] = { 500, 250, 100, 75, 50 };
enum { COUNTS = 800 };

enum fx_status fx_corrupt_counts(int severity, double **counts, struct fx_err *err)
{
    *counts = malloc(256 * COUNTS * sizeof **counts);
    if (!*counts)
        return fx_fail(err, FX_EFAIL, "out of memory for the distributions of shot noise");
    for (int byte = 0; byte < 256; byte++) {
        double mean = byte / 255.0 * photons[severity - 1], p = exp(-mean), sum = 0;
        for (int k = 0; k < COUNTS; k++) {
            sum += p;
            (*counts)[byte * COUNTS + k] = sum;
            p *= mean / (k + 1);
        }
    }
    return FX_OK;
}

/* The first count whose distribution function is above u. */
static int count_of(const double *distribution, double u)
{
    int low = 0, high = COUNTS - 1;

    while (low < high) {
        int middle = (low + high) / 2;
        if (distribution[middle] > u)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* ---- noises ---------------------------------------------------------------------------------- */

void fx_corrupt_noise(const struct fx_corruptor *corruptor, uint32_t number, const uint8_t *bytes,
                      double *planes)
{
    static const double deviations[] = { 0.04, 0.06, 0.08, 0.09, 0.10 };
    static const double parts[] = { 0.01, 0.02, 0.03, 0.05, 0.07 };
    int s = corruptor->severity - 1;

    for (uint32_t i = 0; i < FX_CORRUPT_VALUES; i++) {
        double u = fx_corrupt_uniform(corruptor, number, i);
        if (corruptor->corruption == FX_GAUSSIAN_NOISE)
            planes[i] += deviations[s] * normal(corruptor, number, i);
        else if (corruptor->corruption == FX_SHOT_NOISE)
            planes[i] = count_of(corruptor->counts + bytes[i] * COUNTS, u) / (double)photons[s];
        else if (u < parts[s]) /* half of them salt, half pepper */
            planes[i] = u < parts[s] / 2 ? 1 : 0;
    }
}

/* ---- fog ------------------------------------------------------------------------------------- */

/* A map under construction: a square of 32 x 32 that goes on at its edges. */
struct heights {
    double at[FX_CORRUPT_SIDE][FX_CORRUPT_SIDE];
    const struct fx_corruptor *corruptor; /* borrowed */
    uint32_t number, n_drawn;
    double wibble;
};

static double at(const struct heights *map, int y, int x)
{
    return map
        ->at[(y + FX_CORRUPT_SIDE) % FX_CORRUPT_SIDE][(x + FX_CORRUPT_SIDE) % FX_CORRUPT_SIDE];
}

/* The mean of four neighbours, and up to wibble^2 more or less. */
static double wibbled(struct heights *map, double sum)
{
    double u = fx_corrupt_uniform(map->corruptor, map->number, map->n_drawn++);

    return sum / 4 + map->wibble * map->wibble * (2 * u - 1);
}

/* Middles of squares, then of the diamonds between them: first those beside, then those above. */
static void refine(struct heights *map, int step)
{
    int h = step / 2;

    for (int y = h; y < FX_CORRUPT_SIDE; y += step)
        for (int x = h; x < FX_CORRUPT_SIDE; x += step)
            map->at[y][x] = wibbled(map, at(map, y - h, x - h) + at(map, y + h, x - h) +
                                             at(map, y - h, x + h) + at(map, y + h, x + h));
    for (int y = 0; y < FX_CORRUPT_SIDE; y += step)
        for (int x = h; x < FX_CORRUPT_SIDE; x += step)
            map->at[y][x] = wibbled(map, at(map, y + h, x) + at(map, y - h, x) + at(map, y, x - h) +
                                             at(map, y, x + h));
    for (int y = h; y < FX_CORRUPT_SIDE; y += step)
        for (int x = 0; x < FX_CORRUPT_SIDE; x += step)
            map->at[y][x] = wibbled(map, at(map, y, x + h) + at(map, y, x - h) + at(map, y - h, x) +
                                             at(map, y + h, x));
}

/* Source: Fournier, Fussell and Carpenter, "Computer rendering of stochastic models" (1982): the
 * diamond-square algorithm. */
void fx_corrupt_fog(const struct fx_corruptor *corruptor, uint32_t number, double *planes)
{
    static const double thickness[] = { 0.2, 0.5, 0.75, 1, 1.5 }, decay[] = { 3, 3, 2.5, 2, 1.75 };
    struct heights map = { .corruptor = corruptor, .number = number, .wibble = 100 };
    double low = INFINITY, high = -INFINITY, top = 0, c = thickness[corruptor->severity - 1];

    for (int step = FX_CORRUPT_SIDE; step >= 2; step /= 2) {
        refine(&map, step);
        map.wibble /= decay[corruptor->severity - 1];
    }
    for (int p = 0; p < FX_CORRUPT_PIXELS; p++) {
        low = fmin(low, map.at[p / FX_CORRUPT_SIDE][p % FX_CORRUPT_SIDE]);
        high = fmax(high, map.at[p / FX_CORRUPT_SIDE][p % FX_CORRUPT_SIDE]);
    }
    for (int i = 0; i < FX_CORRUPT_VALUES; i++)
        top = fmax(top, planes[i]);
    for (int i = 0; i < FX_CORRUPT_VALUES; i++) {
        double fog = (map.at[i % FX_CORRUPT_PIXELS / FX_CORRUPT_SIDE][i % FX_CORRUPT_SIDE] - low) /
                     (high - low);
        planes[i] = (planes[i] + c * fog) * top / (top + c);
    }
}
