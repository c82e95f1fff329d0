/* The shares: which images of the pool each expert trains on.
 *
 * - iid: the rule of the original, with NumPy's random numbers: default_rng(seed) permutes the
 * pool; every expert has its first 40 %, and each one 60 % / K of the rest for itself.
 * - disjoint: the shuffled pool in K parts whose sizes differ by one at most.
 * - full: the whole pool for every expert.
 * - classes: the shuffled classes, dealt to the experts in turn; superclasses: the same with those.
 * - dirichlet: the images of each class are divided by proportions from Dir(alpha, ..., alpha).
 *   Source: Yurochkin et al., "Bayesian nonparametric federated learning of neural networks" (ICML
 *   2019), section 4.
 * - file: a text file with one line of image numbers for each expert.
 *
 * The rules that draw, iid apart, use Philox (FX_RNG_SHARES).  Called by fx_splits_draw (split.h)
 * for cifar-prep. */
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
    const char *text;   /* borrowed: the rule as given, for messages; a file's path */
    double alpha;       /* dirichlet: from 0.001 to 1e6 */
    int n_experts;      /* 0: 4, or the lines of the file */
    int64_t min_images; /* smaller shares are refused; < 0: FX_SHARE_MIN_IMAGES, 0 for iid */
    const uint8_t *fine, *coarse; /* borrowed: (n_train) labels; read by classes, superclasses
                                     and dirichlet only */
    int n_fine, n_coarse;
};

/* Defaults; the second is the batch size of most recipes. */
enum { FX_SHARE_EXPERTS = 4, FX_SHARE_MIN_IMAGES = 128 };

/* fx_shares_parse: sets rule, text and alpha from one of FX_SHARE_RULES; any other text is the path
 * of a file.  FX_EUSAGE: ALPHA is out of range; FX_EFAIL: the file cannot be read. */
enum fx_status fx_shares_parse(const char *text, struct fx_share_config *config,
                               struct fx_err *err) FX_MUST_CHECK;

/* Memory for fx_shares_draw; borrowed. */
struct fx_share_room {
    int64_t n_train;  /* training images */
    uint8_t *owners;  /* (n_train); overwritten */
    int64_t *scratch; /* (n_train); overwritten */
    int64_t *storage; /* (K * pool.n); the shares point into it */
};

/* fx_shares_draw: the share of each expert, from the pool.
 *   shares    out  (K) lists that point into room->storage
 *   n_shares  out  K
 * FX_EUSAGE: a share is too small, or there are fewer classes or superclasses than experts;
 * FX_EINPUT: the file has a wrong number of lines, an invalid image number or one that is not in
 * the pool. */
enum fx_status fx_shares_draw(const struct fx_share_config *config, uint64_t seed,
                              struct fx_index_list pool, const struct fx_share_room *room,
                              struct fx_index_list *shares, int *n_shares,
                              struct fx_err *err) FX_MUST_CHECK;

#endif
