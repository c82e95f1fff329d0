/* Hue: to HSV in bytes, the hue turned with wrap-around, and back (torchvision 0.14, adjust_hue;
 * Pillow 9.4, Convert.c, rgb2hsv_row and hsv2rgb, with their float and double steps). */
#include "data/pixel_op.h"

#include <math.h>

/* One pixel; saturation and value of a grey pixel make its hue meaningless. */
struct hsv {
    uint8_t h, s, v;
};

static uint8_t max3(uint8_t a, uint8_t b, uint8_t c)
{
    uint8_t m = a > b ? a : b;

    return m > c ? m : c;
}

static uint8_t min3(uint8_t a, uint8_t b, uint8_t c)
{
    uint8_t m = a < b ? a : b;

    return m < c ? m : c;
}

static struct hsv to_hsv(uint8_t r, uint8_t g, uint8_t b)
{
    uint8_t high = max3(r, g, b), low = min3(r, g, b);

    if (low == high)
        return (struct hsv){ 0, 0, high };
    float range = (float)(high - low), s = range / (float)high;
    float rc = (float)(high - r) / range, gc = (float)(high - g) / range;
    float bc = (float)(high - b) / range, h;
    if (r == high)
        h = bc - gc;
    else if (g == high)
        h = (float)(2.0 + (double)rc - (double)bc);
    else
        h = (float)(4.0 + (double)gc - (double)rc);
    double turns = (double)h / 6.0 + 1.0; /* 5/6 to 11/6: fmod(turns, 1) by subtraction */
    h = (float)(turns >= 1.0 ? turns - 1.0 : turns);
    return (struct hsv){ (uint8_t)((double)h * 255.0), (uint8_t)((double)s * 255.0), high };
}

/* The six sectors of the colour circle: sector and position in it for each hue byte. */
struct hue_table {
    uint8_t sector[256];
    float position[256];
};

static void hue_table_init(struct hue_table *table)
{
    for (int h = 0; h < 256; h++) {
        double at = (double)(float)h * 6.0 / 255.0;
        int sector = (int)floor(at);
        table->sector[h] = (uint8_t)(sector % 6);
        table->position[h] = (float)(at - (float)sector);
    }
}

static uint8_t round_byte(double value)
{
    return (uint8_t)(value + 0.5);
}

static void to_rgb(const struct hue_table *table, struct hsv pixel, uint8_t rgb[3])
{
    double v = (float)pixel.v, s = (float)pixel.s / 255.0f, f = table->position[pixel.h];
    uint8_t p = round_byte(v * (1.0 - s));
    uint8_t q = round_byte(v * (1.0 - s * f));
    uint8_t t = round_byte(v * (1.0 - s * (1.0 - f)));
    const uint8_t sectors[6][3] = { { pixel.v, t, p }, { q, pixel.v, p }, { p, pixel.v, t },
                                    { p, q, pixel.v }, { t, p, pixel.v }, { pixel.v, p, q } };
    const uint8_t *chosen = sectors[table->sector[pixel.h]];

    for (int c = 0; c < 3; c++)
        rgb[c] = chosen[c];
}

void fx_pixel_hue(uint8_t *image, float shift)
{
    const uint8_t turn = (uint8_t)(int)((double)shift * 255.0);
    uint8_t *r = image, *g = r + FX_IMAGE_PIXELS, *b = g + FX_IMAGE_PIXELS;
    struct hue_table table;

    hue_table_init(&table);
    for (int i = 0; i < FX_IMAGE_PIXELS; i++) {
        struct hsv pixel = to_hsv(r[i], g[i], b[i]);
        uint8_t rgb[3] = { pixel.v, pixel.v, pixel.v };
        pixel.h = (uint8_t)(pixel.h + turn);
        if (pixel.s != 0)
            to_rgb(&table, pixel, rgb);
        r[i] = rgb[0];
        g[i] = rgb[1];
        b[i] = rgb[2];
    }
}
