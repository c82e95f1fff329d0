/* Initial values: pure functions of the seed, the component (expert number, or fusion and head) and
 * the parameter's number in it; the order in which parameters are filled does not matter. */
#include "net/model.h"

#include "base/philox.h"

#include <math.h>

/* Element i of the parameter comes from word i % 4 of draw i / 4. */
static void draw_words(const struct fx_param *param, uint64_t seed, uint32_t draw, uint32_t out[4])
{
    unsigned expert = param->lane == FX_LANE_FUSION ? FX_RNG_FUSION : (unsigned)param->lane;
    uint32_t counter[4] = { fx_rng_word(FX_RNG_INIT, expert, (unsigned)param->number), 0, 0, draw };

    fx_philox(counter, seed, out);
}

/* Four standard normals from four words (Box and Muller 1958): two pairs, the radius from the first
 * word of a pair, taken in (0, 1], the angle from the second. */
static void box_muller(const uint32_t words[4], double out[4])
{
    const double two_pi = 6.283185307179586;

    for (int i = 0; i < 4; i += 2) {
        double radius = sqrt(-2.0 * log(1.0 - (double)fx_uniform24(words[i])));
        double angle = two_pi * (double)fx_uniform24(words[i + 1]);

        out[i] = radius * cos(angle);
        out[i + 1] = radius * sin(angle);
    }
}

static void fill_constant(float *values, int64_t n, float value)
{
    for (int64_t i = 0; i < n; i++)
        values[i] = value;
}

/* `there` at every n_slots-th element from `slot`, `elsewhere` at the others. */
static void fill_slots(const struct fx_param *param, float there, float elsewhere, float *values)
{
    for (int64_t i = 0; i < param->n_elements; i++)
        values[i] = i % param->n_slots == param->slot ? there : elsewhere;
}

static void fill_normal(const struct fx_param *param, uint64_t seed, double std, float *values)
{
    for (int64_t i = 0; i < param->n_elements; i += 4) {
        uint32_t words[4];
        double normals[4];

        draw_words(param, seed, (uint32_t)(i / 4), words);
        box_muller(words, normals);
        for (int64_t j = i; j < i + 4 && j < param->n_elements; j++)
            values[j] = (float)(std * normals[j - i]);
    }
}

static void fill_uniform(const struct fx_param *param, uint64_t seed, double bound, float *values)
{
    for (int64_t i = 0; i < param->n_elements; i += 4) {
        uint32_t words[4];

        draw_words(param, seed, (uint32_t)(i / 4), words);
        for (int64_t j = i; j < i + 4 && j < param->n_elements; j++)
            values[j] = (float)(bound * (2.0 * (double)fx_uniform24(words[j - i]) - 1.0));
    }
}

void fx_param_init_fill(const struct fx_param *param, uint64_t seed, float *values)
{
    double fan_in = (double)param->fan_in, fan_out = (double)param->fan_out;

    switch (param->init) {
    case FX_INIT_ZERO:
        fill_constant(values, param->n_elements, 0.0f);
        break;
    case FX_INIT_ONE:
        fill_constant(values, param->n_elements, 1.0f);
        break;
    case FX_INIT_KAIMING_NORMAL_FAN_OUT:
        fill_normal(param, seed, sqrt(2.0 / fan_out), values);
        break;
    case FX_INIT_XAVIER_UNIFORM:
        fill_uniform(param, seed, sqrt(6.0 / (fan_in + fan_out)), values);
        break;
    case FX_INIT_SLOT:
        fill_slots(param, 1.0f, 0.0f, values);
        break;
    case FX_INIT_OTHER_SLOTS:
        fill_slots(param, 0.0f, 1.0f, values);
        break;
    case FX_INIT_UNIFORM_FAN_IN:
        fill_uniform(param, seed, 1.0 / sqrt(fan_in), values);
        break;
    }
}
