/* Which corruption is which; those of light, which are a line each. */
#include "image/corrupt_internal.h"

#include <math.h>
#include <stdlib.h>

const char *const fx_corruption_names[FX_N_CORRUPTIONS] = {
    [FX_GAUSSIAN_NOISE] = "gaussian_noise",
    [FX_SHOT_NOISE] = "shot_noise",
    [FX_IMPULSE_NOISE] = "impulse_noise",
    [FX_DEFOCUS_BLUR] = "defocus_blur",
    [FX_ZOOM_BLUR] = "zoom_blur",
    [FX_FOG] = "fog",
    [FX_BRIGHTNESS] = "brightness",
    [FX_CONTRAST] = "contrast",
    [FX_PIXELATE] = "pixelate",
    [FX_JPEG_COMPRESSION] = "jpeg_compression",
    [FX_GLASS_BLUR] = "glass_blur",
    [FX_MOTION_BLUR] = "motion_blur",
    [FX_ELASTIC_TRANSFORM] = "elastic_transform",
};

/* More of the value in hue, saturation and value: of the largest of the three channels; the others
 * keep their proportion to it. */
static void brighten(int severity, double *planes)
{
    static const double more[] = { 0.05, 0.1, 0.15, 0.2, 0.3 };

    for (int p = 0; p < FX_CORRUPT_PIXELS; p++) {
        double *pixel[3] = { planes + p, planes + FX_CORRUPT_PIXELS + p,
                             planes + 2 * FX_CORRUPT_PIXELS + p };
        double value = fmax(*pixel[0], fmax(*pixel[1], *pixel[2]));
        double brighter = fmin(value + more[severity - 1], 1);
        for (int c = 0; c < 3; c++)
            *pixel[c] = value > 0 ? *pixel[c] / value * brighter : brighter;
    }
}

/* Nearer to the mean of the channel. */
static void flatten(int severity, double *planes)
{
    static const double parts[] = { 0.75, 0.5, 0.4, 0.3, 0.15 };

    for (int c = 0; c < 3; c++) {
        double *plane = planes + c * FX_CORRUPT_PIXELS, mean = 0;
        for (int p = 0; p < FX_CORRUPT_PIXELS; p++)
            mean += plane[p] / FX_CORRUPT_PIXELS;
        for (int p = 0; p < FX_CORRUPT_PIXELS; p++)
            plane[p] = (plane[p] - mean) * parts[severity - 1] + mean;
    }
}

enum fx_status fx_corruptor_open(struct fx_corruptor *corruptor, enum fx_corruption corruption,
                                 int severity, uint64_t seed, struct fx_err *err)
{
    *corruptor =
        (struct fx_corruptor){ .corruption = corruption, .severity = severity, .seed = seed };
    return corruption == FX_SHOT_NOISE ? fx_corrupt_counts(severity, &corruptor->counts, err)
                                       : FX_OK;
}

void fx_corruptor_close(struct fx_corruptor *corruptor)
{
    free(corruptor->counts);
    *corruptor = (struct fx_corruptor){ 0 };
}

static void corrupt_planes(const struct fx_corruptor *corruptor, uint32_t number,
                           const uint8_t *image, double *planes)
{
    switch (corruptor->corruption) {
    case FX_DEFOCUS_BLUR:
        fx_corrupt_defocus(corruptor->severity, planes);
        return;
    case FX_GLASS_BLUR:
        fx_corrupt_glass(corruptor, number, planes);
        return;
    case FX_MOTION_BLUR:
        fx_corrupt_motion(corruptor, number, planes);
        return;
    case FX_ZOOM_BLUR:
        fx_corrupt_zoom(corruptor->severity, planes);
        return;
    case FX_ELASTIC_TRANSFORM:
        fx_corrupt_elastic(corruptor, number, planes);
        return;
    case FX_FOG:
        fx_corrupt_fog(corruptor, number, planes);
        return;
    case FX_BRIGHTNESS:
        brighten(corruptor->severity, planes);
        return;
    case FX_CONTRAST:
        flatten(corruptor->severity, planes);
        return;
    default:
        fx_corrupt_noise(corruptor, number, image, planes);
    }
}

enum fx_status fx_corrupt(const struct fx_corruptor *corruptor, uint32_t number,
                          const uint8_t *image, uint8_t *corrupted, struct fx_err *err)
{
    double planes[FX_CORRUPT_VALUES];

    if (corruptor->corruption == FX_JPEG_COMPRESSION)
        return fx_corrupt_jpeg(corruptor->severity, image, corrupted, err);
    if (corruptor->corruption == FX_PIXELATE) {
        fx_corrupt_pixelate(corruptor->severity, image, corrupted);
        return FX_OK;
    }
    for (int i = 0; i < FX_CORRUPT_VALUES; i++)
        planes[i] = image[i] / 255.0;
    corrupt_planes(corruptor, number, image, planes);
    for (int i = 0; i < FX_CORRUPT_VALUES; i++)
        corrupted[i] = (uint8_t)(fmin(fmax(planes[i], 0), 1) * 255);
    return FX_OK;
}
