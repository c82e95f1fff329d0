/* Kinds of corruption, a file each: planes of doubles in 0..1, or bytes where bytes are resampled.
 */
#ifndef FX_IMAGE_CORRUPT_INTERNAL_H
#define FX_IMAGE_CORRUPT_INTERNAL_H

#include "image/corrupt.h"

enum { FX_CORRUPT_SIDE = 32, FX_CORRUPT_PIXELS = 32 * 32, FX_CORRUPT_VALUES = 3 * 32 * 32 };

/* Which pixel stands for one outside: the last one; abc|cba; abc|ba. */
enum fx_corrupt_edge { FX_EDGE_NEAREST, FX_EDGE_REFLECT, FX_EDGE_MIRROR };

/* corrupt_sample.c: row or column i of a plane that goes on beyond its edges; what lies at (y, x),
 * linearly interpolated; in place, a Gaussian cut off at `truncate` deviations. */
int fx_corrupt_inside(int i, enum fx_corrupt_edge edge);
double fx_corrupt_between(const double *plane, double y, double x, enum fx_corrupt_edge edge);
void fx_corrupt_smooth(double *plane, double sigma, int truncate, enum fx_corrupt_edge edge);

/* corrupt_noise.c: one uniform number in (0, 1): draw i of an image. */
double fx_corrupt_uniform(const struct fx_corruptor *corruptor, uint32_t number, uint32_t i);
/* In place; `counts` of shot noise is fx_corruptor's. */
void fx_corrupt_noise(const struct fx_corruptor *corruptor, uint32_t number, const uint8_t *bytes,
                      double *planes);
void fx_corrupt_fog(const struct fx_corruptor *corruptor, uint32_t number, double *planes);
enum fx_status fx_corrupt_counts(int severity, double **counts, struct fx_err *err) FX_MUST_CHECK;

/* corrupt_blur.c: in place. */
void fx_corrupt_defocus(int severity, double *planes);
void fx_corrupt_zoom(int severity, double *planes);
void fx_corrupt_motion(const struct fx_corruptor *corruptor, uint32_t number, double *planes);

/* corrupt_move.c: in place. */
void fx_corrupt_glass(const struct fx_corruptor *corruptor, uint32_t number, double *planes);
void fx_corrupt_elastic(const struct fx_corruptor *corruptor, uint32_t number, double *planes);

/* corrupt_bytes.c */
void fx_corrupt_pixelate(int severity, const uint8_t *image, uint8_t *corrupted);
enum fx_status fx_corrupt_jpeg(int severity, const uint8_t *image, uint8_t *corrupted,
                               struct fx_err *err) FX_MUST_CHECK;

#endif
