/* Shear, translate, rotate: each pixel of the result is the nearest pixel of the source, black
 * where there is none.
 *
 * The matrices are those of torchvision 0.14 (functional.affine) and Pillow 9.4 (Image.rotate). */
#include "data/pixel_geometry.h"

#include "data/pixel_op_internal.h"

#include <math.h>
#include <string.h>

/* ---- moving ----------------------------------------------------------------------------------
 */

/* Pixel i of the result is pixel source[i], or black for -1. */
static void gather(const int16_t source[FX_IMAGE_PIXELS], const uint8_t *from, uint8_t *to)
{
    for (int c = 0; c < 3; c++, from += FX_IMAGE_PIXELS, to += FX_IMAGE_PIXELS)
        for (int i = 0; i < FX_IMAGE_PIXELS; i++)
            to[i] = source[i] >= 0 ? from[source[i]] : 0;
}

void fx_pixel_crop(const struct fx_augment_row *row, const uint8_t *from, uint8_t *to)
{
    int16_t source[FX_IMAGE_PIXELS];

    for (int i = 0; i < FX_IMAGE_PIXELS; i++)
        source[i] = (int16_t)fx_pixel_crop_source(row, i);
    gather(source, from, to);
}

void fx_pixel_move(uint8_t *image, const struct fx_pixel_walk *walk)
{
    int16_t source[FX_IMAGE_PIXELS];
    uint8_t from[FX_IMAGE_BYTES];

    for (int i = 0; i < FX_IMAGE_PIXELS; i++)
        source[i] = (int16_t)fx_pixel_walk_source(walk, i);
    memcpy(from, image, sizeof from);
    gather(source, from, image);
}

/* ---- walks -----------------------------------------------------------------------------------
 */

/* Source position of the result's (x, y): (a x + b y + c, d x + e y + f). */
struct affine {
    double a, b, c, d, e, f;
};

static int32_t fixed(double value)
{
    return (int32_t)floor(value * 65536.0 + 0.5);
}

/* From the middle of the first pixel on. */
static struct fx_pixel_walk walk_of(const struct affine *m)
{
    return (struct fx_pixel_walk){ .a = fixed(m->a),
                                   .b = fixed(m->b),
                                   .d = fixed(m->d),
                                   .e = fixed(m->e),
                                   .x0 = fixed(m->c + m->a * 0.5 + m->b * 0.5),
                                   .y0 = fixed(m->f + m->d * 0.5 + m->e * 0.5) };
}

/* torchvision takes the angle in degrees, whose tangent is not quite the one it came from. */
static double tangent_again(double tangent)
{
    double degrees = atan(tangent) * (180.0 / M_PI);

    return tan(degrees * (M_PI / 180.0));
}

/* About the top left corner.  With the angle s along y, torchvision divides by cos(s). */
static struct affine shear(double tangent_x, double tangent_y)
{
    struct affine m = { 1, tangent_again(tangent_x), 0, 0, 1, 0 };

    if (tangent_y != 0.0) {
        double angle = atan(tangent_y) * (180.0 / M_PI) * (M_PI / 180.0);
        m.d = sin(angle) / cos(angle);
    }
    return m;
}

static struct affine translation(int right, int down)
{
    return (struct affine){ 1, 0, -right, 0, 1, -down };
}

/* Pillow rounds the matrix to 15 decimals. */
static double decimals15(double value)
{
    return rint(value * 1e15) / 1e15;
}

/* About the centre, counter-clockwise.  Quarter turns, which Pillow does by transposing, move
 * pixels exactly here too: their sines and cosines round to whole numbers. */
static struct affine rotation(double degrees)
{
    double turned = fmod(degrees, 360.0);

    if (turned < 0)
        turned += 360.0;
    double angle = -(turned * (M_PI / 180.0)), centre = FX_IMAGE_SIDE / 2.0;
    double c = decimals15(cos(angle)), s = decimals15(sin(angle));
    struct affine m = { c, s, 0, -s, c, 0 };
    m.c = m.a * -centre + m.b * -centre + centre;
    m.f = m.d * -centre + m.e * -centre + centre;
    return m;
}

bool fx_pixel_walk_of(const struct fx_op *op, struct fx_pixel_walk *walk)
{
    double magnitude = op->magnitude;
    struct affine m;

    switch ((enum fx_op_kind)op->kind) {
    case FX_OP_SHEAR_X:
        m = shear(magnitude, 0.0);
        break;
    case FX_OP_SHEAR_Y:
        m = shear(0.0, magnitude);
        break;
    case FX_OP_TRANSLATE_X:
        m = translation((int)magnitude, 0);
        break;
    case FX_OP_TRANSLATE_Y:
        m = translation(0, (int)magnitude);
        break;
    case FX_OP_ROTATE:
        m = rotation(magnitude);
        break;
    default:
        return false;
    }
    *walk = walk_of(&m);
    return true;
}
