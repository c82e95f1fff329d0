/* Applying the table: from the data set's bytes to the finished input of a step.
 *
 * An image is cut, mirrored and changed as bytes, becomes floats through a table of 256 values per
 * channel, and is erased; then the images of the batch are mixed (cutmix, mixup) in place. */
#include "data/augment.h"

#include "data/pixel_op_internal.h"

#include <string.h>

enum { SIDE = FX_IMAGE_SIDE };

/* ---- bytes ------------------------------------------------------------------------------------
 */

void fx_augment_apply_u8(const struct fx_augment_row *row, const uint8_t *src, uint8_t *dst)
{
    fx_pixel_crop(row, src, dst);
    for (int i = 0; i < row->n_ops; i++)
        fx_pixel_op(&row->ops[i], dst);
}

/* ---- floats -----------------------------------------------------------------------------------
 */

/* Every byte's normalised value. */
struct byte_table {
    float value[3][256];
};

static void byte_table_init(struct byte_table *table, const float mean[3], const float std[3])
{
    for (int c = 0; c < 3; c++)
        for (int v = 0; v < 256; v++)
            table->value[c][v] = fx_input_normalized((uint8_t)v, mean[c], std[c]);
}

static void normalize(const struct byte_table *table, const uint8_t *src, float *dst)
{
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < FX_IMAGE_PIXELS; i++)
            *dst++ = table->value[c][*src++];
}

static void erase(const struct fx_augment_row *row, float *image)
{
    for (int c = 0; c < 3; c++)
        for (int y = row->erase_y; y < row->erase_y + row->erase_h; y++)
            memset(image + c * FX_IMAGE_PIXELS + y * SIDE + row->erase_x, 0,
                   row->erase_w * sizeof *image);
}

/* ---- the batch --------------------------------------------------------------------------------
 */

static void mixup(const struct fx_mix *mix, float *image, const float *partner)
{
    for (int i = 0; i < FX_IMAGE_BYTES; i++)
        image[i] = fx_input_mixup(mix->lam, image[i], partner[i]);
}

/* The partner's box replaces the image's. */
static void cutmix(const struct fx_mix *mix, float *image, const float *partner)
{
    for (int c = 0; c < 3; c++)
        for (int y = mix->y0; y < mix->y1; y++) {
            int at = c * FX_IMAGE_PIXELS + y * SIDE + mix->x0;
            memcpy(image + at, partner + at, (size_t)(mix->x1 - mix->x0) * sizeof *image);
        }
}

/* Both images were augmented, neither was mixed. */
static void cutmix_or_mixup(const struct fx_mix *mix, float *image, const float *partner)
{
    if (mix->kind == FX_MIX_MIXUP)
        mixup(mix, image, partner);
    else
        cutmix(mix, image, partner);
}

/* Whether i is the smallest position of its cycle in the permutation. */
static bool leads_cycle(const uint32_t *partner, uint32_t i)
{
    uint32_t at = partner[i];

    while (at > i)
        at = partner[at];
    return at == i;
}

/* In place, along the cycles of the permutation: an image is mixed before its partner changes, and
 * the last one of a cycle finds the first as it was in a copy. */
static void cutmix_or_mixup_batch(const struct fx_mix *mix, const uint32_t *partner, int n,
                                  float *pixels)
{
    float first[FX_IMAGE_BYTES];

    for (uint32_t i = 0; i < (uint32_t)n; i++) {
        if (!leads_cycle(partner, i) || partner[i] == i)
            continue;
        memcpy(first, pixels + (size_t)i * FX_IMAGE_BYTES, sizeof first);
        uint32_t at = i;
        for (; partner[at] != i; at = partner[at])
            cutmix_or_mixup(mix, pixels + (size_t)at * FX_IMAGE_BYTES,
                            pixels + (size_t)partner[at] * FX_IMAGE_BYTES);
        cutmix_or_mixup(mix, pixels + (size_t)at * FX_IMAGE_BYTES, first);
    }
}

void fx_augment_batch(const struct fx_image_set *images, const float mean[3], const float std[3],
                      const struct fx_augment_row *rows, int n, const struct fx_mix *mix,
                      const uint32_t *partner, float *pixels)
{
    uint8_t changed[FX_IMAGE_BYTES];
    struct byte_table table;

    byte_table_init(&table, mean, std);
    for (int i = 0; i < n; i++) {
        float *image = pixels + (size_t)i * FX_IMAGE_BYTES;
        fx_augment_apply_u8(&rows[i], images->images + (size_t)rows[i].image * FX_IMAGE_BYTES,
                            changed);
        normalize(&table, changed, image);
        erase(&rows[i], image);
    }
    if (mix && mix->kind != FX_MIX_NONE)
        cutmix_or_mixup_batch(mix, partner, n, pixels);
}

void fx_normalize_batch(const struct fx_image_set *images, const float mean[3], const float std[3],
                        const int64_t *numbers, int n, float *pixels)
{
    struct byte_table table;

    byte_table_init(&table, mean, std);
    for (int i = 0; i < n; i++)
        normalize(&table, images->images + (size_t)numbers[i] * FX_IMAGE_BYTES,
                  pixels + (size_t)i * FX_IMAGE_BYTES);
}
