/* Verdicts are taken as the logits come; the logits are not kept. */
#include "run/judgement.h"

#include <stdlib.h>
#include <string.h>

enum fx_status fx_judgement_init(struct fx_judgement *judgement, const struct fx_subset *subset,
                                 const struct fx_graph *graph, struct fx_err *err)
{
    size_t n = (size_t)subset->n;

    *judgement = (struct fx_judgement){ .n = subset->n,
                                        .n_experts = graph->n_experts,
                                        .n_heads = graph->n_experts + 1 + (graph->fused >= 0),
                                        .n_classes = graph->n_classes,
                                        .has_fused = graph->fused >= 0 };
    judgement->labels = malloc(n);
    judgement->numbers = malloc(n * sizeof *judgement->numbers);
    judgement->divergence = calloc(n, sizeof *judgement->divergence);
    judgement->verdicts = calloc(n * (size_t)judgement->n_heads, sizeof *judgement->verdicts);
    if (!judgement->labels || !judgement->numbers || !judgement->verdicts ||
        !judgement->divergence) {
        fx_judgement_fini(judgement);
        return fx_fail(err, FX_EFAIL, "out of memory for the verdicts about %lld images",
                       (long long)subset->n);
    }
    for (size_t i = 0; i < n; i++) {
        judgement->numbers[i] = !subset->numbers ? (int64_t)i : subset->numbers[i];
        judgement->labels[i] = subset->images->fine[judgement->numbers[i]];
    }
    for (int row = 0; row < judgement->n_heads; row++)
        judgement->temperature[row] = 1;
    return FX_OK;
}

void fx_judgement_fini(struct fx_judgement *judgement)
{
    free(judgement->labels);
    free(judgement->numbers);
    free(judgement->verdicts);
    free(judgement->divergence);
    free(judgement->together);
    *judgement = (struct fx_judgement){ 0 };
}

/* Expert after expert: its entropy is taken from the divergence and its probabilities are added up;
 * behind the last one the entropy of their mean is added. */
static enum fx_status add_expert(struct fx_judgement *judgement, int expert, int64_t first, int n,
                                 const float *logits, struct fx_err *err)
{
    size_t classes = (size_t)judgement->n_classes, n_wanted = (size_t)n * classes;

    if (n_wanted > judgement->cap_together) {
        double *grown = realloc(judgement->together, n_wanted * sizeof *grown);
        if (!grown)
            return fx_fail(err, FX_EFAIL, "out of memory for the probabilities of a batch");
        judgement->together = grown;
        judgement->cap_together = n_wanted;
    }
    if (expert == 0)
        memset(judgement->together, 0, n_wanted * sizeof *judgement->together);
    for (size_t i = 0; i < (size_t)n; i++)
        judgement->divergence[(size_t)first + i] += fx_divergence_add(
            judgement->together + i * classes, logits + i * classes, judgement->n_classes,
            judgement->n_experts, expert == judgement->n_experts - 1);
    return FX_OK;
}

enum fx_status fx_judgement_take(void *ctx, int head, int64_t first, int n, const float *logits,
                                 struct fx_err *err)
{
    struct fx_judgement *judgement = ctx;
    int row = fx_head_row(head, judgement->n_experts), classes = judgement->n_classes;

    if (row >= judgement->n_heads)
        return fx_fail(err, FX_EFAIL, "no place for the verdicts of head %d", head);
    if (head >= 0)
        FX_TRY(add_expert(judgement, head, first, n, logits, err));
    struct fx_verdict *verdicts = judgement->verdicts + (size_t)row * (size_t)judgement->n;
    for (int64_t i = 0; i < n; i++)
        verdicts[first + i] =
            fx_verdict_of(logits + (size_t)i * (size_t)classes, classes,
                          judgement->labels[first + i], judgement->temperature[row]);
    return FX_OK;
}
