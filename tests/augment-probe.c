/* augment-probe: lets tests/torch/augment_ops.py see what the augmentation does; not installed.
 *
 *   augment-probe ops              stdin: records of kind u8, magnitude f32, image u8[3072];
 *                                  stdout: each image after its operation
 *   augment-probe rows POLICY N    stdout: a line "kind:magnitude ... h w" for each of N images
 *   augment-probe speed POLICY     stdout: images per second on one core, crop to finished floats
 */
#include "data/augment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RECORD_BYTES = 5 + FX_IMAGE_BYTES, EXIT_USAGE = 2 };

static int apply_ops(void)
{
    uint8_t record[RECORD_BYTES];

    while (fread(record, 1, sizeof record, stdin) == sizeof record) {
        struct fx_op op = { .kind = record[0] };
        memcpy(&op.magnitude, record + 1, sizeof op.magnitude);
        fx_pixel_op(&op, record + 5);
        if (fwrite(record + 5, 1, FX_IMAGE_BYTES, stdout) != FX_IMAGE_BYTES)
            return 1;
    }
    return 0;
}

/* The rows of n images; the caller frees them. */
static struct fx_augment_row *make_rows(const char *policy, int64_t n)
{
    struct fx_augment_config config = { .seed = 42 };
    struct fx_augment_row *rows = calloc((size_t)n, sizeof *rows);
    int64_t *numbers = calloc((size_t)n, sizeof *numbers);

    if (rows == NULL || numbers == NULL || !fx_augment_policy_from_name(policy, &config.policy))
        exit(EXIT_USAGE);
    for (int64_t i = 0; i < n; i++)
        numbers[i] = i;
    fx_augment_epoch(&config, (struct fx_index_list){ numbers, n }, 1, rows);
    free(numbers);
    return rows;
}

static int print_rows(const char *policy, int64_t n)
{
    struct fx_augment_row *rows = make_rows(policy, n);

    for (int64_t i = 0; i < n; i++) {
        for (int j = 0; j < rows[i].n_ops; j++)
            printf("%s:%.9g ", fx_op_name(rows[i].ops[j].kind), (double)rows[i].ops[j].magnitude);
        printf("%d %d\n", rows[i].erase_h, rows[i].erase_w);
    }
    free(rows);
    return 0;
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static int print_speed(const char *policy)
{
    enum { N = 4096, BATCH = 64 };
    static const float mean[3] = { 0.5f, 0.5f, 0.5f }, deviation[3] = { 0.25f, 0.25f, 0.25f };
    static float pixels[BATCH * FX_IMAGE_BYTES];
    uint8_t *images = malloc((size_t)N * FX_IMAGE_BYTES);
    struct fx_augment_row *rows = make_rows(policy, N);
    struct fx_image_set set = { .images = images, .n = N };

    if (images == NULL)
        return 1;
    for (uint32_t i = 0; i < (uint32_t)N * FX_IMAGE_BYTES; i++)
        images[i] = (uint8_t)(i * 2654435761u >> 24);
    double start = now();
    int n_done = 0;
    for (; now() - start < 0.5; n_done += BATCH)
        fx_augment_batch(&set, mean, deviation, rows + n_done % N, BATCH, NULL, NULL, pixels);
    printf("%.0f\n", n_done / (now() - start));
    free(rows);
    free(images);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "ops") == 0)
        return apply_ops();
    if (argc == 4 && strcmp(argv[1], "rows") == 0 && atoi(argv[3]) > 0)
        return print_rows(argv[2], atoi(argv[3]));
    if (argc == 3 && strcmp(argv[1], "speed") == 0)
        return print_speed(argv[2]);
    fprintf(stderr, "usage: augment-probe ops | rows POLICY N | speed POLICY\n");
    return EXIT_USAGE;
}
