/* augment-probe: lets tests/torch/augment_ops.py see what the augmentation does; not installed.
 *
 *   augment-probe ops              stdin: records of kind u8, magnitude f32, image u8[3072];
 *                                  stdout: each image after its operation
 *   augment-probe rows POLICY N    stdout: a line "kind:magnitude ... h w" for each of N images
 */
#include "base/words.h"
#include "data/augment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    int number = fx_word_find(FX_AUGMENT_POLICIES, policy);

    if (rows == NULL || numbers == NULL || number < 0)
        exit(EXIT_USAGE);
    config.policy = (enum fx_augment_policy)number;
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

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "ops") == 0)
        return apply_ops();
    if (argc == 4 && strcmp(argv[1], "rows") == 0 && atoi(argv[3]) > 0)
        return print_rows(argv[2], atoi(argv[3]));
    fprintf(stderr, "usage: augment-probe ops | rows POLICY N\n");
    return EXIT_USAGE;
}
