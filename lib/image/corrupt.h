/* Corruptions of CIFAR-10-C and CIFAR-100-C, with the benchmark's constants for images
 * of 32 x 32.  Source: Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common
 * Corruptions and Perturbations" (2019), and the program that made the published archives
 * (make_cifar_c.py).  Results are clipped and truncated to bytes, as there.  Random numbers come
 * from Philox: each is a pure function of seed, corruption, severity and image number. */
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
    FX_GLASS_BLUR,
    FX_MOTION_BLUR,
    FX_ELASTIC_TRANSFORM,
    FX_N_CORRUPTIONS
};
/* The file names of the archives without .npy, in the order of the enum, whose numbers are part of
 * the random counter: new ones go to the end. */
extern const char *const fx_corruption_names[FX_N_CORRUPTIONS];

struct fx_corruptor {
    enum fx_corruption corruption;
    int severity; /* 1..5 */
    uint64_t seed;
    double *counts; /* owned; shot noise only: a table for each byte value */
};

/* fx_corruptor_open: one corruption at one severity.  FX_EFAIL when memory is short; close it after
 * success only. */
enum fx_status fx_corruptor_open(struct fx_corruptor *corruptor, enum fx_corruption corruption,
                                 int severity, uint64_t seed, struct fx_err *err) FX_MUST_CHECK;
void fx_corruptor_close(struct fx_corruptor *corruptor); /* accepts a zeroed record */

/* fx_corrupt: corrupts image number `number` of a data set.
 *   image      in   u8 (3, 32, 32)
 *   corrupted  out  u8 (3, 32, 32)
 * FX_EFAIL when memory is short. */
enum fx_status fx_corrupt(const struct fx_corruptor *corruptor, uint32_t number,
                          const uint8_t *image, uint8_t *corrupted,
                          struct fx_err *err) FX_MUST_CHECK;

#endif
