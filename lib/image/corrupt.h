/* The corruptions of CIFAR-10-C and CIFAR-100-C that need no pictures from elsewhere, with the
 * constants of the benchmark for images of 32 x 32.  Source: Hendrycks and Dietterich,
 * "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations" (2019), and the
 * program that made the published archives (make_cifar_c.py).  Values are cut off to bytes at the
 * end, as there.  What is random there is drawn from Philox here: a pure function of seed,
 * corruption, severity and number of the image. */
#ifndef FX_IMAGE_CORRUPT_H
#define FX_IMAGE_CORRUPT_H

#include "base/status.h"

#include <stdint.h>

enum fx_corruption {
    FX_GAUSSIAN_NOISE,
    FX_SHOT_NOISE,
    FX_IMPULSE_NOISE,
    FX_DEFOCUS_BLUR,
    FX_ZOOM_BLUR,
    FX_FOG,
    FX_BRIGHTNESS,
    FX_CONTRAST,
    FX_PIXELATE,
    FX_JPEG_COMPRESSION,
    FX_N_CORRUPTIONS
};
/* Their names, as the archives have them, in the order of the enum. */
extern const char *const fx_corruption_names[FX_N_CORRUPTIONS];

struct fx_corruptor {
    enum fx_corruption corruption;
    int severity; /* 1..5 */
    uint64_t seed;
    double *counts; /* owned; of shot noise: a distribution for each byte */
};

/* fx_corruptor_open: one corruption at one severity. */
enum fx_status fx_corruptor_open(struct fx_corruptor *corruptor, enum fx_corruption corruption,
                                 int severity, uint64_t seed, struct fx_err *err) FX_MUST_CHECK;
void fx_corruptor_close(struct fx_corruptor *corruptor); /* accepts a zeroed record */

/* fx_corrupt: image number `number` of a data set, from (3, 32, 32) to (3, 32, 32). */
enum fx_status fx_corrupt(const struct fx_corruptor *corruptor, uint32_t number,
                          const uint8_t *image, uint8_t *corrupted,
                          struct fx_err *err) FX_MUST_CHECK;

#endif
