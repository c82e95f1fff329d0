/* The three formats of an answer (fusion-predict(1)). */
#include "predict/answer.h"

#include "base/jsonl.h"
#include "base/utf8.h"

#include <stdbool.h>
#include <stdlib.h>

enum { N_CLASSES_MAX = 256 };

static void put_name(FILE *out, const struct fusion_info *info, int class)
{
    if (info->class_names)
        fx_quote_put(out, info->class_names[class]);
    else
        fprintf(out, "%d", class);
}

/* The classes of the `top` largest probabilities, descending; of equal ones the first. */
static void rank(const float *probabilities, int n, int top, int *classes)
{
    bool is_taken[N_CLASSES_MAX] = { false };

    for (int i = 0; i < top; i++) {
        int best = 0;
        while (is_taken[best])
            best++;
        for (int c = best + 1; c < n; c++)
            if (!is_taken[c] && probabilities[c] > probabilities[best])
                best = c;
        is_taken[best] = true;
        classes[i] = best;
    }
}

static int vote(const struct fx_answer *answer, int expert, float *probability)
{
    const float *row = answer->experts + (size_t)expert * (size_t)answer->info->n_classes;
    int class;

    rank(row, answer->info->n_classes, 1, &class);
    *probability = row[class];
    return class;
}

/* ---- text ------------------------------------------------------------------------------------ */

static void write_text(const struct fx_answer *answer, const int *classes, FILE *out)
{
    float probability;

    fx_quote_put(out, answer->name);
    if (answer->label >= 0) {
        fprintf(out, " (");
        put_name(out, answer->info, answer->label);
        fprintf(out, ")");
    }
    fprintf(out, "\n");
    for (int i = 0; i < answer->top; i++) {
        fprintf(out, "  %6.2f %%  ", 100 * (double)answer->fused[classes[i]]);
        put_name(out, answer->info, classes[i]);
        fprintf(out, "\n");
    }
    fprintf(out, "  experts: ");
    for (int k = 0; k < answer->info->n_experts; k++) {
        int class = vote(answer, k, &probability);
        fprintf(out, "%s", k > 0 ? ", " : "");
        put_name(out, answer->info, class);
        fprintf(out, " %.1f %%", 100 * (double)probability);
    }
    fprintf(out, "\n");
}

/* ---- a table --------------------------------------------------------------------------------- */

static void write_row(const struct fx_answer *answer, const int *classes, FILE *out)
{
    float probability;

    fx_quote_put(out, answer->name);
    fprintf(out, "\t");
    if (answer->label >= 0)
        put_name(out, answer->info, answer->label);
    for (int i = 0; i < answer->top; i++) {
        fprintf(out, "\t");
        put_name(out, answer->info, classes[i]);
        fprintf(out, "\t%.6g", (double)answer->fused[classes[i]]);
    }
    for (int k = 0; k < answer->info->n_experts; k++) {
        int class = vote(answer, k, &probability);
        fprintf(out, "\t");
        put_name(out, answer->info, class);
        fprintf(out, "\t%.6g", (double)probability);
    }
    fprintf(out, "\n");
}

void fx_answer_head(const struct fusion_info *info, enum fx_answer_format format, int top,
                    FILE *out)
{
    if (format != FX_ANSWER_TSV)
        return;
    fprintf(out, "image\tlabel");
    for (int i = 1; i <= top; i++)
        fprintf(out, "\tclass_%d\tprobability_%d", i, i);
    for (int k = 0; k < info->n_experts; k++)
        fprintf(out, "\texpert_%d\texpert_%d_probability", k, k);
    fprintf(out, "\n");
}

/* ---- JSON ------------------------------------------------------------------------------------ */

/* {"class":19,"name":"cow","probability":0.97}; NULL when memory is short, as below. */
static json_t *class_json(const struct fusion_info *info, int class, double probability)
{
    json_t *object = json_pack("{s:i}", "class", class);

    if (object && info->class_names &&
        json_object_set_new(object, "name", fx_json_text(info->class_names[class])) != 0) {
        json_decref(object);
        return NULL;
    }
    if (object && probability >= 0 &&
        json_object_set_new(object, "probability", json_real(probability)) != 0) {
        json_decref(object);
        return NULL;
    }
    return object;
}

/* {"id":...,"image":"cow.jpg"} */
static json_t *image_json(const char *name, const json_t *id)
{
    json_t *object = json_object();

    if (object && ((id && json_object_set(object, "id", (json_t *)id) != 0) ||
                   (name && json_object_set_new(object, "image", fx_json_text(name)) != 0))) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static bool fill_json(const struct fx_answer *answer, const int *classes, json_t *object)
{
    json_t *list = json_array(), *experts = json_array();
    const struct fusion_info *info = answer->info;
    bool failed = !list || !experts;
    float probability;

    if (answer->label >= 0)
        failed |= json_object_set_new(object, "label", class_json(info, answer->label, -1)) != 0;
    for (int i = 0; i < answer->top && !failed; i++)
        failed = json_array_append_new(
                     list, class_json(info, classes[i], (double)answer->fused[classes[i]])) != 0;
    for (int k = 0; k < info->n_experts && !failed; k++) {
        int class = vote(answer, k, &probability);
        failed = json_array_append_new(experts, class_json(info, class, (double)probability)) != 0;
    }
    failed |= json_object_set_new(object, "predictions", list) != 0;
    failed |= json_object_set_new(object, "experts", experts) != 0;
    return !failed;
}

/* Writes the object's line and lets go of it; NULL: memory was short. */
static enum fx_status put_line(json_t *object, FILE *out, struct fx_err *err)
{
    char *line = object ? fx_json_line(object) : NULL;

    json_decref(object);
    if (!line)
        return fx_fail(err, FX_EFAIL, "out of memory");
    fputs(line, out);
    free(line);
    return FX_OK;
}

enum fx_status fx_answer_error(const char *name, const json_t *id, const char *why, FILE *out,
                               struct fx_err *err)
{
    json_t *object = image_json(name, id);

    if (object && json_object_set_new(object, "error", fx_json_text(why)) != 0) {
        json_decref(object);
        object = NULL;
    }
    return put_line(object, out, err);
}

enum fx_status fx_answer_write(const struct fx_answer *answer, enum fx_answer_format format,
                               FILE *out, struct fx_err *err)
{
    int classes[N_CLASSES_MAX];

    rank(answer->fused, answer->info->n_classes, answer->top, classes);
    if (format == FX_ANSWER_TEXT)
        write_text(answer, classes, out);
    else if (format == FX_ANSWER_TSV)
        write_row(answer, classes, out);
    if (format != FX_ANSWER_JSON)
        return FX_OK;
    json_t *object = image_json(answer->name, answer->id);
    if (object && !fill_json(answer, classes, object)) {
        json_decref(object);
        object = NULL;
    }
    return put_line(object, out, err);
}
