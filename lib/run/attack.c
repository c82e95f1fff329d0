/* Gradient-sign attacks in the maximum norm.  With x the image, z the changed one and L its loss:
 *
 *     z <- clip(z + step_size * sign(dL/dz), max(x - epsilon, 0), min(x + epsilon, 1))
 *
 * in pixels from 0 to 1.  The gradient is that of the normalised pixels, which has the same sign.
 * The images are not rounded to bytes. */
#include "run/attack.h"

#include "base/jsonl.h"
#include "base/philox.h"
#include "base/stop.h"
#include "base/words.h"
#include "run/assessment.h"
#include "run/progress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS_DEFAULT = 10 };
static const char epsilon_default[] = "8/255", step_size_default[] = "2/255";

/* ---- options --------------------------------------------------------------------------------- */

/* A number or a fraction. */
static enum fx_status parse_size(const char *option, const char *text, double *size,
                                 struct fx_err *err)
{
    char *end;
    double divisor = 1;

    *size = strtod(text, &end);
    if (end != text && *end == '/') {
        const char *second = end + 1;
        divisor = strtod(second, &end);
        end = end == second ? (char *)"?" : end;
    }
    *size /= divisor;
    if (end == text || *end != '\0' || !(*size > 0 && *size <= 1))
        return fx_fail(err, FX_EUSAGE,
                       "--%s %s: must be above 0, at most 1, a part of the range of a pixel: 8/255",
                       option, text);
    return FX_OK;
}

enum fx_status fx_attack_parse(const struct fx_attack_options *options, uint64_t seed,
                               struct fx_attack *attack, struct fx_err *err)
{
    int kind = options->kind ? fx_word_find(FX_ATTACKS, options->kind) : -1;
    const char *of_pgd = options->step_size   ? "attack-step-size"
                         : options->steps > 0 ? "attack-steps"
                                              : NULL;

    if (kind < 0 && options->epsilon)
        return fx_fail(err, FX_EUSAGE, "--epsilon: has a meaning with --attack only");
    if (kind != FX_ATTACK_PGD && of_pgd)
        return fx_fail(err, FX_EUSAGE, "--%s: has a meaning with --attack pgd only", of_pgd);
    if (kind < 0)
        return FX_OK;
    attack->kind = (enum fx_attack_kind)kind;
    attack->steps = 1;
    attack->seed = seed;
    FX_TRY(parse_size("epsilon", options->epsilon ? options->epsilon : epsilon_default,
                      &attack->epsilon, err));
    attack->step_size = attack->epsilon;
    if (kind == FX_ATTACK_FGSM)
        return FX_OK;
    attack->steps = options->steps > 0 ? options->steps : STEPS_DEFAULT;
    return parse_size("attack-step-size",
                      options->step_size ? options->step_size : step_size_default,
                      &attack->step_size, err);
}

/* ---- the images of a batch ------------------------------------------------------------------- */

struct attacker {
    const struct fx_attack *attack; /* borrowed, and so are the next three */
    struct fx_engine *engine;
    const struct fx_image_set *images;
    const struct fx_dataset *dataset; /* its mean and std normalise the pixels */
    float *changed;                   /* owned; (eval_n, 3, 32, 32), from 0 to 1 */
    float *gradient;                  /* owned; the same shape */
};

/* Pixel i of the batch as it is in the data set. */
static float pixel_of(const struct attacker *a, const struct fx_batch *batch, size_t i)
{
    size_t image = batch->numbers[i / FX_IMAGE_BYTES];

    return (float)a->images->images[image * FX_IMAGE_BYTES + i % FX_IMAGE_BYTES] / 255.0f;
}

/* Adds `by` to pixel i, as far as epsilon and the range of a pixel allow. */
static void move(const struct attacker *a, const struct fx_batch *batch, size_t i, float by)
{
    float x = pixel_of(a, batch, i), epsilon = (float)a->attack->epsilon;
    float low = fmaxf(x - epsilon, 0), high = fminf(x + epsilon, 1);

    a->changed[i] = fminf(fmaxf(a->changed[i] + by, low), high);
}

/* A number from -1 to 1 for each pixel of an image. */
static float draw(const struct attacker *a, uint32_t image, size_t i)
{
    const uint32_t counter[4] = { fx_rng_word(FX_RNG_ATTACK, 0, 0), 0, image, (uint32_t)i / 4 };
    uint32_t words[4];

    fx_philox(counter, a->attack->seed, words);
    return 2 * fx_uniform24(words[i % 4]) - 1;
}

static void start(const struct attacker *a, const struct fx_batch *batch)
{
    size_t n = (size_t)batch->n * FX_IMAGE_BYTES;
    float reach = a->attack->kind == FX_ATTACK_PGD ? (float)a->attack->epsilon : 0;

    for (size_t i = 0; i < n; i++) {
        a->changed[i] = pixel_of(a, batch, i);
        if (reach > 0)
            move(a, batch, i,
                 reach * draw(a, batch->numbers[i / FX_IMAGE_BYTES], i % FX_IMAGE_BYTES));
    }
}

