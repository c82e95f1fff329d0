/* What works on bytes: fewer pixels, and JPEG. */
#include "image/corrupt_internal.h"
#include "image/picture.h"

#include <math.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

enum { SIDE = FX_CORRUPT_SIDE, BITS = 22 };

/* ---- pixelate -------------------------------------------------------------------------------- */

/* One line of `n` bytes resampled to `m`, each the mean of those whose middles it covers; weights
 * are whole numbers, as Pillow's Image.BOX has them. */
static void resample(const uint8_t *from, int n, int n_step, uint8_t *to, int m, int m_step)
{
    double scale = (double)n / m, reach = 0.5 * fmax(scale, 1);

    for (int i = 0; i < m; i++) {
        double middle = (i + 0.5) * scale;
        int first = (int)fmax(middle - reach + 0.5, 0), end = (int)fmin(middle + reach + 0.5, n);
        int n_taken = 0, sum = 1 << (BITS - 1);
        bool is_taken[SIDE] = { false };
        for (int j = first; j < end; j++) {
            double at = (j - middle + 0.5) / fmax(scale, 1);
            is_taken[j] = at > -0.5 && at <= 0.5;
            n_taken += is_taken[j];
        }
        int weight = (int)(0.5 + (double)(1 << BITS) / n_taken);
        for (int j = first; j < end; j++)
            sum += is_taken[j] ? from[j * n_step] * weight : 0;
        to[i * m_step] = (uint8_t)(sum >> BITS);
    }
}

/* From n x n to m x m: lines first, then columns. */
static void resize(const uint8_t *from, int n, uint8_t *to, int m)
{
    uint8_t lines[SIDE * SIDE];

    for (int y = 0; y < n; y++)
        resample(from + y * n, n, 1, lines + y * m, m, 1);
    for (int x = 0; x < m; x++)
        resample(lines + x, n, m, to + x, m, m);
}

void fx_corrupt_pixelate(int severity, const uint8_t *image, uint8_t *corrupted)
{
    static const int sides[] = { 30, 28, 27, 24, 20 }; /* 0.95, 0.9, 0.85, 0.75, 0.65 of 32 */
    uint8_t few[SIDE * SIDE];

    for (int c = 0; c < 3; c++) {
        resize(image + c * FX_CORRUPT_PIXELS, SIDE, few, sides[severity - 1]);
        resize(few, sides[severity - 1], corrupted + c * FX_CORRUPT_PIXELS, SIDE);
    }
}

/* ---- JPEG ------------------------------------------------------------------------------------ */

struct job {
    struct jpeg_compress_struct info;
    struct jpeg_error_mgr errors;
    jmp_buf jump;
    unsigned char *bytes; /* owned: the library's */
    unsigned long n_bytes;
};

static void fail(j_common_ptr info)
{
    longjmp(((struct job *)info->client_data)->jump, 1);
}

static void compress(struct job *job, int quality, uint8_t *rgb)
{
    jpeg_create_compress(&job->info);
    jpeg_mem_dest(&job->info, &job->bytes, &job->n_bytes);
    job->info.image_width = job->info.image_height = SIDE;
    job->info.input_components = 3;
    job->info.in_color_space = JCS_RGB;
    jpeg_set_defaults(&job->info);
    jpeg_set_quality(&job->info, quality, TRUE);
    jpeg_start_compress(&job->info, TRUE);
    while (job->info.next_scanline < SIDE) {
        uint8_t *row = rgb + 3 * SIDE * job->info.next_scanline;
        jpeg_write_scanlines(&job->info, &row, 1);
    }
    jpeg_finish_compress(&job->info);
}

enum fx_status fx_corrupt_jpeg(int severity, const uint8_t *image, uint8_t *corrupted,
                               struct fx_err *err)
{
    static const int qualities[] = { 80, 65, 58, 50, 40 };
    struct job job = { .bytes = NULL };
    struct fx_picture picture = { 0 };
    uint8_t rgb[FX_CORRUPT_VALUES];
    enum fx_status status;

    for (int i = 0; i < FX_CORRUPT_VALUES; i++)
        rgb[i] = image[i % 3 * FX_CORRUPT_PIXELS + i / 3];
    job.info.err = jpeg_std_error(&job.errors);
    job.errors.error_exit = fail;
    job.info.client_data = &job;
    if (setjmp(job.jump) == 0) {
        compress(&job, qualities[severity - 1], rgb);
        status = fx_picture_decode(&picture, job.bytes, job.n_bytes, "JPEG", err);
    } else {
        status = fx_fail(err, FX_EFAIL, "out of memory for a JPEG");
    }
    jpeg_destroy_compress(&job.info);
    free(job.bytes);
    for (int i = 0; i < FX_CORRUPT_VALUES && status == FX_OK; i++)
        corrupted[i % 3 * FX_CORRUPT_PIXELS + i / 3] = picture.rgb[i];
    fx_picture_fini(&picture);
    return status;
}
