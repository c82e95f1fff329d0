/* PNG by libpng.  Its errors jump while reading: everything that is open then stands in the job. */
#include "image/decode_internal.h"

#include "base/io.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

enum { WHY_BYTES = 128, CHUNK_BYTES_MAX = 8 << 20 };

struct job {
    png_struct *png;
    png_info *info;
    const uint8_t *bytes; /* what is left */
    size_t n;
    char why[WHY_BYTES];
    bool is_short; /* memory was */
};

/* ---- reading --------------------------------------------------------------------------------- */

static void fail(png_struct *png, const char *why)
{
    struct job *job = png_get_error_ptr(png);

    snprintf(job->why, sizeof job->why, "%s", why);
    png_longjmp(png, 1);
}

/* Warnings: what is odd and was read all the same. */
static void ignore(png_struct *png, const char *why)
{
    (void)png;
    (void)why;
}

static void *allocate(png_struct *png, png_alloc_size_t n)
{
    struct job *job = png_get_mem_ptr(png);
    void *bytes = malloc(n);

    if (!bytes)
        job->is_short = true;
    return bytes;
}

static void release(png_struct *png, void *bytes)
{
    (void)png;
    free(bytes);
}

static void take(png_struct *png, uint8_t *to, size_t n)
{
    struct job *job = png_get_io_ptr(png);

    if (n > job->n)
        fail(png, "is cut off");
    memcpy(to, job->bytes, n);
    job->bytes += n;
    job->n -= n;
}

/* Whatever it is, 8 bits of red, green and blue. */
static int to_rgb(struct job *job)
{
    png_set_expand(job->png);
    png_set_strip_16(job->png);
    png_set_strip_alpha(job->png);
    png_set_gray_to_rgb(job->png);
    int n_passes = png_set_interlace_handling(job->png);
    png_read_update_info(job->png, job->info);
    return n_passes;
}

static int read_orientation(struct job *job)
{
    png_byte *exif;
    png_uint_32 n;

    return png_get_eXIf_1(job->png, job->info, &n, &exif) ? fx_exif_orientation(exif, n) : 1;
}

/* Everything that may jump. */
static enum fx_status read_all(struct job *job, struct fx_picture *picture, struct fx_err *err)
{
    png_set_read_fn(job->png, job, take);
    png_set_chunk_malloc_max(job->png, CHUNK_BYTES_MAX);
    png_set_user_limits(job->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_read_info(job->png, job->info);
    FX_TRY(fx_picture_allocate(picture, png_get_image_width(job->png, job->info),
                               png_get_image_height(job->png, job->info), err));
    int n_passes = to_rgb(job);
    size_t n_row = 3 * (size_t)picture->width;
    if (png_get_rowbytes(job->png, job->info) != n_row)
        return fx_fail(err, FX_EFAIL, "libpng makes no RGB of it");
    for (int pass = 0; pass < n_passes; pass++)
        for (int y = 0; y < picture->height; y++)
            png_read_row(job->png, picture->rgb + (size_t)y * n_row, NULL);
    png_read_end(job->png, job->info);
    picture->orientation = read_orientation(job);
    return FX_OK;
}

enum fx_status fx_png_decode(struct fx_picture *picture, const uint8_t *bytes, size_t n,
                             struct fx_err *err)
{
    struct job job = { .bytes = bytes, .n = n };
    enum fx_status status;

    job.png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &job, fail, ignore, &job, allocate,
                                       release);
    job.info = job.png ? png_create_info_struct(job.png) : NULL;
    if (!job.info)
        status = fx_fail(err, FX_EFAIL, "out of memory");
    else if (setjmp(png_jmpbuf(job.png)) == 0)
        status = read_all(&job, picture, err);
    else if (job.is_short)
        status = fx_fail(err, FX_EFAIL, "out of memory");
    else
        status = fx_fail(err, FX_EINPUT, "%s", job.why);
    png_destroy_read_struct(&job.png, &job.info, NULL);
    picture->n_read = n - job.n;
    return status;
}

/* ---- writing --------------------------------------------------------------------------------- */

enum fx_status fx_png_write(const uint8_t *rgb, int width, int height, int fd, const char *name,
                            struct fx_err *err)
{
    png_image image = { .version = PNG_IMAGE_VERSION,
                        .width = (png_uint_32)width,
                        .height = (png_uint_32)height,
                        .format = PNG_FORMAT_RGB };
    png_alloc_size_t n = PNG_IMAGE_PNG_SIZE_MAX(image);
    uint8_t *packed = malloc(n);
    enum fx_status status;

    if (packed && png_image_write_to_memory(&image, packed, &n, 0, rgb, 0, NULL))
        status = fx_write_full(fd, packed, n, name, err);
    else
        status = fx_fail(err, FX_EFAIL, "%s: %s", name, packed ? image.message : "out of memory");
    png_image_free(&image);
    free(packed);
    return status;
}
