/* The splits: the fusion holdout, the pool of the experts, their shares, validation.
 *
 * Holdout and pool follow the original, with NumPy's random numbers: default_rng(seed) shuffles all
 * training images; the first part is the holdout, which no expert sees, the rest is the pool, from
 * which the experts get their shares (shares.h).  The validation part is an addition:
 * default_rng(seed) permutes the sorted holdout, and its first val_fraction is for validation. */
#ifndef FX_DATA_SPLIT_H
#define FX_DATA_SPLIT_H

#include "data/shares.h"

/* Plain data. */
struct fx_split_config {
    uint64_t seed;
    double holdout_fraction; /* of the training images, in (0, 1] */
    double val_fraction;     /* of the holdout, in [0, 1) */
    const int64_t *holdout;  /* borrowed: a given holdout, in any order */
    size_t n_holdout;
    const char *holdout_name; /* borrowed: its file, for messages; NULL: the holdout is drawn */
    struct fx_share_config shares;
};

/* Every list points into storage.  A part of n images of a fraction f has floor(n * f) of them. */
struct fx_splits {
    int64_t *storage;                            /* owned */
    struct fx_index_list fusion_holdout;         /* sorted */
    struct fx_index_list expert_pool;            /* sorted: everything but the holdout */
    struct fx_index_list val;                    /* sorted, within the holdout */
    struct fx_index_list expert[FX_MAX_EXPERTS]; /* sorted; iid in NumPy's order, the common images
                                                    first */
    int n_experts;
};

/* fx_splits_draw: fills the splits of n_train images.  FX_EINPUT when a given holdout is empty,
 * repeats an image or has a number out of range; FX_EUSAGE when the fraction gives no image.
 * For the shares see fx_shares_draw.
 * A validation part has at least one image unless its fraction is 0 or the holdout has only one. */
enum fx_status fx_splits_draw(struct fx_splits *splits, const struct fx_split_config *config,
                              int64_t n_train, struct fx_err *err) FX_MUST_CHECK;
void fx_splits_free(struct fx_splits *splits); /* accepts a zeroed record */

#endif
