/* The shares: which images of the pool each expert trains on.
 *
 *   iid          the original's rule, in NumPy's random numbers: default_rng(seed) permutes the
 * pool, its first 40 % belong to every expert, the next 60 % / K to one each disjoint     the pool,
 * shuffled, in K parts whose sizes differ by one at most full         all of the pool, for every
 * expert classes      the classes, shuffled, dealt to the experts one by one superclasses the same
 * of the superclasses dirichlet    of each class the experts get parts drawn from Dir(alpha, ...,
 * alpha).  Source: Yurochkin et al., "Bayesian nonparametric federated learning of neural networks"
 *                (ICML 2019), section 4
 *   file         what a text file says: a line for each expert, with its image numbers
 *
 * All but the first draw from Philox (FX_RNG_SHARES).  Flow: cifar-prep -> fx_splits_draw
 * (split.h) -> here. */
#ifndef FX_DATA_SHARES_H
#define FX_DATA_SHARES_H

#include "data/dataset.h"

#define FX_SHARE_RULES "iid|disjoint|full|classes|superclasses|dirichlet:ALPHA|FILE"
enum fx_share_rule {
    FX_SHARES_IID,
    FX_SHARES_DISJOINT,
    FX_SHARES_FULL,
    FX_SHARES_CLASSES,
    FX_SHARES_SUPERCLASSES,
    FX_SHARES_DIRICHLET,
    FX_SHARES_FILE
};

/* Plain data. */
struct fx_share_config {
    enum fx_share_rule rule;
    const char *text;   /* borrowed: the rule as it was given, for messages; of a file its name */
    double alpha;       /* of dirichlet, > 0 */
    int n_experts;      /* 0: 4, or as many as the file has lines */
    int64_t min_images; /* a smaller share is refused; < 0: FX_SHARE_MIN_IMAGES, for iid 0 */
    const uint8_t *fine, *coarse; /* borrowed: labels of the training images; for the rules about
                                     classes only */
    int n_fine, n_coarse;
};

/* A batch of most recipes. */
enum { FX_SHARE_EXPERTS = 4, FX_SHARE_MIN_IMAGES = 128 };

/* fx_shares_parse: rule, text and alpha from one of FX_SHARE_RULES; what is no rule is a file.
 * FX_EUSAGE: an ALPHA out of range; FX_EFAIL: a file that cannot be read. */
enum fx_status fx_shares_parse(const char *text, struct fx_share_config *config,
                               struct fx_err *err) FX_MUST_CHECK;

/* fx_shares_draw: the share of each expert, from the pool.
 *   n_train     training images; owners, n_train bytes, and scratch, n_train numbers, are
 *               overwritten
 *   storage     room for K * pool.n numbers, of which the lists are made
 * FX_EUSAGE: a share that is too small, more experts than classes, no superclasses; FX_EINPUT: a
 * file with a wrong number of lines, a wrong image or one that is not in the pool. */
struct fx_share_room {
    int64_t n_train;
    uint8_t *owners;
    int64_t *scratch, *storage;
};
enum fx_status fx_shares_draw(const struct fx_share_config *config, uint64_t seed,
                              struct fx_index_list pool, const struct fx_share_room *room,
                              struct fx_index_list *shares, int *n_shares,
                              struct fx_err *err) FX_MUST_CHECK;

#endif
