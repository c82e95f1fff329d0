/* What the device reads of a batch: its block of memory, and the training images. */
#include "backend/cuda/input_internal.h"

#include "backend/cuda/error_internal.h"
#include "backend/host/arena.h"
#include "kernels/batch_row.h"

#include <stdlib.h>
#include <string.h>

/* ---- batch block ------------------------------------------------------------------------------
 */

/* Bytes from the start of a block. */
struct offsets {
    size_t numbers, partner, rows, labels, end;
};

static struct offsets offsets_of(int n_max)
{
    size_t n = (size_t)n_max;
    struct offsets at = { .numbers = fx_arena_round(sizeof(struct fx_k_batch)) };

    at.partner = at.numbers + fx_arena_round(n * sizeof(uint32_t));
    at.rows = at.partner + fx_arena_round(n * sizeof(uint32_t));
    at.labels = at.rows + fx_arena_round(n * sizeof(struct fx_k_row));
    at.end = at.labels + fx_arena_round(n);
    return at;
}

size_t fx_batch_block_bytes(int n_max)
{
    return offsets_of(n_max).end;
}

struct fx_k_batch_view fx_batch_block_view(const void *block, int n_max)
{
    const struct offsets at = offsets_of(n_max);
    const char *base = block;

    return (struct fx_k_batch_view){ .batch = block,
                                     .numbers = (const uint32_t *)(base + at.numbers),
                                     .partner = (const uint32_t *)(base + at.partner),
                                     .labels = (const uint8_t *)(base + at.labels),
                                     .rows = base + at.rows };
}

static struct fx_k_batch header_of(const struct fx_batch *batch)
{
    struct fx_k_batch header = {
        .seed = batch->seed, .epoch = batch->epoch, .n = batch->n, .mix.lam = 1.0f
    };

    if (!batch->mix)
        return header;
    header.has_partner = batch->partner;
    header.mix = *batch->mix;
    return header;
}

/* An image as it is: the centre of its padded form. */
static struct fx_augment_row plain_row(uint32_t image)
{
    return (struct fx_augment_row){ .image = image,
                                    .crop_y = FX_CROP_PADDING,
                                    .crop_x = FX_CROP_PADDING };
}

static struct fx_k_row row_of(const struct fx_augment_row *row)
{
    struct fx_k_row out = { .row = *row };

    for (int i = 0; i < row->n_ops; i++)
        (void)fx_pixel_walk_of(&row->ops[i], &out.walks[i]);
    return out;
}

/* n elements of `size` bytes, or as many zeros. */
static void put(char *to, const void *from, int n, size_t size)
{
    if (from)
        memcpy(to, from, (size_t)n * size);
    else
        memset(to, 0, (size_t)n * size);
}

void fx_batch_block_fill(void *block, int n_max, const struct fx_batch *batch)
{
    const struct offsets at = offsets_of(n_max);
    char *base = block;
    struct fx_k_row *rows = (struct fx_k_row *)(base + at.rows);

    *(struct fx_k_batch *)block = header_of(batch);
    put(base + at.numbers, batch->numbers, batch->n, sizeof *batch->numbers);
    put(base + at.partner, batch->partner, batch->n, sizeof *batch->partner);
    put(base + at.labels, batch->labels, batch->n, sizeof *batch->labels);
    for (int i = 0; i < batch->n; i++) {
        struct fx_augment_row plain = plain_row(batch->numbers ? batch->numbers[i] : 0);
        rows[i] = row_of(batch->rows ? &batch->rows[i] : &plain);
    }
}

/* ---- training images, resident on the device --------------------------------------------------
 */

struct fx_resident {
    uint8_t *images; /* owned; device memory */
    float mean[3], std[3];
};

static enum fx_status check_memory(int64_t n, size_t n_bytes, struct fx_err *err)
{
    size_t left, total;

    FX_CUDA(cudaMemGetInfo(&left, &total));
    if (n_bytes > left)
        return fx_fail(err, FX_EFAIL,
                       "device cuda: %lld training images need %.0f MiB of the device's memory, "
                       "of which %.0f MiB are free",
                       (long long)n, (double)n_bytes / 0x1p20, (double)left / 0x1p20);
    return FX_OK;
}

static enum fx_status upload(struct fx_resident *resident, const struct fx_image_set *set,
                             cudaStream_t stream, struct fx_err *err)
{
    size_t n_bytes = (size_t)set->n * FX_IMAGE_BYTES;

    FX_TRY(check_memory(set->n, n_bytes, err));
    FX_CUDA(cudaMalloc((void **)&resident->images, n_bytes));
    FX_CUDA(
        cudaMemcpyAsync(resident->images, set->images, n_bytes, cudaMemcpyHostToDevice, stream));
    FX_CUDA(cudaStreamSynchronize(stream));
    return FX_OK;
}

enum fx_status fx_resident_create(struct fx_resident **out, const struct fx_dataset *dataset,
                                  cudaStream_t stream, struct fx_err *err)
{
    struct fx_resident *resident = calloc(1, sizeof *resident);
    enum fx_status status;

    *out = NULL;
    if (!resident)
        return fx_fail(err, FX_EFAIL, "out of memory for the resident images");
    memcpy(resident->mean, dataset->mean, sizeof resident->mean);
    memcpy(resident->std, dataset->std, sizeof resident->std);
    FX_TRY_OUT(upload(resident, &dataset->train, stream, err));
    *out = resident;
    return FX_OK;
out:
    fx_resident_destroy(resident);
    return status;
}

void fx_resident_destroy(struct fx_resident *resident)
{
    if (!resident)
        return;
    cudaFree(resident->images);
    free(resident);
}

const uint8_t *fx_resident_images(const struct fx_resident *resident)
{
    return resident->images;
}

const float *fx_resident_mean(const struct fx_resident *resident)
{
    return resident->mean;
}

const float *fx_resident_std(const struct fx_resident *resident)
{
    return resident->std;
}
