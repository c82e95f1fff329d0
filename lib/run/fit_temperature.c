/* Keeps the logits of the validation images: a temperature is looked for in several passes. */
#include "run/fit_temperature.h"

#include "score/temperature.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The logits of all heads, (n_heads, n, classes). */
struct kept {
    int n_experts;
    size_t n, classes;
    float *logits; /* owned */
};

static float *of_row(const struct kept *kept, int row)
{
    return kept->logits + (size_t)row * kept->n * kept->classes;
}

static enum fx_status keep(void *ctx, int head, int64_t first, int n, const float *logits,
                           struct fx_err *err)
{
    struct kept *kept = ctx;

    (void)err;
    memcpy(of_row(kept, fx_head_row(head, kept->n_experts)) + (size_t)first * kept->classes, logits,
           (size_t)n * kept->classes * sizeof *logits);
    return FX_OK;
}

static enum fx_status fit(const struct kept *kept, const struct fx_judgement *judgement,
                          double temperature[FX_HEADS_MAX], struct fx_err *err)
{
    for (int row = 0; row < judgement->n_heads; row++) {
        temperature[row] = fx_temperature_fit(of_row(kept, row), judgement->labels, judgement->n,
                                              judgement->n_classes);
        if (isnan(temperature[row]))
            return fx_fail(err, FX_EINPUT,
                           "--temperature: logits of validation images are not finite");
    }
    return FX_OK;
}

enum fx_status fx_fit_temperatures(struct fx_engine *engine, const struct fx_dataset *dataset,
                                   double temperature[FX_HEADS_MAX], int64_t *n_fitted,
                                   struct fx_err *err)
{
    struct fx_subset subset;
    struct fx_judgement judgement;
    struct fx_measure measure;
    enum fx_status status = FX_OK;

    FX_TRY(fx_subset_find(dataset, "val", 0, &subset, err));
    FX_TRY(fx_judgement_init(&judgement, &subset, engine->graph, err));
    struct kept kept = { .n_experts = judgement.n_experts,
                         .n = (size_t)judgement.n,
                         .classes = (size_t)judgement.n_classes };
    kept.logits = malloc((size_t)judgement.n_heads * kept.n * kept.classes * sizeof *kept.logits);
    if (!kept.logits) {
        status = fx_fail(err, FX_EFAIL, "out of memory for the logits of the validation images");
        goto out;
    }
    FX_TRY_OUT(fx_evaluate(engine, dataset, &subset, keep, &kept, &measure, err));
    FX_TRY_OUT(fit(&kept, &judgement, temperature, err));
    *n_fitted = judgement.n;
out:
    free(kept.logits);
    fx_judgement_fini(&judgement);
    return status;
}
