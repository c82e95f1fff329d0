/* Evaluation: one forward pass serves the fused head, every expert and their ensemble. */
#ifndef FX_RUN_EVALUATE_H
#define FX_RUN_EVALUATE_H

#include "data/dataset.h"
#include "run/engine.h"

/* Changes the normalised pixels of a batch, f32 (batch->n, 3, 32, 32), before they are classified;
 * batch->pixels is the same array. */
typedef enum fx_status (*fx_pixels_change)(void *ctx, const struct fx_batch *batch, float *pixels,
                                           struct fx_err *err);

/* The images to measure: numbers.n of them, by number in `images`. */
struct fx_subset {
    const char *name;                  /* "val", "test", ...: for progress and events */
    const struct fx_image_set *images; /* borrowed */
    const int64_t *numbers;            /* borrowed; NULL: 0 .. n-1 */
    int64_t n;
    fx_pixels_change change; /* NULL: the images as they are */
    void *change_ctx;        /* borrowed */
};

/* Losses are means over images; accuracies and calibration errors are in percent. */
struct fx_score {
    double loss, accuracy, ece;
};
struct fx_measure {
    int64_t n;
    int n_experts;
    bool has_fused;
    struct fx_score fused, expert[FX_GRAPH_MAX_EXPERTS], ensemble;
    int64_t fused_only, ensemble_only; /* images that one of the two gets right and the other wrong,
                                          for McNemar's test */
    double seconds;
};

/* Numbers of the heads besides the experts, which are 0 .. K-1. */
enum { FX_HEAD_FUSED = -1, FX_HEAD_ENSEMBLE = -2 };

/* Receives the logits of one head for one batch: f32 (n, n_classes), borrowed, of the images
 * [first, first + n) of the subset.  The ensemble's are the mean of the experts'. */
typedef enum fx_status (*fx_logits_sink)(void *ctx, int head, int64_t first, int n,
                                         const float *logits, struct fx_err *err);

/* fx_evaluate: measures a subset with the evaluation program.  The last batch is filled up with
 * repeated images that are not counted, so one program serves any number of images.
 *   sink  may be NULL
 * FX_ESTOPPED when a stop was requested. */
enum fx_status fx_evaluate(struct fx_engine *engine, const struct fx_dataset *dataset,
                           const struct fx_subset *subset, fx_logits_sink sink, void *ctx,
                           struct fx_measure *measure, struct fx_err *err) FX_MUST_CHECK;

/* The subset that an option names: "test", "val", "holdout" (the whole fusion holdout) or "train"
 * (all training images), cut to its first `limit` images (0: all).  FX_EUSAGE when the data set has
 * none of them. */
enum fx_status fx_subset_find(const struct fx_dataset *dataset, const char *name, int64_t limit,
                              struct fx_subset *subset, struct fx_err *err) FX_MUST_CHECK;

/* The training images that are not in `drop` (sorted); *numbers is malloc'ed for the caller. */
enum fx_status fx_index_but(const struct fx_dataset *dataset, struct fx_index_list drop,
                            int64_t **numbers, int64_t *n, struct fx_err *err) FX_MUST_CHECK;

/* The numbers in `from` that are not in `drop` (both sorted); *numbers is malloc'ed. */
enum fx_status fx_index_difference(struct fx_index_list from, struct fx_index_list drop,
                                   int64_t **numbers, int64_t *n, struct fx_err *err) FX_MUST_CHECK;

#endif
