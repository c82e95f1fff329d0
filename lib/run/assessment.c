/* The statistics of lib/score over the heads of a judgement. */
#include "run/assessment.h"

#include "base/log.h"
#include "score/summary.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SERIES_MAX = 2 * FX_HEADS_MAX + 1 };

static void set(struct fx_assessment *all, enum fx_facet facet, int row, double value)
{
    all->has[facet] = true;
    all->facet[facet][row] = value;
}

static double superclass_accuracy(const struct fx_judgement *judgement, int row,
                                  const uint8_t *superclass)
{
    const struct fx_verdict *verdicts = fx_judgement_of(judgement, row);
    int64_t n_right = 0;

    for (int64_t i = 0; i < judgement->n; i++)
        n_right += superclass[verdicts[i].predicted] == superclass[judgement->labels[i]];
    return 100.0 * (double)n_right / (double)judgement->n;
}

static enum fx_status assess_head(const struct fx_judgement *judgement,
                                  const struct fx_assess_options *options, int row,
                                  struct fx_assessment *all, struct fx_err *err)
{
    struct fx_summary plain, scaled;

    FX_TRY(fx_summarise(fx_judgement_of(judgement, row), judgement->n, &plain, err));
    set(all, FX_FACET_TOP5, row, plain.top5);
    set(all, FX_FACET_BRIER, row, plain.brier);
    set(all, FX_FACET_ECE_MASS, row, plain.ece_mass);
    if (options->superclass)
        set(all, FX_FACET_SUPERCLASS, row,
            superclass_accuracy(judgement, row, options->superclass));
    if (!options->scaled)
        return FX_OK;
    FX_TRY(fx_summarise(fx_judgement_of(options->scaled, row), judgement->n, &scaled, err));
    set(all, FX_FACET_TEMPERATURE, row, options->scaled->temperature[row]);
    set(all, FX_FACET_SCALED_LOSS, row, scaled.loss);
    set(all, FX_FACET_SCALED_BRIER, row, scaled.brier);
    set(all, FX_FACET_SCALED_ECE, row, scaled.ece);
    set(all, FX_FACET_SCALED_ECE_MASS, row, scaled.ece_mass);
    return FX_OK;
}

/* ---- intervals ------------------------------------------------------------------------------- */

/* What the bootstrap draws: of each image right or wrong and the loss of every head, and whether
 * only the fused head is right (+) or only the ensemble (-). */
static void fill_series(const struct fx_judgement *judgement, int64_t image, double *series)
{
    int s = 0;

    for (int row = 0; row < judgement->n_heads; row++) {
        const struct fx_verdict *verdict = fx_judgement_of(judgement, row) + image;
        series[s++] = verdict->rank == 0 ? 100 : 0;
        series[s++] = verdict->loss;
    }
    if (judgement->has_fused)
        series[s] = series[2 * (judgement->n_experts + 1)] - series[2 * judgement->n_experts];
}

static enum fx_status find_intervals(const struct fx_judgement *judgement,
                                     const struct fx_assess_options *options,
                                     struct fx_assessment *all, struct fx_err *err)
{
    struct fx_interval intervals[SERIES_MAX];
    int n_series = 2 * judgement->n_heads + judgement->has_fused;
    double *values = malloc((size_t)judgement->n * (size_t)n_series * sizeof *values);

    if (!values)
        return fx_fail(err, FX_EFAIL, "out of memory for the bootstrap");
    for (int64_t i = 0; i < judgement->n; i++)
        fill_series(judgement, i, values + (size_t)i * (size_t)n_series);
    enum fx_status status = fx_bootstrap_means(values, n_series, judgement->n, options->n_rounds,
                                               options->seed, intervals, err);
    free(values);
    FX_TRY(status);
    for (int row = 0; row < judgement->n_heads; row++) {
        set(all, FX_FACET_ACCURACY_LOW, row, intervals[2 * row].low);
        set(all, FX_FACET_ACCURACY_HIGH, row, intervals[2 * row].high);
        set(all, FX_FACET_LOSS_LOW, row, intervals[2 * row + 1].low);
        set(all, FX_FACET_LOSS_HIGH, row, intervals[2 * row + 1].high);
    }
    if (judgement->has_fused)
        all->gain_interval = intervals[n_series - 1];
    all->n_rounds = options->n_rounds;
    return FX_OK;
}

