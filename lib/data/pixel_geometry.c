/* Shear, translate, rotate: each pixel of the result is the nearest pixel of the source, black
 * where there is none.
 *
 * The matrices are those of torchvision 0.14 (functional.affine) and Pillow 9.4 (Image.rotate); the
 * walk over the source is Pillow's affine_fixed (Geometry.c) with its 16.16 fixed point numbers. */
#include "data/pixel_op.h"

#include <math.h>
#include <string.h>

enum { SIDE = FX_IMAGE_SIDE };

/* Source position of the result's (x, y): (a x + b y + c, d x + e y + f). */
struct affine {
    double a, b, c, d, e, f;
};

static int fixed(double value)
{
    return (int)floor(value * 65536.0 + 0.5);
}

/* Where each pixel comes from, -1 for nowhere. */
static void trace(const struct affine *m, int16_t source[FX_IMAGE_PIXELS])
{
    const int a = fixed(m->a), b = fixed(m->b), d = fixed(m->d), e = fixed(m->e);
    int row_x = fixed(m->c + m->a * 0.5 + m->b * 0.5);
    int row_y = fixed(m->f + m->d * 0.5 + m->e * 0.5);

    for (int y = 0; y < SIDE; y++, row_x += b, row_y += e) {
        int at_x = row_x, at_y = row_y;
        for (int x = 0; x < SIDE; x++, at_x += a, at_y += d) {
            int sx = at_x >> 16, sy = at_y >> 16;
            bool inside = sx >= 0 && sx < SIDE && sy >= 0 && sy < SIDE;
            source[y * SIDE + x] = (int16_t)(inside ? sy * SIDE + sx : -1);
        }
    }
}

static void transform(uint8_t *image, const struct affine *m)
{
    int16_t source[FX_IMAGE_PIXELS];
    uint8_t plane[FX_IMAGE_PIXELS];

    trace(m, source);
    for (int c = 0; c < 3; c++, image += FX_IMAGE_PIXELS) {
        memcpy(plane, image, sizeof plane);
        for (int i = 0; i < FX_IMAGE_PIXELS; i++)
            image[i] = source[i] >= 0 ? plane[source[i]] : 0;
    }
}

/* torchvision takes the angle in degrees, whose tangent is not quite the one it came from. */
static double tangent_again(double tangent)
{
    double degrees = atan(tangent) * (180.0 / M_PI);

    return tan(degrees * (M_PI / 180.0));
}

/* About the top left corner.  With the angle s along y, torchvision divides by cos(s). */
void fx_pixel_shear(uint8_t *image, double tangent_x, double tangent_y)
{
    struct affine m = { 1, tangent_again(tangent_x), 0, 0, 1, 0 };

    if (tangent_y != 0.0) {
        double angle = atan(tangent_y) * (180.0 / M_PI) * (M_PI / 180.0);
        m.d = sin(angle) / cos(angle);
    }
    transform(image, &m);
}

void fx_pixel_translate(uint8_t *image, int right, int down)
{
    transform(image, &(struct affine){ 1, 0, -right, 0, 1, -down });
}

/* A quarter turn counter-clockwise: the result's first row is the source's last column. */
static void quarter_turn(uint8_t *image)
{
    uint8_t plane[FX_IMAGE_PIXELS];

    for (int c = 0; c < 3; c++, image += FX_IMAGE_PIXELS) {
        memcpy(plane, image, sizeof plane);
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++)
                image[y * SIDE + x] = plane[x * SIDE + SIDE - 1 - y];
    }
}

/* Pillow rounds the matrix to 15 decimals. */
static double decimals15(double value)
{
    return rint(value * 1e15) / 1e15;
}

/* About the centre.  Quarter turns move pixels exactly. */
void fx_pixel_rotate(uint8_t *image, double degrees)
{
    double turned = fmod(degrees, 360.0);

    if (turned < 0)
        turned += 360.0;
    if (fmod(turned, 90.0) == 0.0) {
        for (; turned > 0; turned -= 90.0)
            quarter_turn(image);
        return;
    }
    double angle = -(turned * (M_PI / 180.0)), centre = SIDE / 2.0;
    double c = decimals15(cos(angle)), s = decimals15(sin(angle));
    struct affine m = { c, s, 0, -s, c, 0 };
    m.c = m.a * -centre + m.b * -centre + centre;
    m.f = m.d * -centre + m.e * -centre + centre;
    transform(image, &m);
}
