/* Three numbers of an image: the largest probability and the energy of each head, and the
 * divergence of the experts. */
#include "run/outside.h"

#include "base/jsonl.h"
#include "run/assessment.h"
#include "score/separation.h"

#include <stdlib.h>
#include <string.h>

/* The two judgements side by side, and room for a number of each image. */
struct comparison {
    const struct fx_judgement *inside, *outside; /* borrowed */
    double *of_inside, *of_outside;              /* owned */
};

enum number { PROBABILITY, ENERGY, DIVERGENCE };

/* Larger is more like an image of a known class. */
static double number_of(const struct fx_judgement *judgement, int row, int64_t i, enum number which)
{
    const struct fx_verdict *verdict = fx_judgement_of(judgement, row) + i;

    return which == PROBABILITY ? verdict->probability
           : which == ENERGY    ? -verdict->energy
                                : -judgement->divergence[i];
}

static enum fx_status compare(const struct comparison *both, int row, enum number which,
                              struct fx_separation *separation, struct fx_err *err)
{
    for (int64_t i = 0; i < both->inside->n; i++)
        both->of_inside[i] = number_of(both->inside, row, i, which);
    for (int64_t i = 0; i < both->outside->n; i++)
        both->of_outside[i] = number_of(both->outside, row, i, which);
    return fx_separate(both->of_inside, both->inside->n, both->of_outside, both->outside->n,
                       separation, err);
}

/* ---- the event ------------------------------------------------------------------------------- */

static const char *const measures[4] = { "auroc", "aupr_in", "aupr_out", "fpr95" };

static void spread(const struct fx_separation *separation, double values[4])
{
    values[0] = separation->auroc;
    values[1] = separation->aupr_in;
    values[2] = separation->aupr_out;
    values[3] = separation->fpr95;
}

/* A number that every head has. */
static enum fx_status put_heads(const struct comparison *both, enum number which, const char *name,
                                json_t *event, struct fx_err *err)
{
    double values[4][FX_HEADS_MAX], of_head[4];
    struct fx_separation separation;
    char member[32];
    bool is_good = true;

    for (int row = 0; row < both->inside->n_heads; row++) {
        FX_TRY(compare(both, row, which, &separation, err));
        spread(&separation, of_head);
        for (int i = 0; i < 4; i++)
            values[i][row] = of_head[i];
    }
    for (int i = 0; i < 4; i++) {
        snprintf(member, sizeof member, "%s_%s", name, measures[i]);
        is_good &= fx_heads_put(event, member, values[i], both->inside->n_experts,
                                both->inside->has_fused);
    }
    return is_good ? FX_OK : fx_fail(err, FX_EFAIL, "metrics: out of memory");
}

static enum fx_status put_divergence(const struct comparison *both, json_t *event,
                                     struct fx_err *err)
{
    struct fx_separation separation;
    double values[4];
    char member[32];
    bool is_good = true;

    FX_TRY(compare(both, 0, DIVERGENCE, &separation, err));
    spread(&separation, values);
    for (int i = 0; i < 4; i++) {
        snprintf(member, sizeof member, "disagreement_%s", measures[i]);
        is_good &= json_object_set_new(event, member, json_real(values[i])) == 0;
    }
    return is_good ? FX_OK : fx_fail(err, FX_EFAIL, "metrics: out of memory");
}

static enum fx_status make_event(struct comparison *both, const char *digest, char **line,
                                 struct fx_err *err)
{
    json_t *event = json_pack("{s:s, s:o, s:I, s:I}", "event", "ood", "data_digest",
                              fx_json_text(digest), "images", (json_int_t)both->inside->n,
                              "ood_images", (json_int_t)both->outside->n);
    enum fx_status status = FX_OK;

    both->of_inside = malloc((size_t)both->inside->n * sizeof *both->of_inside);
    both->of_outside = malloc((size_t)both->outside->n * sizeof *both->of_outside);
    if (!event || !both->of_inside || !both->of_outside) {
        status = fx_fail(err, FX_EFAIL, "metrics: out of memory");
        goto out;
    }
    FX_TRY_OUT(put_heads(both, PROBABILITY, "msp", event, err));
    FX_TRY_OUT(put_heads(both, ENERGY, "energy", event, err));
    if (both->inside->n_experts > 1)
        FX_TRY_OUT(put_divergence(both, event, err));
    *line = fx_json_line(event);
    if (!*line)
        status = fx_fail(err, FX_EFAIL, "metrics: out of memory");
out:
    json_decref(event);
    free(both->of_inside);
    free(both->of_outside);
    return status;
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* The labels of other classes mean nothing, and may be beyond the model's: all are 0. */
static enum fx_status judge(struct fx_engine *engine, const struct fx_dataset *dataset,
                            const struct fx_subset *subset, struct fx_judgement *outside,
                            struct fx_err *err)
{
    uint8_t *labels = calloc((size_t)subset->images->n, 1);
    struct fx_image_set images = *subset->images;
    struct fx_subset unlabelled = { .name = "ood", .images = &images, .n = subset->n };
    struct fx_measure measure;
    enum fx_status status;

    if (!labels)
        return fx_fail(err, FX_EFAIL, "out of memory for labels");
    images.fine = images.coarse = labels;
    FX_TRY_OUT(fx_judgement_init(outside, &unlabelled, engine->graph, err));
    status = fx_evaluate(engine, dataset, &unlabelled, fx_judgement_take, outside, &measure, err);
out:
    free(labels);
    return status;
}

enum fx_status fx_outside_event(struct fx_engine *engine, const struct fx_dataset *dataset,
                                const struct fx_judgement *inside, const char *path, int64_t limit,
                                char **line, struct fx_err *err)
{
    struct fx_judgement outside = { 0 };
    struct comparison both = { .inside = inside, .outside = &outside };
    struct fx_dataset other;
    struct fx_subset subset;
    enum fx_status status;

    FX_TRY(fx_dataset_open(&other, path, err));
    if (strcmp(other.digest, dataset->digest) == 0) {
        status = fx_fail(err, FX_EUSAGE, "--ood %s: is the data set that is measured", path);
        goto out;
    }
    FX_TRY_OUT(fx_subset_find(&other, "test", limit, &subset, err));
    FX_TRY_OUT(judge(engine, dataset, &subset, &outside, err));
    status = make_event(&both, other.digest, line, err);
out:
    fx_judgement_fini(&outside);
    fx_dataset_close(&other);
    return status;
}
