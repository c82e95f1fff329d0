/* Drawing the shares (see shares.h).  But for iid, whose order is NumPy's, every rule marks in
 * owners[image] which experts have the image, a bit each; the shares are read from the marks. */
#include "data/shares.h"

#include "data/draws_internal.h"
#include "data/pcg64_internal.h"
#include "data/share_file_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The streams of FX_RNG_SHARES; of Dirichlet's parts, image = class. */
enum { DRAWS_IMAGES = 0, DRAWS_CLASSES = 1, DRAWS_PARTS = 2 };
enum { CLASSES_MAX = 256 };

static const char dirichlet[] = "dirichlet:";
static const double alpha_min = 1e-3, alpha_max = 1e6;
/* Of the pool: what every expert has, and what is divided among them. */
static const double common_fraction = 0.40, divided_fraction = 0.60;

/* What is being drawn. */
struct drawing {
    const struct fx_share_config *config;
    struct fx_index_list pool;
    const struct fx_share_room *room;
    uint64_t seed;
    int n_experts;
};

enum fx_status fx_shares_parse(const char *text, struct fx_share_config *config, struct fx_err *err)
{
    static const char *const names[] = { "iid", "disjoint", "full", "classes", "superclasses" };
    const size_t n = sizeof dirichlet - 1;
    char *end;

    config->text = text;
    for (int rule = 0; rule < (int)(sizeof names / sizeof *names); rule++)
        if (strcmp(text, names[rule]) == 0) {
            config->rule = (enum fx_share_rule)rule;
            return FX_OK;
        }
    config->rule =
        strncmp(text, dirichlet, n - 1) == 0 && (text[n - 1] == '\0' || text[n - 1] == ':')
            ? FX_SHARES_DIRICHLET
            : FX_SHARES_FILE;
    if (config->rule == FX_SHARES_FILE)
        return access(text, R_OK) == 0
                   ? FX_OK
                   : fx_fail_errno(err, "--shares %s: none of " FX_SHARE_RULES, text);
    const char *number = text[n - 1] ? text + n : "";
    config->alpha = strtod(number, &end);
    if (*number == '\0' || *end != '\0' || !(config->alpha >= alpha_min) ||
        config->alpha > alpha_max)
        return fx_fail(err, FX_EUSAGE, "--shares %s: dirichlet:ALPHA takes a number from %g to %g",
                       text, alpha_min, alpha_max);
    return FX_OK;
}

/* ---- iid ------------------------------------------------------------------------------------- */

/* Images [0, common) of the permuted pool for all, then one slice for each. */
static void draw_iid(const struct drawing *d, struct fx_index_list *shares)
{
    int64_t n_common = (int64_t)((double)d->pool.n * common_fraction);
    int64_t n_own = (int64_t)((double)d->pool.n * divided_fraction / d->n_experts);
    int64_t *scratch = d->room->scratch, *out = d->room->storage;
    struct fx_pcg64 rng;

    memcpy(scratch, d->pool.values, (size_t)d->pool.n * sizeof *scratch);
    fx_pcg64_init(&rng, d->seed);
    fx_pcg64_shuffle(&rng, scratch, (size_t)d->pool.n);
    for (int k = 0; k < d->n_experts; k++) {
        shares[k] = (struct fx_index_list){ out, n_common + n_own };
        memcpy(out, scratch, (size_t)n_common * sizeof *out);
        memcpy(out + n_common, scratch + n_common + k * n_own, (size_t)n_own * sizeof *out);
        out += n_common + n_own;
    }
}

/* ---- marks ----------------------------------------------------------------------------------- */

static uint8_t bit(int k)
{
    return (uint8_t)(1u << k);
}

/* Fisher and Yates. */
static void shuffle(uint64_t seed, unsigned stream, int64_t *values, int64_t n)
{
    struct fx_draws draws = fx_draws_begin(seed, FX_RNG_SHARES, stream, 0, 0);

    for (int64_t i = n - 1; i > 0; i--) {
        uint32_t j = fx_draws_below(&draws, (uint32_t)i + 1);
        int64_t kept = values[i];
        values[i] = values[j];
        values[j] = kept;
    }
}

/* The pool in random order, in scratch. */
static const int64_t *shuffled_pool(const struct drawing *d)
{
    memcpy(d->room->scratch, d->pool.values, (size_t)d->pool.n * sizeof *d->pool.values);
    shuffle(d->seed, DRAWS_IMAGES, d->room->scratch, d->pool.n);
    return d->room->scratch;
}

static void mark_disjoint(const struct drawing *d)
{
    const int64_t *images = shuffled_pool(d);

    for (int64_t i = 0; i < d->pool.n; i++)
        d->room->owners[images[i]] = bit((int)(i * d->n_experts / d->pool.n));
}

static void mark_full(const struct drawing *d)
{
    memset(d->room->owners, (1 << d->n_experts) - 1, (size_t)d->room->n_train);
}

static enum fx_status mark_classes(const struct drawing *d, const uint8_t *labels, int n_classes,
                                   struct fx_err *err)
{
    int64_t classes[CLASSES_MAX];
    uint8_t owner[CLASSES_MAX] = { 0 };

