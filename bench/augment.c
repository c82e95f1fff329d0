/* How fast one core augments: images per second of every policy, from the table of an epoch to
 * normalised pixels.  Prints JSON Lines for bench/augment.py, which runs torchvision beside it. */
#include "base/words.h"
#include "data/augment.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { N_IMAGES = 512, BATCH = 64, ROUNDS_MIN = 2 };
static const double seconds_min = 1.0;

struct workload {
    struct fx_image_set images;
    struct fx_index_list list;
    struct fx_augment_row *rows;
    float *pixels;
};

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* One epoch over the images, in batches, with cutmix as the recipes have it. */
static void run_epoch(const struct workload *w, const struct fx_augment_config *config,
                      uint32_t epoch)
{
    static const float mean[3] = { 0.5071f, 0.4865f, 0.4409f },
                       std[3] = { 0.2673f, 0.2564f, 0.2762f };

    fx_augment_epoch(config, w->list, epoch, w->rows);
    for (int start = 0; start < N_IMAGES; start += BATCH) {
        uint32_t partner[BATCH];
        struct fx_mix mix;

        fx_augment_mix(config, epoch, (uint32_t)(start / BATCH), BATCH, &mix, partner);
        fx_augment_batch(&w->images, mean, std, w->rows + start, BATCH, &mix, partner, w->pixels);
    }
}

static void measure(const struct workload *w, enum fx_augment_policy policy)
{
    struct fx_augment_config config = {
        .policy = policy, .mix = FX_MIX_CUTMIX, .mix_alpha = 1.0, .shuffle = true, .seed = 42
    };
    char name[FX_WORD_BYTES];
    uint32_t rounds = 0;
    double start;

    run_epoch(w, &config, 1);
    for (start = now(); rounds < ROUNDS_MIN || now() - start < seconds_min; rounds++)
        run_epoch(w, &config, rounds + 2);
    printf("{\"policy\":\"%s\",\"images_per_second\":%.1f}\n",
           fx_word_text(FX_AUGMENT_POLICIES, (int)policy, name),
           rounds * (double)N_IMAGES / (now() - start));
}

/* Smooth images with a little noise: some operations take longer on noise alone. */
static void paint(uint8_t *images)
{
    uint32_t noise = 1;

    for (int i = 0; i < N_IMAGES * FX_IMAGE_BYTES; i++) {
        noise = noise * 1664525u + 1013904223u;
        images[i] =
            (uint8_t)(i / FX_IMAGE_PIXELS * 37 + i % 32 * 3 + i / 32 % 32 * 2 + (int)(noise >> 28));
    }
}

int main(void)
{
    uint8_t *images = malloc((size_t)N_IMAGES * FX_IMAGE_BYTES), *labels = calloc(N_IMAGES, 1);
    int64_t *numbers = malloc(N_IMAGES * sizeof *numbers);
    struct workload w = { .rows = malloc(N_IMAGES * sizeof *w.rows),
                          .pixels = malloc(sizeof(float) * BATCH * FX_IMAGE_BYTES) };
    int status = 1;

    if (images && labels && numbers && w.rows && w.pixels) {
        paint(images);
        for (int i = 0; i < N_IMAGES; i++)
            numbers[i] = i;
        w.images = (struct fx_image_set){ images, labels, labels, N_IMAGES };
        w.list = (struct fx_index_list){ numbers, N_IMAGES };
        for (enum fx_augment_policy p = FX_AUGMENT_NONE; p <= FX_AUGMENT_SOTA; p++)
            measure(&w, p);
        status = 0;
    }
    free(images);
    free(labels);
    free(numbers);
    free(w.rows);
    free(w.pixels);
    return status;
}
