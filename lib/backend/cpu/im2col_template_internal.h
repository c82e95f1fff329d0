/* The body of im2col_*.c, which define what vector_internal.h wants, BF16, ROWS and COLUMNS
 * (product_template_internal.h), and
 *   LOOPS  name of the struct fx_im2col_loops to define */
#include "backend/cpu/im2col_internal.h"

#include "backend/cpu/product_template_internal.h"

/* A norm's coefficients of a block, if there is one. */
struct norm {
    bool is_there;
    vf scale, shift;
};

LOOP void pack_pixel(const float *from, const struct norm *norm, float *to)
{
    vf x = load_channels(from);

    store_channels(to, norm->is_there ? relu_of(x * norm->scale + norm->shift) : x);
}

/* One tap of one block. */
LOOP void pack_tap(const struct fx_patches *t, const float *from, int tap, int first_line,
                   int n_lines, const struct norm *norm, float *to, size_t to_row)
{
    int dy = tap / t->kernel - t->pad, dx = tap % t->kernel - t->pad;

    for (int line = first_line; line < first_line + n_lines; line++) {
        int y = line * t->stride + dy;
        const float *row = from + (ptrdiff_t)y * t->w * BLOCK;

        for (int i = 0; i < t->w_out; i++, to += to_row) {
            int x = i * t->stride + dx;

            if (y >= 0 && y < t->h && x >= 0 && x < t->w)
                pack_pixel(row + x * BLOCK, norm, to);
            else
                store_channels(to, (vf){ 0 });
        }
    }
}

LOOP void pack_block(const struct fx_patches *t, const float *from, int first_line, int n_lines,
                     const struct norm *norm, float *to, size_t to_row)
{
    if (t->kernel == 1 && t->stride == 1 && t->pad == 0) {
        from += (size_t)(first_line * t->w) * BLOCK;
        for (int i = 0; i < n_lines * t->w; i++)
            pack_pixel(from + i * BLOCK, norm, to + (size_t)i * to_row);
        return;
    }
    for (int tap = 0; tap < t->kernel * t->kernel; tap++)
        pack_tap(t, from, tap, first_line, n_lines, norm, to + tap * BLOCK, to_row);
}

ENTRY void pack(const struct fx_patches *t, const float *from, int n_blocks, int first_line,
                int n_lines, const struct fx_conv_norm *norm, float *to, size_t to_row)
{
    for (int b = 0; b < n_blocks; b++) {
        struct norm own = { 0 };

        if (norm->scale) {
            own = (struct norm){ true, load_channels(norm->scale + b * BLOCK),
                                 load_channels(norm->shift + b * BLOCK) };
            pack_block(t, from, first_line, n_lines, &own, to, to_row);
        } else {
            pack_block(t, from, first_line, n_lines, &own, to, to_row);
        }
        from += (size_t)(t->h * t->w) * BLOCK;
        to += t->kernel * t->kernel * BLOCK;
    }
}

const struct fx_im2col_loops LOOPS = {
    .block = BLOCK,
    .columns = COLUMNS,
    .pack = pack,
    .product = product,
};