    if (n_classes < d->n_experts)
        return fx_fail(err, FX_EUSAGE, "--shares %s: %d of them are too few for %d experts",
                       d->config->text, n_classes, d->n_experts);
    for (int c = 0; c < n_classes; c++)
        classes[c] = c;
    shuffle(d->seed, DRAWS_CLASSES, classes, n_classes);
    for (int i = 0; i < n_classes; i++)
        owner[classes[i]] = bit(i % d->n_experts);
    for (int64_t i = 0; i < d->room->n_train; i++)
        d->room->owners[i] = owner[labels[i]];
    return FX_OK;
}

/* Parts of one, from Dir(alpha, ..., alpha): K gamma numbers over their sum.  They stay logarithms
 * until the largest of them is known: small alphas underflow. */
static void draw_parts(const struct drawing *d, int class, double *parts)
{
    struct fx_draws draws =
        fx_draws_begin(d->seed, FX_RNG_SHARES, DRAWS_PARTS, 0, (uint32_t) class);
    double largest = -INFINITY, sum = 0;

    for (int k = 0; k < d->n_experts; k++) {
        parts[k] = fx_draws_log_gamma(&draws, d->config->alpha);
        largest = fmax(largest, parts[k]);
    }
    for (int k = 0; k < d->n_experts; k++)
        sum += parts[k] = exp(parts[k] - largest);
    for (int k = 0; k < d->n_experts; k++)
        parts[k] /= sum;
}

/* The images of each class, in random order, cut where the parts end. */
static void mark_dirichlet(const struct drawing *d)
{
    const int64_t *images = shuffled_pool(d);
    const uint8_t *labels = d->config->fine;
    int64_t n_of[CLASSES_MAX] = { 0 }, n_seen[CLASSES_MAX] = { 0 };
    int64_t ends[CLASSES_MAX][FX_MAX_EXPERTS];

    for (int64_t i = 0; i < d->pool.n; i++)
        n_of[labels[images[i]]]++;
    for (int c = 0; c < d->config->n_fine; c++) {
        double parts[FX_MAX_EXPERTS], end = 0;
        draw_parts(d, c, parts);
        for (int k = 0; k < d->n_experts; k++)
            ends[c][k] = llround((end += parts[k]) * (double)n_of[c]);
        ends[c][d->n_experts - 1] = n_of[c];
    }
    for (int64_t i = 0; i < d->pool.n; i++) {
        int c = labels[images[i]], k = 0;
        while (n_seen[c] >= ends[c][k])
            k++;
        n_seen[c]++;
        d->room->owners[images[i]] = bit(k);
    }
}

/* ---- the shares ------------------------------------------------------------------------------ */

static void collect(const struct drawing *d, struct fx_index_list *shares)
{
    int64_t *out = d->room->storage;

    for (int k = 0; k < d->n_experts; k++) {
        shares[k] = (struct fx_index_list){ out, 0 };
        for (int64_t i = 0; i < d->pool.n; i++)
            if (d->room->owners[d->pool.values[i]] & bit(k))
                out[shares[k].n++] = d->pool.values[i];
        out += shares[k].n;
    }
}

static enum fx_status mark(struct drawing *d, struct fx_err *err)
{
    const struct fx_share_config *config = d->config;

    memset(d->room->owners, 0, (size_t)d->room->n_train);
    switch (config->rule) {
    case FX_SHARES_DISJOINT:
        mark_disjoint(d);
        break;
    case FX_SHARES_FULL:
        mark_full(d);
        break;
    case FX_SHARES_CLASSES:
        return mark_classes(d, config->fine, config->n_fine, err);
    case FX_SHARES_SUPERCLASSES:
        return mark_classes(d, config->coarse, config->n_coarse, err);
    case FX_SHARES_DIRICHLET:
        mark_dirichlet(d);
        break;
    case FX_SHARES_IID:
    case FX_SHARES_FILE:
        return fx_share_file_read(config->text, d->room->owners, d->room->n_train, d->pool,
                                  &d->n_experts, err);
    }
    return FX_OK;
}

static enum fx_status check_sizes(const struct drawing *d, const struct fx_index_list *shares,
                                  struct fx_err *err)
{
    const struct fx_share_config *config = d->config;
    int64_t min = config->min_images;

    if (min < 0)
        min = config->rule == FX_SHARES_IID ? 0 : FX_SHARE_MIN_IMAGES;
    for (int k = 0; k < d->n_experts; k++)
        if (shares[k].n < min)
            return fx_fail(err, FX_EUSAGE,
                           "--shares %s: expert %d gets %" PRId64 " images, fewer than %" PRId64
                           " (--min-share)%s",
                           config->text, k, shares[k].n, min,
                           config->rule == FX_SHARES_DIRICHLET
                               ? ": take another --seed or a larger ALPHA"
                               : "");
    return FX_OK;
}

enum fx_status fx_shares_draw(const struct fx_share_config *config, uint64_t seed,
                              struct fx_index_list pool, const struct fx_share_room *room,
                              struct fx_index_list *shares, int *n_shares, struct fx_err *err)
{
    struct drawing d = { config, pool, room, seed, config->n_experts };

    if (d.n_experts == 0 && config->rule != FX_SHARES_FILE)
        d.n_experts = FX_SHARE_EXPERTS;
    if (config->rule == FX_SHARES_IID) {
        draw_iid(&d, shares);
    } else {
        FX_TRY(mark(&d, err));
        collect(&d, shares);
    }
    *n_shares = d.n_experts;
    return check_sizes(&d, shares, err);
}
