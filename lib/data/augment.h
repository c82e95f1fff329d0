/* Augmentation as a table: every decision of an epoch is made here, on the host, from counter-based
 * random numbers; CPU and GPU only apply rows.
 *
 * Order of application to one image: crop (32 of 40, reflect padding 4), flip, the colour /
 * RandAugment / TrivialAugment operations on uint8, scale to [0,1], normalise, erase (0 in
 * normalised space); then cutmix or mixup over the batch. */
#ifndef FX_DATA_AUGMENT_H
#define FX_DATA_AUGMENT_H

#include "base/host_device.h"
#include "data/dataset.h"

#include <stdint.h>

#define FX_AUGMENT_POLICIES "none|basic|light|baseline|strong|sota"
enum fx_augment_policy {
    FX_AUGMENT_NONE,
    FX_AUGMENT_BASIC,
    FX_AUGMENT_LIGHT,
    FX_AUGMENT_BASELINE,
    FX_AUGMENT_STRONG,
    FX_AUGMENT_SOTA
};

enum { FX_MAX_AUGMENT_OPS = 4 };

/* One pixel operation on uint8 with its resolved magnitude.  Names and results are those of
 * torchvision 0.14 on PIL images: nearest pixel, black outside, bit for bit. */
enum fx_op_kind {
    FX_OP_IDENTITY,
    FX_OP_SHEAR_X,      /* tangent of the angle */
    FX_OP_SHEAR_Y,      /* tangent of the angle */
    FX_OP_TRANSLATE_X,  /* pixels to the right; truncated */
    FX_OP_TRANSLATE_Y,  /* pixels down; truncated */
    FX_OP_ROTATE,       /* degrees, counter-clockwise */
    FX_OP_BRIGHTNESS,   /* factor: 0 black, 1 unchanged */
    FX_OP_COLOR,        /* factor: 0 grey, 1 unchanged (torchvision's saturation) */
    FX_OP_CONTRAST,     /* factor: 0 the mean grey, 1 unchanged */
    FX_OP_SHARPNESS,    /* factor: 0 smoothed, 1 unchanged */
    FX_OP_POSTERIZE,    /* bits kept, 0..8 */
    FX_OP_SOLARIZE,     /* values from this threshold on are inverted */
    FX_OP_AUTOCONTRAST, /* none */
    FX_OP_EQUALIZE,     /* none */
    FX_OP_HUE,          /* share of the colour circle, -0.5..0.5 */
    FX_N_OPS
};
struct fx_op {
    uint8_t kind; /* enum fx_op_kind */
    float magnitude;
};

/* "ShearX", "Rotate" ...; NULL beyond the last kind. */
const char *fx_op_name(enum fx_op_kind kind);

/* The decisions for one image of the epoch: plain data, the same for every backend. */
struct fx_augment_row {
    uint32_t image;        /* number in the data set's train images */
    int8_t crop_y, crop_x; /* top left corner in the padded image, 0..8; 4, 4 = centre */
    uint8_t flip;          /* 1: mirrored left to right */
    uint8_t n_ops;
    struct fx_op ops[FX_MAX_AUGMENT_OPS];
    uint8_t erase_y, erase_x, erase_h, erase_w; /* erase_h = 0: nothing erased */
};

#define FX_MIX_KINDS "none|cutmix|mixup"
enum fx_mix_kind { FX_MIX_NONE, FX_MIX_CUTMIX, FX_MIX_MIXUP };

/* The mix of one batch.  Image i is mixed with image partner[i] of the same batch (after both were
 * augmented).  cutmix: the box of the partner replaces the image's; mixup: lam * x + (1 - lam) *
 * partner.  lam is final (cutmix: recomputed from the clipped box). */
struct fx_mix {
    uint8_t kind; /* enum fx_mix_kind */
    float lam;
    int y0, y1, x0, x1; /* box, half open; cutmix only */
};

/* Policy and mixing of a run; plain data. */
struct fx_augment_config {
    enum fx_augment_policy policy;
    enum fx_mix_kind mix;
    double mix_alpha; /* Beta(alpha, alpha) of the chosen mix */
    bool shuffle;     /* false: ascending image number */
    uint64_t seed;
};

/* fx_augment_epoch: the rows of one epoch in training order.
 *   images   in   the image numbers to train on (sorted)
 *   epoch    in   from 1
 *   rows     out  images.n rows, caller's memory */
void fx_augment_epoch(const struct fx_augment_config *config, struct fx_index_list images,
                      uint32_t epoch, struct fx_augment_row *rows);

/* fx_augment_mix: the mix of batch number `batch` (from 0) of the epoch, n images.
 *   partner  out  n positions in the batch, caller's memory (identity when nothing is mixed) */
void fx_augment_mix(const struct fx_augment_config *config, uint32_t epoch, uint32_t batch, int n,
                    struct fx_mix *mix, uint32_t *partner);

/* fx_pixel_op: one operation in place; image u8 (3, 32, 32). */
void fx_pixel_op(const struct fx_op *op, uint8_t *image);

/* fx_augment_apply_u8: crop, flip and operations of one row.  src, dst u8 (3, 32, 32); dst must not
 * alias src. */
void fx_augment_apply_u8(const struct fx_augment_row *row, const uint8_t *src, uint8_t *dst);

/* fx_augment_batch: the finished input of a step: rows[0..n) applied, normalised, erased, mixed.
 *   pixels  out  f32 (n, 3, 32, 32), caller's memory */
void fx_augment_batch(const struct fx_image_set *images, const float mean[3], const float std[3],
                      const struct fx_augment_row *rows, int n, const struct fx_mix *mix,
                      const uint32_t *partner, float *pixels);

/* fx_normalize_batch: evaluation input: images by number, no augmentation. */
void fx_normalize_batch(const struct fx_image_set *images, const float mean[3], const float std[3],
                        const int64_t *numbers, int n, float *pixels);

/* From a byte of an augmented image to the network's input; shared by the host and the CUDA
 * kernels. */

/* Rounded as PyTorch's ToTensor and Normalize round. */
static inline FX_HD float fx_input_normalized(uint8_t value, float mean, float std)
{
    return ((float)value / 255.0f - mean) / std;
}

/* Mixup: lam * x + (1 - lam) * the partner's. */
static inline FX_HD float fx_input_mixup(float lam, float own, float partner)
{
    return lam * own + (1.0f - lam) * partner;
}

#endif