/* ---- heads beside each other ----------------------------------------------------------------- */

static void compare_experts(const struct fx_judgement *judgement, struct fx_assessment *all)
{
    for (int a = 0; a < judgement->n_experts; a++)
        for (int b = 0; b < judgement->n_experts; b++)
            all->disagreement[a][b] = fx_disagreement(fx_judgement_of(judgement, a),
                                                      fx_judgement_of(judgement, b), judgement->n);
}

static void compare_fused(const struct fx_judgement *judgement, struct fx_assessment *all)
{
    const struct fx_verdict *ensemble = fx_judgement_of(judgement, judgement->n_experts);
    const struct fx_verdict *fused = fx_judgement_of(judgement, judgement->n_experts + 1);
    int64_t fused_only = 0, ensemble_only = 0;

    for (int64_t i = 0; i < judgement->n; i++) {
        fused_only += fused[i].rank == 0 && ensemble[i].rank != 0;
        ensemble_only += fused[i].rank != 0 && ensemble[i].rank == 0;
    }
    all->gain = 100.0 * (double)(fused_only - ensemble_only) / (double)judgement->n;
    all->mcnemar = fx_mcnemar(fused_only, ensemble_only);
}

enum fx_status fx_assess(const struct fx_judgement *judgement,
                         const struct fx_assess_options *options, struct fx_assessment *assessment,
                         struct fx_err *err)
{
    *assessment = (struct fx_assessment){ .n_experts = judgement->n_experts,
                                          .has_fused = judgement->has_fused,
                                          .n_fitted = options->n_fitted };
    for (int row = 0; row < judgement->n_heads; row++)
        FX_TRY(assess_head(judgement, options, row, assessment, err));
    compare_experts(judgement, assessment);
    if (judgement->has_fused)
        compare_fused(judgement, assessment);
    return options->n_rounds > 0 ? find_intervals(judgement, options, assessment, err) : FX_OK;
}

/* ---- members of the event -------------------------------------------------------------------- */

static const char *const names[FX_N_FACETS] = {
    [FX_FACET_TOP5] = "top5",
    [FX_FACET_SUPERCLASS] = "superclass_accuracy",
    [FX_FACET_BRIER] = "brier",
    [FX_FACET_ECE_MASS] = "ece_mass",
    [FX_FACET_ACCURACY_LOW] = "accuracy_low",
    [FX_FACET_ACCURACY_HIGH] = "accuracy_high",
    [FX_FACET_LOSS_LOW] = "loss_low",
    [FX_FACET_LOSS_HIGH] = "loss_high",
    [FX_FACET_TEMPERATURE] = "temperature",
    [FX_FACET_SCALED_LOSS] = "scaled_loss",
    [FX_FACET_SCALED_BRIER] = "scaled_brier",
    [FX_FACET_SCALED_ECE] = "scaled_ece",
    [FX_FACET_SCALED_ECE_MASS] = "scaled_ece_mass",
};

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *whole_number(double value)
{
    return json_integer((json_int_t)value);
}

typedef json_t *(*make_number)(double value);

static json_t *numbers(const double *values, int n, make_number make)
{
    json_t *array = json_array();

    for (int i = 0; i < n && array; i++)
        if (json_array_append_new(array, make(values[i])) != 0) {
            json_decref(array);
            array = NULL;
        }
    return array;
}

static bool put(json_t *event, const char *name, json_t *value)
{
    return json_object_set_new(event, name, value) == 0;
}

