/* Laying a batch out in one block. */
#include "backend/cuda/batch_block_internal.h"

#include "backend/host/arena.h"
#include "kernels/batch_row.h"

#include <string.h>

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
