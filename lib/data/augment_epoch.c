/* The augmentation table of an epoch: in which order the images come and what happens to each of
 * them.
 *
 * Every decision is a function of (seed, epoch, image number): the rows of an image do not depend
 * on which other images are trained on.
 *
 * Pixel operations, their magnitudes and the erased box: the sampling of torchvision 0.14's
 * ColorJitter, RandAugment, TrivialAugmentWide and RandomErasing. */
#include "data/augment.h"

#include "data/draws_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* RandAugment and TrivialAugmentWide choose among the kinds from Identity to Equalize. */
enum { N_CHOICES = FX_OP_EQUALIZE + 1, N_BINS = 31 };

/* ---- ColorJitter ------------------------------------------------------------------------------
 */

/* brightness 0.2, contrast 0.2, saturation 0.2, hue 0.1, each once, in random order. */
static void jitter(struct fx_draws *draws, struct fx_augment_row *row)
{
    struct fx_op ops[] = {
        { FX_OP_BRIGHTNESS, fx_draws_between(draws, 0.8f, 1.2f) },
        { FX_OP_CONTRAST, fx_draws_between(draws, 0.8f, 1.2f) },
        { FX_OP_COLOR, fx_draws_between(draws, 0.8f, 1.2f) },
        { FX_OP_HUE, fx_draws_between(draws, -0.1f, 0.1f) },
    };

    for (int n = sizeof ops / sizeof *ops; n > 0; n--) {
        uint32_t chosen = fx_draws_below(draws, (uint32_t)n);
        row->ops[row->n_ops++] = ops[chosen];
        ops[chosen] = ops[n - 1];
    }
}

/* ---- RandAugment and TrivialAugmentWide -------------------------------------------------------
 */

/* The largest magnitude of each kind. */
struct strengths {
    float shear, translate, rotate, factor;
    int posterize_bits; /* taken away */
};

static const struct strengths rand_augment = {
    .shear = 0.3f,
    .translate = (float)(150.0 / 331.0 * FX_IMAGE_SIDE),
    .rotate = 30.0f,
    .factor = 0.9f,
    .posterize_bits = 4,
};
static const struct strengths trivial_augment_wide = {
    .shear = 0.99f,
    .translate = 32.0f,
    .rotate = 135.0f,
    .factor = 0.99f,
    .posterize_bits = 6,
};

/* torch.linspace(first, last, 31)[bin]: from the nearer end, in float.  Versions of torch differ in
 * the last bit: for bin 15 of 0 to 32, 2.15 has 15.999999, which moves an image by 15 pixels; 1.13
 * has 16, as we do. */
static float magnitude_at(float first, float last, int bin)
{
    float step = (last - first) / (N_BINS - 1);

    return bin < N_BINS / 2 ? first + step * (float)bin : last - step * (float)(N_BINS - 1 - bin);
}

/* One operation of the kind at this bin of its range; about half of the signed ones are negative.
 */
static struct fx_op make_op(enum fx_op_kind kind, const struct strengths *strengths, int bin,
                            bool negative)
{
    float sign = negative ? -1.0f : 1.0f;

    switch (kind) {
    case FX_OP_SHEAR_X:
    case FX_OP_SHEAR_Y:
        return (struct fx_op){ kind, sign * magnitude_at(0.0f, strengths->shear, bin) };
    case FX_OP_TRANSLATE_X:
    case FX_OP_TRANSLATE_Y:
        return (struct fx_op){ kind, sign * magnitude_at(0.0f, strengths->translate, bin) };
    case FX_OP_ROTATE:
        return (struct fx_op){ kind, sign * magnitude_at(0.0f, strengths->rotate, bin) };
    case FX_OP_BRIGHTNESS:
    case FX_OP_COLOR:
    case FX_OP_CONTRAST:
    case FX_OP_SHARPNESS:
        return (struct fx_op){
            kind, (float)(1.0 + (double)(sign * magnitude_at(0.0f, strengths->factor, bin)))
        };
    case FX_OP_POSTERIZE:
        return (struct fx_op){ kind,
                               8.0f - rintf((float)bin / ((float)(N_BINS - 1) /
                                                          (float)strengths->posterize_bits)) };
    case FX_OP_SOLARIZE:
        return (struct fx_op){ kind, magnitude_at(255.0f, 0.0f, bin) };
    default:
        return (struct fx_op){ kind, 0.0f };
    }
}

static void choose_op(struct fx_draws *draws, const struct strengths *strengths, int bin,
                      struct fx_augment_row *row)
{
    enum fx_op_kind kind = (enum fx_op_kind)fx_draws_below(draws, N_CHOICES);
    bool negative = fx_draws_below(draws, 2) == 1;

    row->ops[row->n_ops++] = make_op(kind, strengths, bin, negative);
}

/* n_ops operations, each at the given bin. */
static void choose_rand_augment(struct fx_draws *draws, int n_ops, int bin,
                                struct fx_augment_row *row)
{
    for (int i = 0; i < n_ops; i++)
        choose_op(draws, &rand_augment, bin, row);
}

