/* Two slots and one thread: the caller works on one slot while the thread fills the other. */
#include "run/data_loader_internal.h"

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

struct fx_data_loader {
    struct fx_data_loader_options options;
    struct fx_augment_row *rows; /* owned; (images.n): the decisions of the epoch */
    struct slot slots[2];
    uint32_t epoch;
    int64_t next; /* the batch that fx_data_loader_next returns */

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
static void fill(const struct fx_data_loader *loader, struct slot *slot)
{
    const struct fx_data_loader_options *options = &loader->options;
    int64_t first = slot->number * options->batch;
    int64_t left = options->images.n - first;
    const struct fx_augment_row *rows = loader->rows + first;

    slot->n = left < options->batch ? (int)left : options->batch;
    for (int i = 0; i < slot->n; i++) {
        slot->numbers[i] = rows[i].image;
        slot->labels[i] = options->dataset->train.fine[rows[i].image];
    }
    fx_augment_mix(&options->augment, loader->epoch, (uint32_t)slot->number, slot->n, &slot->mix,
                   slot->partner);
    if (options->needs_pixels)
        fx_augment_batch(&options->dataset->train, options->dataset->mean, options->dataset->std,
                         rows, slot->n, &slot->mix, slot->partner, slot->pixels);
}

static void *work(void *arg)
{
    struct fx_data_loader *loader = arg;

    pthread_mutex_lock(&loader->lock);
    for (;;) {
        while (!loader->wanted && !loader->quit)
            pthread_cond_wait(&loader->changed, &loader->lock);
        if (loader->quit)
            break;
        struct slot *slot = loader->wanted;
        pthread_mutex_unlock(&loader->lock);
        fill(loader, slot);
        pthread_mutex_lock(&loader->lock);
        loader->wanted = NULL;
        pthread_cond_broadcast(&loader->changed);
    }
    pthread_mutex_unlock(&loader->lock);
    return NULL;
}

static void wait_idle(struct fx_data_loader *loader)
{
    pthread_mutex_lock(&loader->lock);
    while (loader->wanted)
        pthread_cond_wait(&loader->changed, &loader->lock);
    pthread_mutex_unlock(&loader->lock);
}

/* Asks for batch `number` in its slot; nothing when the epoch has no such batch. */
static void request(struct fx_data_loader *loader, int64_t number)
{
    if (number >= fx_data_loader_n_batches(loader))
        return;
    pthread_mutex_lock(&loader->lock);
    loader->wanted = &loader->slots[number % 2];
    loader->wanted->number = number;
    pthread_cond_broadcast(&loader->changed);
    pthread_mutex_unlock(&loader->lock);
}

/* ---- life ------------------------------------------------------------------------------------ */

size_t fx_data_loader_bytes(const struct fx_data_loader_options *options)
{
    size_t image =
        (options->needs_pixels ? FX_IMAGE_BYTES * sizeof(float) : 0) + 2 * sizeof(uint32_t) + 1;

    return 2 * (size_t)options->batch * image +
           (size_t)options->images.n * sizeof(struct fx_augment_row);
}

static bool slot_init(struct slot *slot, const struct fx_data_loader_options *options)
{
    size_t n = (size_t)options->batch;

    if (options->needs_pixels)
        slot->pixels = malloc(n * FX_IMAGE_BYTES * sizeof(float));
    slot->partner = malloc(n * sizeof *slot->partner);
    slot->numbers = malloc(n * sizeof *slot->numbers);
    slot->labels = malloc(n);
    return (slot->pixels || !options->needs_pixels) && slot->partner && slot->numbers &&
           slot->labels;
}

enum fx_status fx_data_loader_create(struct fx_data_loader **out,
                                     const struct fx_data_loader_options *options,
                                     struct fx_err *err)
{
    struct fx_data_loader *loader = calloc(1, sizeof *loader);

    *out = loader;
    if (!loader)
        return fx_fail(err, FX_EFAIL, "out of memory for training batches");
    loader->options = *options;
    pthread_mutex_init(&loader->lock, NULL);
    pthread_cond_init(&loader->changed, NULL);
    loader->rows = malloc((size_t)options->images.n * sizeof *loader->rows);
    if (!loader->rows || !slot_init(&loader->slots[0], options) ||
        !slot_init(&loader->slots[1], options))
        return fx_fail(err, FX_EFAIL, "out of memory for training batches");
    if (pthread_create(&loader->thread, NULL, work, loader) != 0)
        return fx_fail(err, FX_EFAIL, "cannot start the thread that prepares batches");
    loader->has_thread = true;
    return FX_OK;
}

void fx_data_loader_destroy(struct fx_data_loader *loader)
{
    if (!loader)
        return;
    if (loader->has_thread) {
        pthread_mutex_lock(&loader->lock);
        loader->quit = true;
        pthread_cond_broadcast(&loader->changed);
        pthread_mutex_unlock(&loader->lock);
        pthread_join(loader->thread, NULL);
    }
    for (int i = 0; i < 2; i++) {
        free(loader->slots[i].pixels);
        free(loader->slots[i].partner);
        free(loader->slots[i].numbers);
        free(loader->slots[i].labels);
    }
    pthread_cond_destroy(&loader->changed);
    pthread_mutex_destroy(&loader->lock);
    free(loader->rows);
    free(loader);
}

/* ---- batches --------------------------------------------------------------------------------- */

int64_t fx_data_loader_n_batches(const struct fx_data_loader *loader)
{
    return (loader->options.images.n + loader->options.batch - 1) / loader->options.batch;
}

void fx_data_loader_begin(struct fx_data_loader *loader, uint32_t epoch, int64_t first)
{
    wait_idle(loader);
    fx_augment_epoch(&loader->options.augment, loader->options.images, epoch, loader->rows);
    loader->epoch = epoch;
    loader->next = first;
    request(loader, first);
}

void fx_data_loader_next(struct fx_data_loader *loader, struct fx_batch *batch)
{
    const struct slot *slot = &loader->slots[loader->next % 2];
    bool is_mixed;

    wait_idle(loader);
    is_mixed = slot->mix.kind != FX_MIX_NONE;
    *batch = (struct fx_batch){
        .n = slot->n,
        .pixels = slot->pixels,
        .rows = loader->rows + slot->number * loader->options.batch,
        .mix = is_mixed ? &slot->mix : NULL,
        .partner = is_mixed ? slot->partner : NULL,
        .numbers = slot->numbers,
        .labels = slot->labels,
        .seed = loader->options.augment.seed,
        .epoch = loader->epoch,
    };
    loader->next++;
    request(loader, loader->next);
}
