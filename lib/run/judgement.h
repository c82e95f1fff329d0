/* The predictions of every head for every image of an evaluation (score/verdict.h). */
#ifndef FX_RUN_JUDGEMENT_H
#define FX_RUN_JUDGEMENT_H

#include "run/evaluate.h"
#include "score/verdict.h"

enum { FX_HEADS_MAX = FX_GRAPH_MAX_EXPERTS + 2 };

struct fx_judgement {
    int64_t n;
    int n_experts, n_heads, n_classes;
    bool has_fused;
    uint8_t *labels;                  /* owned; (n) */
    int64_t *numbers;                 /* owned; (n): image numbers in the data set */
    struct fx_verdict *verdicts;      /* owned; (n_heads, n) by fx_head_row */
    double temperature[FX_HEADS_MAX]; /* of each row; 1 unless the caller says otherwise */
    double *divergence;               /* owned; (n): of the experts (fx_divergence_add) */
    double *together;                 /* owned: mean probabilities of the experts, of a batch */
    size_t cap_together;
};

/* fx_judgement_init: allocates for the images of a subset; FX_EFAIL when memory is short.
 * fx_judgement_fini accepts a zeroed record. */
enum fx_status fx_judgement_init(struct fx_judgement *judgement, const struct fx_subset *subset,
                                 const struct fx_graph *graph, struct fx_err *err) FX_MUST_CHECK;
void fx_judgement_fini(struct fx_judgement *judgement);

/* fx_judgement_take: an fx_logits_sink that fills the judgement ctx. */
enum fx_status fx_judgement_take(void *ctx, int head, int64_t first, int n, const float *logits,
                                 struct fx_err *err) FX_MUST_CHECK;

/* fx_head_row: the row of a head: experts first, then the ensemble, then the fused head. */
static inline int fx_head_row(int head, int n_experts)
{
    return head >= 0 ? head : head == FX_HEAD_ENSEMBLE ? n_experts : n_experts + 1;
}

static inline const struct fx_verdict *fx_judgement_of(const struct fx_judgement *judgement,
                                                       int row)
{
    return judgement->verdicts + (size_t)row * (size_t)judgement->n;
}

/* fx_judgement_main_row: the row of the fused head, or of the ensemble where there is none. */
static inline int fx_judgement_main_row(const struct fx_judgement *judgement)
{
    return judgement->n_heads - 1;
}

#endif
