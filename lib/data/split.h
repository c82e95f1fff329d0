/* The splits: the fusion holdout, the pool of the experts, their shares, validation.
 *
 * The rule is the original's, in NumPy's random numbers: default_rng(seed) shuffles all training
 * images, the first part is the holdout that no expert sees, the rest the pool, of which the
 * experts have their shares (shares.h). Ours: default_rng(seed) permutes the sorted holdout, its
 * first tenth is for validation. */
#ifndef FX_DATA_SPLIT_H
#define FX_DATA_SPLIT_H

#include "data/shares.h"

/* Plain data. */
struct fx_split_config {
    uint64_t seed;
    double holdout_fraction; /* of the training images, in (0, 1] */
    double val_fraction;     /* of the holdout, in [0, 1) */
    const int64_t *holdout;  /* borrowed: the user's own holdout, in any order */
    size_t n_holdout;
    const char *holdout_name; /* borrowed: its file; NULL: the holdout is drawn */
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

/* fx_splits_draw: fills the splits of n_train images.  FX_EINPUT when the user's holdout is empty,
 * repeats an image or names one that is not there; FX_EUSAGE when the fraction gives no image.
 * For the shares see fx_shares_draw.
 * A validation part has at least one image unless its fraction is 0 or the holdout has only one. */
enum fx_status fx_splits_draw(struct fx_splits *splits, const struct fx_split_config *config,
                              int64_t n_train, struct fx_err *err) FX_MUST_CHECK;
void fx_splits_free(struct fx_splits *splits); /* accepts a zeroed record */

#endif
