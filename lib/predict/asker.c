/* A batch of images, from bytes to answers. */
#include "predict/asker.h"

#include "base/log.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct fx_question {
    char *name; /* owned, NULL: none */
    char *why;  /* owned; NULL: it is in images, in the order of those that are */
    json_t *id; /* owned, NULL: none */
    int label;
};

enum fx_status fx_asker_open(struct fx_asker *asker, struct fx_err *err)
{
    const struct fusion_info *info = fusion_describe(asker->model);
    size_t batch = (size_t)info->batch, classes = (size_t)info->n_classes;

    asker->questions = calloc(batch, sizeof *asker->questions);
    asker->images = malloc(batch * FUSION_IMAGE_BYTES);
    asker->fused = malloc(batch * classes * sizeof *asker->fused);
    asker->experts = malloc(batch * classes * (size_t)info->n_experts * sizeof *asker->experts);
    if (!asker->questions || !asker->images || !asker->fused || !asker->experts)
        return fx_fail(err, FX_EFAIL, "out of memory for %zu images", batch);
    fx_answer_head(info, asker->format, asker->top, asker->out);
    return FX_OK;
}

static void forget(struct fx_asker *asker)
{
    for (int i = 0; i < asker->n; i++) {
        free(asker->questions[i].name);
        free(asker->questions[i].why);
        json_decref(asker->questions[i].id);
    }
    asker->n = asker->n_images = 0;
}

void fx_asker_close(struct fx_asker *asker)
{
    forget(asker);
    free(asker->questions);
    free(asker->images);
    free(asker->fused);
    free(asker->experts);
}

/* ---- answers --------------------------------------------------------------------------------- */

static enum fx_status answer_failed(struct fx_asker *asker, const char *name, const json_t *id,
                                    const char *why, struct fx_err *err)
{
    if (!asker->is_stream) {
        fflush(asker->out);
        fx_log_error("%s", why);
    }
    return asker->format == FX_ANSWER_JSON ? fx_answer_error(name, id, why, asker->out, err)
                                           : FX_OK;
}

/* Logits to probabilities, in place; false when one is no number. */
static bool normalise(float *logits, int n_rows, int n_classes)
{
    for (int i = 0; i < n_rows * n_classes; i++)
        if (!isfinite(logits[i]))
            return false;
    for (int k = 0; k < n_rows; k++)
        fusion_probabilities(logits + k * n_classes, n_classes, logits + k * n_classes);
    return true;
}

static enum fx_status answer_one(struct fx_asker *asker, const struct fx_question *question,
                                 int image, struct fx_err *err)
{
    const struct fusion_info *info = fusion_describe(asker->model);
    size_t n_classes = (size_t)info->n_classes, n_experts = (size_t)info->n_experts;
    struct fx_answer answer = {
        .info = info,
        .name = question->name,
        .id = question->id,
        .label = question->label,
        .top = asker->top,
        .fused = asker->fused + (size_t)image * n_classes,
        .experts = asker->experts + (size_t)image * n_classes * n_experts,
    };
    struct fx_err why = { 0 };

    if (normalise((float *)answer.fused, 1, info->n_classes) &&
        normalise((float *)answer.experts, info->n_experts, info->n_classes))
        return fx_answer_write(&answer, asker->format, asker->out, err);
    enum fx_status status = fx_fail(&why, FX_EINPUT, "%s: the model's logits are not finite",
                                    question->name ? question->name : "image");
    if (asker->status == FX_OK)
        asker->status = status;
    return answer_failed(asker, question->name, question->id, why.msg, err);
}

enum fx_status fx_asker_answer(struct fx_asker *asker, struct fx_err *err)
{
    struct fusion_error error = { 0 };
    enum fx_status status = FX_OK;
    int image = 0;

    if (fusion_predict(asker->model, asker->images, (size_t)asker->n_images, asker->fused,
                       asker->experts, &error) != FUSION_OK)
        return fx_fail(err, (enum fx_status)error.status, "%s", error.text);
    for (int i = 0; i < asker->n && status == FX_OK; i++) {
        const struct fx_question *question = &asker->questions[i];
        if (question->why)
            status = answer_failed(asker, question->name, question->id, question->why, err);
        else
            status = answer_one(asker, question, image++, err);
    }
    forget(asker);
    if (status == FX_OK && asker->is_stream && fflush(asker->out) != 0)
        return fx_fail_errno(err, "stdout");
    return status;
}

/* ---- questions ------------------------------------------------------------------------------- */

/* A place for one more; what was waiting is answered where there is none left. */
static enum fx_status next_question(struct fx_asker *asker, const char *name, json_t *id,
                                    struct fx_question **question, struct fx_err *err)
{
    if (asker->n == fusion_describe(asker->model)->batch)
        FX_TRY(fx_asker_answer(asker, err));
    *question = &asker->questions[asker->n];
    **question = (struct fx_question){ .name = name ? strdup(name) : NULL, .label = -1 };
    if (name && !(*question)->name)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", name);
    (*question)->id = json_incref(id);
    asker->n++;
    return FX_OK;
}

enum fx_status fx_ask_nothing(struct fx_asker *asker, const char *name, json_t *id,
                              const struct fx_err *why, struct fx_err *err)
{
    struct fx_question *question;

    FX_TRY(next_question(asker, name, id, &question, err));
    question->why = strdup(why->msg);
    if (asker->status == FX_OK)
        asker->status = why->status;
    return question->why ? FX_OK : fx_fail(err, FX_EFAIL, "out of memory");
}

enum fx_status fx_ask_pixels(struct fx_asker *asker, const char *name, int label,
                             const uint8_t *image, struct fx_err *err)
{
    struct fx_question *question;

    FX_TRY(next_question(asker, name, NULL, &question, err));
    question->label = label;
    memcpy(asker->images + (size_t)asker->n_images++ * FUSION_IMAGE_BYTES, image,
           FUSION_IMAGE_BYTES);
    return FX_OK;
}

enum fx_status fx_ask_picture(struct fx_asker *asker, const char *name, json_t *id,
                              const uint8_t *bytes, size_t n, size_t *n_read, struct fx_err *err)
{
    struct fusion_error error = { 0 };
    struct fx_question *question;
    uint8_t image[FUSION_IMAGE_BYTES];
    struct fx_err why = { 0 };

    if (n_read)
        *n_read = 0;
    if (fusion_read_image(bytes, n, name ? name : "image", image, n_read, &error) != FUSION_OK) {
        fx_fail(&why, (enum fx_status)error.status, "%s", error.text);
        return fx_ask_nothing(asker, name, id, &why, err);
    }
    FX_TRY(next_question(asker, name, id, &question, err));
    memcpy(asker->images + (size_t)asker->n_images++ * FUSION_IMAGE_BYTES, image, sizeof image);
    return FX_OK;
}
