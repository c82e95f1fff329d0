/* Two slots and one thread: the caller works on one slot while the thread fills the other. */
#include "train/feeder.h"

#include <pthread.h>
#include <stdlib.h>

/* One prepared batch. */
struct slot {
    float *pixels;     /* owned; (batch, 3, 32, 32), NULL when pixels are not needed */
    uint32_t *partner; /* owned; (batch) */
    uint32_t *numbers; /* owned; (batch) */
    uint8_t *labels;   /* owned; (batch) */
    struct fx_mix mix;
    int64_t number; /* which batch of the epoch */
    int n;
};

struct fx_feeder {
    struct fx_feeder_options options;
    struct fx_augment_row *rows; /* owned; (images.n): the decisions of the epoch */
    struct slot slots[2];
    uint32_t epoch;
    int64_t next; /* the batch that fx_feeder_next returns */

    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Guarded by lock. */
    struct slot *wanted; /* to be filled by the thread, NULL: nothing to do */
    bool quit;
};

/* ---- the thread ------------------------------------------------------------------------------ */

/* Everything about batch slot->number, from the epoch's rows. */
static void fill(const struct fx_feeder *feeder, struct slot *slot)
{
    const struct fx_feeder_options *options = &feeder->options;
    int64_t first = slot->number * options->batch;
    int64_t left = options->images.n - first;
    const struct fx_augment_row *rows = feeder->rows + first;

    slot->n = left < options->batch ? (int)left : options->batch;
    for (int i = 0; i < slot->n; i++) {
        slot->numbers[i] = rows[i].image;
        slot->labels[i] = options->dataset->train.fine[rows[i].image];
    }
    fx_augment_mix(&options->augment, feeder->epoch, (uint32_t)slot->number, slot->n, &slot->mix,
                   slot->partner);
    if (options->needs_pixels)
        fx_augment_batch(&options->dataset->train, options->dataset->mean, options->dataset->std,
                         rows, slot->n, &slot->mix, slot->partner, slot->pixels);
}

static void *work(void *arg)
{
    struct fx_feeder *feeder = arg;

    pthread_mutex_lock(&feeder->lock);
    for (;;) {
        while (feeder->wanted == NULL && !feeder->quit)
            pthread_cond_wait(&feeder->changed, &feeder->lock);
        if (feeder->quit)
            break;
        struct slot *slot = feeder->wanted;
        pthread_mutex_unlock(&feeder->lock);
        fill(feeder, slot);
        pthread_mutex_lock(&feeder->lock);
        feeder->wanted = NULL;
        pthread_cond_broadcast(&feeder->changed);
    }
    pthread_mutex_unlock(&feeder->lock);
    return NULL;
}

static void wait_idle(struct fx_feeder *feeder)
{
    pthread_mutex_lock(&feeder->lock);
    while (feeder->wanted != NULL)
        pthread_cond_wait(&feeder->changed, &feeder->lock);
    pthread_mutex_unlock(&feeder->lock);
}

/* Asks for batch `number` in its slot; nothing when the epoch has no such batch. */
static void request(struct fx_feeder *feeder, int64_t number)
{
    if (number >= fx_feeder_n_batches(feeder))
        return;
    pthread_mutex_lock(&feeder->lock);
    feeder->wanted = &feeder->slots[number % 2];
    feeder->wanted->number = number;
    pthread_cond_broadcast(&feeder->changed);
    pthread_mutex_unlock(&feeder->lock);
}

/* ---- life ------------------------------------------------------------------------------------ */

size_t fx_feeder_bytes(const struct fx_feeder_options *options)
{
    size_t image =
        (options->needs_pixels ? FX_IMAGE_BYTES * sizeof(float) : 0) + 2 * sizeof(uint32_t) + 1;

    return 2 * (size_t)options->batch * image +
           (size_t)options->images.n * sizeof(struct fx_augment_row);
}

static bool slot_init(struct slot *slot, const struct fx_feeder_options *options)
{
    size_t n = (size_t)options->batch;

    if (options->needs_pixels)
        slot->pixels = malloc(n * FX_IMAGE_BYTES * sizeof(float));
    slot->partner = malloc(n * sizeof *slot->partner);
    slot->numbers = malloc(n * sizeof *slot->numbers);
    slot->labels = malloc(n);
    return (slot->pixels != NULL || !options->needs_pixels) && slot->partner != NULL &&
           slot->numbers != NULL && slot->labels != NULL;
}

enum fx_status fx_feeder_create(struct fx_feeder **out, const struct fx_feeder_options *options,
                                struct fx_err *err)
{
    struct fx_feeder *feeder = calloc(1, sizeof *feeder);

    *out = feeder;
    if (feeder == NULL)
        return fx_fail(err, FX_EFAIL, "out of memory for training batches");
    feeder->options = *options;
    pthread_mutex_init(&feeder->lock, NULL);
    pthread_cond_init(&feeder->changed, NULL);
    feeder->rows = malloc((size_t)options->images.n * sizeof *feeder->rows);
    if (feeder->rows == NULL || !slot_init(&feeder->slots[0], options) ||
        !slot_init(&feeder->slots[1], options))
        return fx_fail(err, FX_EFAIL, "out of memory for training batches");
    if (pthread_create(&feeder->thread, NULL, work, feeder) != 0)
        return fx_fail(err, FX_EFAIL, "cannot start the thread that prepares batches");
    feeder->has_thread = true;
    return FX_OK;
}

void fx_feeder_destroy(struct fx_feeder *feeder)
{
    if (feeder == NULL)
        return;
    if (feeder->has_thread) {
        pthread_mutex_lock(&feeder->lock);
        feeder->quit = true;
        pthread_cond_broadcast(&feeder->changed);
        pthread_mutex_unlock(&feeder->lock);
        pthread_join(feeder->thread, NULL);
    }
    for (int i = 0; i < 2; i++) {
        free(feeder->slots[i].pixels);
        free(feeder->slots[i].partner);
        free(feeder->slots[i].numbers);
        free(feeder->slots[i].labels);
    }
    pthread_cond_destroy(&feeder->changed);
    pthread_mutex_destroy(&feeder->lock);
    free(feeder->rows);
    free(feeder);
}

/* ---- batches --------------------------------------------------------------------------------- */

int64_t fx_feeder_n_batches(const struct fx_feeder *feeder)
{
    return (feeder->options.images.n + feeder->options.batch - 1) / feeder->options.batch;
}

void fx_feeder_begin(struct fx_feeder *feeder, uint32_t epoch, int64_t first)
{
    wait_idle(feeder);
    fx_augment_epoch(&feeder->options.augment, feeder->options.images, epoch, feeder->rows);
    feeder->epoch = epoch;
    feeder->next = first;
    request(feeder, first);
}

void fx_feeder_next(struct fx_feeder *feeder, struct fx_batch *batch)
{
    const struct slot *slot = &feeder->slots[feeder->next % 2];
    bool is_mixed;

    wait_idle(feeder);
    is_mixed = slot->mix.kind != FX_MIX_NONE;
    *batch = (struct fx_batch){
        .n = slot->n,
        .pixels = slot->pixels,
        .rows = feeder->rows + slot->number * feeder->options.batch,
        .mix = is_mixed ? &slot->mix : NULL,
        .partner = is_mixed ? slot->partner : NULL,
        .numbers = slot->numbers,
        .labels = slot->labels,
        .seed = feeder->options.augment.seed,
        .epoch = feeder->epoch,
    };
    feeder->next++;
    request(feeder, feeder->next);
}
