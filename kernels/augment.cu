/* Crop, flip and pixel operations of a batch: a block for an image, which stays in shared memory
 * from the first operation to the last. */
#include "batch_row.h"
#include "kernels.h"
#include "launch.cuh"
#include "pixel_blend.cuh"
#include "pixel_geometry.cuh"
#include "pixel_hue.cuh"
#include "pixel_tone.cuh"

/* As fx_pixel_op, from one image to another. */
static __device__ void apply(const fx_op &op, const fx_pixel_walk &walk, const uint8_t *from,
                             uint8_t *to)
{
    switch (op.kind) {
    case FX_OP_SHEAR_X:
    case FX_OP_SHEAR_Y:
    case FX_OP_TRANSLATE_X:
    case FX_OP_TRANSLATE_Y:
    case FX_OP_ROTATE:
        return fx_pixels_move(walk, from, to);
    case FX_OP_BRIGHTNESS:
        return fx_pixels_brightness(op.magnitude, from, to);
    case FX_OP_COLOR:
        return fx_pixels_color(op.magnitude, from, to);
    case FX_OP_CONTRAST:
        return fx_pixels_contrast(op.magnitude, from, to);
    case FX_OP_SHARPNESS:
        return fx_pixels_sharpness(op.magnitude, from, to);
    case FX_OP_POSTERIZE:
        return fx_pixels_posterize((int)op.magnitude, from, to);
    case FX_OP_SOLARIZE:
        return fx_pixels_solarize(op.magnitude, from, to);
    case FX_OP_AUTOCONTRAST:
    case FX_OP_EQUALIZE:
        return fx_pixels_retone(op.kind == FX_OP_EQUALIZE, from, to);
    case FX_OP_HUE:
        return fx_pixels_hue(op.magnitude, from, to);
    default: /* identity */
        for (int i = threadIdx.x; i < FX_IMAGE_BYTES; i += FX_PIXEL_THREADS)
            to[i] = from[i];
    }
}

static __global__ void __launch_bounds__(FX_PIXEL_THREADS)
    augment(const fx_k_row *rows, const uint8_t *images, uint8_t *out)
{
    __shared__ uint8_t image[2][FX_IMAGE_BYTES]; /* an operation's source and its result, in turn */
    const fx_k_row &row = rows[blockIdx.x];
    int n = 0;

    fx_pixels_crop(row.row, images + (size_t)row.row.image * FX_IMAGE_BYTES, image[0]);
    for (; n < row.row.n_ops; n++) {
        __syncthreads();
        apply(row.row.ops[n], row.walks[n], image[n % 2], image[(n + 1) % 2]);
    }
    /* Bytes that the thread wrote itself. */
    for (int i = threadIdx.x; i < FX_IMAGE_BYTES; i += FX_PIXEL_THREADS)
        out[(size_t)blockIdx.x * FX_IMAGE_BYTES + i] = image[n % 2][i];
}

cudaError_t fx_k_augment(cudaStream_t stream, const struct fx_k_batch_view *batch, int n,
                         const uint8_t *images, uint8_t *out)
{
    return FX_LAUNCH(augment, n, FX_PIXEL_THREADS, 0, stream, (const fx_k_row *)batch->rows, images,
                     out);
}