static bool put_heads(json_t *event, const char *name, const double *values, int n_experts,
                      bool has_fused, make_number make)
{
    char of_experts[64], of_ensemble[64];

    snprintf(of_experts, sizeof of_experts, "expert_%s", name);
    snprintf(of_ensemble, sizeof of_ensemble, "ensemble_%s", name);
    return (!has_fused || put(event, name, make(values[n_experts + 1]))) &&
           put(event, of_experts, numbers(values, n_experts, make)) &&
           put(event, of_ensemble, make(values[n_experts]));
}

bool fx_heads_put(json_t *event, const char *name, const double *values, int n_experts,
                  bool has_fused)
{
    return put_heads(event, name, values, n_experts, has_fused, number);
}

bool fx_heads_put_whole(json_t *event, const char *name, const double *values, int n_experts,
                        bool has_fused)
{
    return put_heads(event, name, values, n_experts, has_fused, whole_number);
}

static bool put_disagreement(const struct fx_assessment *assessment, json_t *event)
{
    json_t *rows = json_array();
    bool is_good = rows;

    for (int a = 0; a < assessment->n_experts && is_good; a++)
        is_good = json_array_append_new(rows, numbers(assessment->disagreement[a],
                                                      assessment->n_experts, number)) == 0;
    return put(event, "disagreement", rows) && is_good;
}

/* The mean over pairs. */
static double mean_disagreement(const struct fx_assessment *assessment)
{
    int k = assessment->n_experts;
    double sum = 0;

    for (int a = 0; a < k; a++)
        for (int b = 0; b < k; b++)
            sum += assessment->disagreement[a][b];
    return sum / (k * (k - 1));
}

bool fx_assessment_put(const struct fx_assessment *assessment, json_t *event)
{
    bool is_good = true;

    for (int f = 0; f < FX_N_FACETS; f++)
        if (assessment->has[f])
            is_good &= fx_heads_put(event, names[f], assessment->facet[f], assessment->n_experts,
                                    assessment->has_fused);
    if (assessment->n_experts > 1)
        is_good &= put_disagreement(assessment, event) &&
                   put(event, "mean_disagreement", number(mean_disagreement(assessment)));
    if (assessment->has_fused)
        is_good &= put(event, "gain", number(assessment->gain)) &&
                   put(event, "mcnemar_p", number(assessment->mcnemar));
    if (assessment->has_fused && assessment->n_rounds > 0)
        is_good &= put(event, "gain_low", number(assessment->gain_interval.low)) &&
                   put(event, "gain_high", number(assessment->gain_interval.high));
    if (assessment->n_rounds > 0)
        is_good &= put(event, "bootstrap", json_integer(assessment->n_rounds));
    if (assessment->n_fitted > 0)
        is_good &= put(event, "temperature_split", json_string("val")) &&
                   put(event, "temperature_images", json_integer(assessment->n_fitted));
    return is_good;
}

void fx_assessment_log(const struct fx_assessment *assessment)
{
    const double *temperature = assessment->facet[FX_FACET_TEMPERATURE];
    int n_heads = assessment->n_experts + 1 + assessment->has_fused;
    char text[FX_HEADS_MAX * 8 + 1] = "";

    if (assessment->has_fused && assessment->n_rounds > 0)
        fx_log_info("fused against ensemble: %+.2f points, 95 %% from %+.2f to %+.2f; McNemar's "
                    "p %.2g",
                    assessment->gain, assessment->gain_interval.low, assessment->gain_interval.high,
                    assessment->mcnemar);
    if (assessment->n_fitted == 0)
        return;
    for (int row = 0; row < n_heads; row++)
        snprintf(text + strlen(text), sizeof text - strlen(text), " %.3f", temperature[row]);
    fx_log_info("temperatures fitted on %lld images of val: experts, ensemble%s:%s",
                (long long)assessment->n_fitted, assessment->has_fused ? ", fused" : "", text);
}
