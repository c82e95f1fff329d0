/* The table of an epoch: in which order the images come and what happens to each of them.
 *
 * Every decision is a function of (seed, epoch, image number): the rows of an image do not depend
 * on which other images are trained on. */
#include "data/augment.h"

#include "data/augment_policy_internal.h"
#include "data/draws_internal.h"

#include <stdlib.h>
#include <string.h>

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
        fx_augment_decide(config->policy, config->seed, epoch, &rows[i]);
    }
}
