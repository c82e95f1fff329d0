/* Kinds of corruption, a file each: planes of doubles in 0..1, or bytes where bytes are resampled.
 */
#ifndef FX_IMAGE_CORRUPT_INTERNAL_H
#define FX_IMAGE_CORRUPT_INTERNAL_H

#include "image/corrupt.h"

enum { FX_CORRUPT_SIDE = 32, FX_CORRUPT_PIXELS = 32 * 32, FX_CORRUPT_VALUES = 3 * 32 * 32 };

/* corrupt_noise.c: in place; `counts` of shot noise is fx_corruptor's. */
void fx_corrupt_noise(const struct fx_corruptor *corruptor, uint32_t number, const uint8_t *bytes,
                      double *planes);
void fx_corrupt_fog(const struct fx_corruptor *corruptor, uint32_t number, double *planes);
enum fx_status fx_corrupt_counts(int severity, double **counts, struct fx_err *err) FX_MUST_CHECK;

/* corrupt_blur.c: in place. */
void fx_corrupt_defocus(int severity, double *planes);
void fx_corrupt_zoom(int severity, double *planes);

/* corrupt_bytes.c */
void fx_corrupt_pixelate(int severity, const uint8_t *image, uint8_t *corrupted);
enum fx_status fx_corrupt_jpeg(int severity, const uint8_t *image, uint8_t *corrupted,
                               struct fx_err *err) FX_MUST_CHECK;

#endif
