/* Drawing the splits (see split.h).  A list becomes sorted by marking its images and reading the
 * marks in order, which also finds repetitions. */
#include "data/split.h"

#include "data/pcg64_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int64_t share_of(int64_t n, double fraction)
{
    return (int64_t)((double)n * fraction);
}

/* values = default_rng(seed).permutation(values) */
static void permute(uint64_t seed, int64_t *values, int64_t n)
{
    struct fx_pcg64 rng;

    fx_pcg64_init(&rng, seed);
    fx_pcg64_shuffle(&rng, values, (size_t)n);
}

/* Writes the images whose mark is `wanted` to out, in ascending order; returns how many. */
static int64_t collect_marked(const uint8_t *marks, int64_t n, uint8_t wanted, int64_t *out)
{
    int64_t count = 0;

    for (int64_t i = 0; i < n; i++)
        if (marks[i] == wanted)
            out[count++] = i;
    return count;
}

static enum fx_status mark_given(const struct fx_split_config *config, uint8_t *marks, int64_t n,
                                 struct fx_err *err)
{
    const char *name = config->holdout_name;

    if (config->n_holdout == 0)
        return fx_fail(err, FX_EINPUT, "%s: holds no index", name);
    for (size_t i = 0; i < config->n_holdout; i++) {
        int64_t image = config->holdout[i];
        if (image < 0 || image >= n)
            return fx_fail(err, FX_EINPUT,
                           "%s: index %" PRId64
                           " at position %zu: the training images are 0..%" PRId64,
                           name, image, i, n - 1);
        if (marks[image])
            return fx_fail(err, FX_EINPUT,
                           "%s: index %" PRId64 " at position %zu: stands there twice", name, image,
                           i);
        marks[image] = 1;
    }
    return FX_OK;
}

static enum fx_status mark_drawn(const struct fx_split_config *config, uint8_t *marks, int64_t n,
                                 int64_t *scratch, struct fx_err *err)
{
    int64_t n_holdout = share_of(n, config->holdout_fraction);

    if (n_holdout == 0)
        return fx_fail(err, FX_EUSAGE, "--holdout-fraction %g of %" PRId64 " images is no image",
                       config->holdout_fraction, n);
    for (int64_t i = 0; i < n; i++)
        scratch[i] = i;
    permute(config->seed, scratch, n);
    for (int64_t i = 0; i < n_holdout; i++)
        marks[scratch[i]] = 1;
    return FX_OK;
}

/* A sorted part of the holdout; marks and scratch are overwritten. */
static struct fx_index_list draw_val(const struct fx_split_config *config,
                                     struct fx_index_list holdout, uint8_t *marks, int64_t n_train,
                                     int64_t *scratch, int64_t *out)
{
    int64_t n = share_of(holdout.n, config->val_fraction);

    if (n == 0 && config->val_fraction > 0 && holdout.n > 1)
        n = 1;
    memcpy(scratch, holdout.values, (size_t)holdout.n * sizeof *scratch);
    permute(config->seed, scratch, holdout.n);
    memset(marks, 0, (size_t)n_train);
    for (int64_t i = 0; i < n; i++)
        marks[scratch[i]] = 1;
    return (struct fx_index_list){ out, collect_marked(marks, n_train, 1, out) };
}

enum fx_status fx_splits_draw(struct fx_splits *splits, const struct fx_split_config *config,
                              int64_t n_train, struct fx_err *err)
{
    enum fx_status status = FX_OK;
    size_t n = (size_t)n_train;
    uint8_t *marks = calloc(n + 1, 1);
    int64_t *scratch = malloc((n + 1) * sizeof *scratch);

    /* Holdout and pool together, validation, the shares (none larger than the pool). */
    *splits = (struct fx_splits){ 0 };
    splits->storage = malloc((2 + FX_MAX_EXPERTS) * (n + 1) * sizeof *splits->storage);
    if (!marks || !scratch || !splits->storage) {
        status = fx_fail(err, FX_EFAIL, "out of memory for the splits of %zu images", n);
        goto out;
    }
    if (config->holdout_name)
        FX_TRY_OUT(mark_given(config, marks, n_train, err));
    else
        FX_TRY_OUT(mark_drawn(config, marks, n_train, scratch, err));

    int64_t *next = splits->storage;
    splits->fusion_holdout =
        (struct fx_index_list){ next, collect_marked(marks, n_train, 1, next) };
    next += splits->fusion_holdout.n;
    splits->expert_pool = (struct fx_index_list){ next, collect_marked(marks, n_train, 0, next) };
    next += splits->expert_pool.n;
    splits->val = draw_val(config, splits->fusion_holdout, marks, n_train, scratch, next);
    next += splits->val.n;
    const struct fx_share_room room = { n_train, marks, scratch, next };
    status = fx_shares_draw(&config->shares, config->seed, splits->expert_pool, &room,
                            splits->expert, &splits->n_experts, err);
out:
    free(marks);
    free(scratch);
    if (status != FX_OK)
        fx_splits_free(splits);
    return status;
}

void fx_splits_free(struct fx_splits *splits)
{
    free(splits->storage);
    *splits = (struct fx_splits){ 0 };
}