static void normalise(const struct attacker *a, size_t n, float *pixels)
{
    for (size_t i = 0; i < n; i++) {
        size_t c = i % FX_IMAGE_BYTES / FX_IMAGE_PIXELS;
        pixels[i] = (a->changed[i] - a->dataset->mean[c]) / a->dataset->std[c];
    }
}

static enum fx_status find_gradient(const struct attacker *a, const struct fx_batch *batch,
                                    struct fx_err *err)
{
    const struct fx_backend *backend = a->engine->backend;
    const struct fx_loss_config config = { .alpha = 0 };
    struct fx_program *program = a->engine->train;

    backend->step_begin(a->engine->model);
    FX_TRY(backend->input(program, batch, err));
    FX_TRY(backend->forward(program, err));
    FX_TRY(backend->loss(program, &config, err));
    FX_TRY(backend->backward(program, false, err));
    return backend->value_read(program, a->engine->graph->input, true, a->gradient, err);
}

/* Of the fx_pixels_change kind; batch->pixels is pixels. */
static enum fx_status change(void *ctx, const struct fx_batch *batch, float *pixels,
                             struct fx_err *err)
{
    const struct attacker *a = ctx;
    size_t n = (size_t)batch->n * FX_IMAGE_BYTES;
    float size = (float)a->attack->step_size;

    start(a, batch);
    for (int64_t step = 0; step < a->attack->steps; step++) {
        if (fx_stop_requested())
            return fx_fail(err, FX_ESTOPPED, "stopped");
        normalise(a, n, pixels);
        FX_TRY(find_gradient(a, batch, err));
        for (size_t i = 0; i < n; i++)
            move(a, batch, i, size * (float)((a->gradient[i] > 0) - (a->gradient[i] < 0)));
    }
    normalise(a, n, pixels);
    return FX_OK;
}

/* ---- the event ------------------------------------------------------------------------------- */

static enum fx_status make_event(const struct fx_attack *attack, const char *split,
                                 const struct fx_measure *measure, char **line, struct fx_err *err)
{
    double accuracy[FX_HEADS_MAX], loss[FX_HEADS_MAX];
    int k = measure->n_experts;
    char word[FX_WORD_BYTES];
    json_t *event = json_pack("{s:s, s:s, s:s, s:I, s:f, s:I, s:f}", "event", "attack", "attack",
                              fx_word_text(FX_ATTACKS, (int)attack->kind, word), "split", split,
                              "images", (json_int_t)measure->n, "epsilon", attack->epsilon, "steps",
                              (json_int_t)attack->steps, "step_size", attack->step_size);

    for (int head = FX_HEAD_ENSEMBLE; head < k; head++) {
        const struct fx_score *score = head >= 0                  ? &measure->expert[head]
                                       : head == FX_HEAD_ENSEMBLE ? &measure->ensemble
                                                                  : &measure->fused;
        accuracy[fx_head_row(head, k)] = score->accuracy;
        loss[fx_head_row(head, k)] = score->loss;
    }
    bool is_good = event && fx_heads_put(event, "accuracy", accuracy, k, measure->has_fused) &&
                   fx_heads_put(event, "loss", loss, k, measure->has_fused);
    *line = is_good ? fx_json_line(event) : NULL;
    json_decref(event);
    return *line ? FX_OK : fx_fail(err, FX_EFAIL, "metrics: out of memory");
}

enum fx_status fx_attack_event(struct fx_engine *engine, const struct fx_dataset *dataset,
                               const struct fx_subset *subset, const struct fx_attack *attack,
                               char **line, struct fx_err *err)
{
    size_t n_bytes = (size_t)engine->eval_n * FX_IMAGE_BYTES * sizeof(float);
    struct attacker a = { .attack = attack,
                          .engine = engine,
                          .images = subset->images,
                          .dataset = dataset,
                          .changed = malloc(n_bytes),
                          .gradient = malloc(n_bytes) };
    struct fx_subset attacked = *subset;
    struct fx_measure measure;
    char what[FX_WORD_BYTES];
    enum fx_status status;

    attacked.change = change;
    attacked.change_ctx = &a;
    attacked.name = fx_word_text(FX_ATTACKS, (int)attack->kind, what);
    if (!a.changed || !a.gradient) {
        status = fx_fail(err, FX_EFAIL, "out of memory for the images of a batch");
        goto out;
    }
    FX_TRY_OUT(fx_evaluate(engine, dataset, &attacked, NULL, NULL, &measure, err));
    fx_progress_measure(attacked.name, &measure);
    status = make_event(attack, subset->name, &measure, line, err);
out:
    free(a.changed);
    free(a.gradient);
    return status;
}