/* One operation at a random bin. */
static void choose_trivial_augment(struct fx_draws *draws, struct fx_augment_row *row)
{
    int bin = (int)fx_draws_below(draws, N_BINS);

    choose_op(draws, &trivial_augment_wide, bin, row);
}

/* ---- RandomErasing ----------------------------------------------------------------------------
 */

enum { N_ERASE_TRIES = 10 };

/* With the given probability, a box of 2 to 33 % of the image, ratio 0.3 to 3.3, entirely inside;
 * after ten boxes that do not fit, none. */
static void choose_box(struct fx_draws *draws, float probability, struct fx_augment_row *row)
{
    if (fx_uniform24(fx_draws_word(draws)) >= probability)
        return;
    for (int i = 0; i < N_ERASE_TRIES; i++) {
        double area = (double)FX_IMAGE_PIXELS * (double)fx_draws_between(draws, 0.02f, 0.33f);
        double ratio = (double)expf(fx_draws_between(draws, logf(0.3f), logf(3.3f)));
        int h = (int)rint(sqrt(area * ratio)), w = (int)rint(sqrt(area / ratio));
        if (h >= FX_IMAGE_SIDE || w >= FX_IMAGE_SIDE)
            continue;
        row->erase_y = (uint8_t)fx_draws_below(draws, (uint32_t)(FX_IMAGE_SIDE - h + 1));
        row->erase_x = (uint8_t)fx_draws_below(draws, (uint32_t)(FX_IMAGE_SIDE - w + 1));
        row->erase_h = (uint8_t)h;
        row->erase_w = (uint8_t)w;
        return;
    }
}

/* ---- the policies -----------------------------------------------------------------------------
 */

/* Fills ops and erase box of a row whose image is set and that has none yet. */
static void decide_policy(enum fx_augment_policy policy, uint64_t seed, uint32_t epoch,
                          struct fx_augment_row *row)
{
    struct fx_draws ops = fx_draws_begin(seed, FX_RNG_OPS, 0, epoch, row->image);
    struct fx_draws box = fx_draws_begin(seed, FX_RNG_ERASE, 0, epoch, row->image);

    switch (policy) {
    case FX_AUGMENT_NONE:
    case FX_AUGMENT_BASIC:
        break;
    case FX_AUGMENT_LIGHT:
        choose_rand_augment(&ops, 2, 9, row);
        choose_box(&box, 0.1f, row);
        break;
    case FX_AUGMENT_BASELINE:
        jitter(&ops, row);
        choose_box(&box, 0.25f, row);
        break;
    case FX_AUGMENT_STRONG:
        choose_rand_augment(&ops, 3, 14, row);
        choose_box(&box, 0.3f, row);
        break;
    case FX_AUGMENT_SOTA:
        choose_trivial_augment(&ops, row);
        choose_box(&box, 0.25f, row);
        break;
    }
}

enum { PADDING = 4, N_CROP_POSITIONS = 2 * PADDING + 1 };

/* ---- order ------------------------------------------------------------------------------------
 */

struct order_context {
    uint64_t seed;
    uint32_t epoch;
};

static uint64_t order_key(const struct order_context *context, uint32_t image)
{
    struct fx_draws draws = fx_draws_begin(context->seed, FX_RNG_ORDER, 0, context->epoch, image);
    uint64_t high = fx_draws_word(&draws);

    return high << 32 | fx_draws_word(&draws);
}

/* By key, then by image number; keys are computed again rather than stored: an epoch of 50,000
 * images costs some 20 ms. */
static int by_order_key(const void *left, const void *right, void *context)
{
    uint32_t a = ((const struct fx_augment_row *)left)->image;
    uint32_t b = ((const struct fx_augment_row *)right)->image;
    uint64_t key_a = order_key(context, a), key_b = order_key(context, b);

    if (key_a != key_b)
        return key_a < key_b ? -1 : 1;
    return a < b ? -1 : a > b;
}

/* ---- decisions --------------------------------------------------------------------------------
 */

static void decide_crop(const struct fx_augment_config *config, uint32_t epoch,
                        struct fx_augment_row *row)
{
    struct fx_draws draws = fx_draws_begin(config->seed, FX_RNG_CROP, 0, epoch, row->image);

    row->crop_y = (int8_t)fx_draws_below(&draws, N_CROP_POSITIONS);
    row->crop_x = (int8_t)fx_draws_below(&draws, N_CROP_POSITIONS);
    row->flip = (uint8_t)fx_draws_below(&draws, 2);
}

void fx_augment_epoch(const struct fx_augment_config *config, struct fx_index_list images,
                      uint32_t epoch, struct fx_augment_row *rows)
{
    for (int64_t i = 0; i < images.n; i++)
        rows[i] = (struct fx_augment_row){ .image = (uint32_t)images.values[i],
                                           .crop_y = PADDING,
                                           .crop_x = PADDING };
    if (config->shuffle) {
        struct order_context context = { config->seed, epoch };
        qsort_r(rows, (size_t)images.n, sizeof *rows, by_order_key, &context);
    }
    if (config->policy == FX_AUGMENT_NONE)
        return;
    for (int64_t i = 0; i < images.n; i++) {
        decide_crop(config, epoch, &rows[i]);
        decide_policy(config->policy, config->seed, epoch, &rows[i]);
    }
}
