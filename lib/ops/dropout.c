/* Dropout: the mask is numbered with the channel fastest (base/philox.h), the values lie with the
 * channel slowest, so one quad of four elements is spread over four planes. */
#include "ops/dropout.h"

/* Where element e = (position * c + channel) of an image lies in canonical order. */
static size_t canonical(struct fx_value_shape s, uint32_t e)
{
    size_t area = (size_t)(s.h * s.w), c = (size_t)s.c;
    size_t position = e / c, channel = e % c;

    return (position / area * c + channel) * area + position % area;
}

/* out[i] += factor_i * in[i] for one image. */
static void add_masked(const struct fx_dropout *d, struct fx_value_shape shape, uint32_t image,
                       const float *in, float *out)
{
    uint32_t n = (uint32_t)fx_shape_elements(shape);

    for (uint32_t e = 0; e < n; e += 4) {
        float factor[4];

        fx_dropout_quad(d, image, e / 4, factor);
        for (uint32_t j = e; j < e + 4 && j < n; j++)
            out[canonical(shape, j)] += factor[j - e] * in[canonical(shape, j)];
    }
}

void fx_dropout_backward(const struct fx_dropout *d, int n, struct fx_value_shape shape,
                         const uint32_t *images, const float *dy, float *dx)
{
    size_t stride = (size_t)fx_shape_elements(shape);

    for (int i = 0; i < n; i++)
        add_masked(d, shape, images[i], dy + (size_t)i * stride, dx + (size_t)i * stride);
}

void fx_dropout_forward(const struct fx_dropout *d, int n, struct fx_value_shape shape,
                        const uint32_t *images, const float *x, float *y)
{
    size_t n_elements = (size_t)n * (size_t)fx_shape_elements(shape);

    for (size_t i = 0; i < n_elements; i++)
        y[i] = 0;
    fx_dropout_backward(d, n, shape, images, x, y);
}
