/* JPEG by libjpeg-turbo.  Its errors jump: everything that is open then stands in the job. */
#include "image/decode_internal.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

/* Cameras need about 10; each costs a pass over the picture, however short it is. */
enum { SCANS_MAX = 100 };

struct job {
    struct jpeg_decompress_struct info;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    char why[JMSG_LENGTH_MAX];
    enum fx_status status; /* why: the picture, or memory that was short */
    jmp_buf jump;
};

/* ---- what the library calls ------------------------------------------------------------------ */

static void fail(j_common_ptr info)
{
    struct job *job = info->client_data;

    job->status = FX_EINPUT;
    if (job->why[0] == '\0') {
        info->err->format_message(info, job->why);
        if (info->err->msg_code == JERR_OUT_OF_MEMORY)
            job->status = FX_EFAIL;
    }
    longjmp(job->jump, 1);
}

/* Warnings: what is odd and was read all the same. */
static void ignore(j_common_ptr info, int level)
{
    (void)info;
    (void)level;
}

static void say_nothing(j_common_ptr info)
{
    (void)info;
}

static void do_nothing(j_decompress_ptr info)
{
    (void)info;
}

/* The bytes are used up.  The library's own source would make an end up, and grey below it. */
static boolean end_of_bytes(j_decompress_ptr info)
{
    struct job *job = info->client_data;

    snprintf(job->why, sizeof job->why, "is cut off");
    fail((j_common_ptr)info);
    return FALSE;
}

static void skip(j_decompress_ptr info, long n)
{
    if (n <= 0)
        return;
    if ((size_t)n > info->src->bytes_in_buffer)
        end_of_bytes(info);
    info->src->next_input_byte += n;
    info->src->bytes_in_buffer -= (size_t)n;
}

static void count_scans(j_common_ptr info)
{
    struct job *job = info->client_data;

    if (job->info.input_scan_number <= SCANS_MAX)
        return;
    snprintf(job->why, sizeof job->why, "has more than %d scans", SCANS_MAX);
    fail(info);
}

/* ---- reading --------------------------------------------------------------------------------- */

static void open_job(struct job *job, const uint8_t *bytes, size_t n)
{
    job->info.err = jpeg_std_error(&job->errors);
    job->errors.error_exit = fail;
    job->errors.emit_message = ignore;
    job->errors.output_message = say_nothing;
    job->info.client_data = job;
    jpeg_create_decompress(&job->info);
    job->source = (struct jpeg_source_mgr){ .next_input_byte = bytes,
                                            .bytes_in_buffer = n,
                                            .init_source = do_nothing,
                                            .fill_input_buffer = end_of_bytes,
                                            .skip_input_data = skip,
                                            .resync_to_restart = jpeg_resync_to_restart,
                                            .term_source = do_nothing };
    job->progress.progress_monitor = count_scans;
    job->info.src = &job->source;
    job->info.progress = &job->progress;
}

static int read_orientation(const struct jpeg_decompress_struct *info)
{
    static const char sign[6] = "Exif\0";

    for (jpeg_saved_marker_ptr marker = info->marker_list; marker; marker = marker->next)
        if (marker->data_length > sizeof sign && memcmp(marker->data, sign, sizeof sign) == 0)
            return fx_exif_orientation(marker->data + sizeof sign,
                                       marker->data_length - sizeof sign);
    return 1;
}

/* Adobe's inverted ink, in place: four bytes of a pixel become three.  The rounding is Pillow's. */
static void ink_to_rgb(const uint8_t *ink, uint8_t *rgb, int width)
{
    for (int x = 0; x < width; x++)
        for (int c = 0; c < 3; c++) {
            int white = ink[4 * x + 3];
            int product = (255 - ink[4 * x + c]) * white + 128;
            int value = white - ((product + (product >> 8)) >> 8);
            rgb[3 * x + c] = (uint8_t)(value < 0 ? 0 : value);
        }
}

static void read_rows(struct job *job, struct fx_picture *picture)
{
    struct jpeg_decompress_struct *info = &job->info;
    bool is_ink = info->out_color_space == JCS_CMYK;
    size_t n_row = 3 * (size_t)picture->width;
    JSAMPARRAY ink = NULL;

    if (is_ink) /* the library's, freed with it */
        ink = info->mem->alloc_sarray((j_common_ptr)info, JPOOL_IMAGE, 4 * info->output_width, 1);
    while (info->output_scanline < info->output_height) {
        uint8_t *row = picture->rgb + info->output_scanline * n_row;
        jpeg_read_scanlines(info, is_ink ? ink : &row, 1);
        if (is_ink)
            ink_to_rgb(ink[0], row, picture->width);
    }
}

/* Everything that may jump. */
static enum fx_status read_all(struct job *job, struct fx_picture *picture, const uint8_t *bytes,
                               size_t n, struct fx_err *err)
{
    struct jpeg_decompress_struct *info = &job->info;

    open_job(job, bytes, n);
    jpeg_save_markers(info, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(info, TRUE);
    picture->orientation = read_orientation(info);
    FX_TRY(fx_picture_allocate(picture, info->image_width, info->image_height, err));
    bool is_ink = info->jpeg_color_space == JCS_CMYK || info->jpeg_color_space == JCS_YCCK;
    info->out_color_space = is_ink ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(info);
    read_rows(job, picture);
    jpeg_finish_decompress(info);
    picture->n_read = n - info->src->bytes_in_buffer;
    return FX_OK;
}

enum fx_status fx_jpeg_decode(struct fx_picture *picture, const uint8_t *bytes, size_t n,
                              struct fx_err *err)
{
    struct job job = { 0 };
    enum fx_status status;

    if (setjmp(job.jump) == 0)
        status = read_all(&job, picture, bytes, n, err);
    else
        status = fx_fail(err, job.status, "%s", job.why);
    jpeg_destroy_decompress(&job.info);
    return status;
}
