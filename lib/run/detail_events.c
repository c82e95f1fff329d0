/* Counting by class, by superclass and by probability. */
#include "run/detail_events.h"

#include "base/jsonl.h"
#include "data/labels.h"
#include "run/assessment.h"
#include "score/calibration.h"
#include "score/summary.h"

#include <stdlib.h>

/* Where the events go, and what they are of. */
struct writer {
    const struct fx_detail_facts *facts;
    fx_line_sink sink;
    void *ctx;
};

static bool put(json_t *event, const char *name, json_t *value)
{
    return json_object_set_new(event, name, value) == 0;
}

static json_t *begin(const struct writer *writer, const char *kind)
{
    return json_pack("{s:s, s:s}", "event", kind, "split", writer->facts->split);
}

/* Lets go of the event; !is_good: memory was short while it was made. */
static enum fx_status finish(const struct writer *writer, json_t *event, bool is_good,
                             struct fx_err *err)
{
    char *line = event && is_good ? fx_json_line(event) : NULL;

    json_decref(event);
    return !line ? fx_fail(err, FX_EFAIL, "metrics: out of memory")
                 : writer->sink(writer->ctx, line, err);
}

static bool put_label(json_t *event, const char *kind, int label, const json_t *names)
{
    char number[FX_LABEL_NUMBER_BYTES];

    return put(event, kind, json_integer(label)) &&
           put(event, "name", fx_json_text(fx_label_name(names, label, number)));
}

/* ---- classes --------------------------------------------------------------------------------- */

/* Confusion matrices of all heads, (n_heads, classes, classes). */
static int64_t *count_confusion(const struct fx_judgement *judgement)
{
    size_t classes = (size_t)judgement->n_classes;
    int64_t *counts = calloc((size_t)judgement->n_heads * classes * classes, sizeof *counts);

    for (int row = 0; row < judgement->n_heads && counts; row++)
        fx_confusion_add(fx_judgement_of(judgement, row), judgement->labels, judgement->n,
                         judgement->n_classes, counts + (size_t)row * classes * classes);
    return counts;
}

/* The row of a class in the matrix of a head. */
static const int64_t *row_of(const struct fx_judgement *judgement, const int64_t *counts, int row,
                             int class)
{
    size_t classes = (size_t)judgement->n_classes;

    return counts + ((size_t)row * classes + (size_t) class) * classes;
}

static int64_t sum_of(const int64_t *counts, int n)
{
    int64_t sum = 0;

    for (int i = 0; i < n; i++)
        sum += counts[i];
    return sum;
}

static json_t *whole_numbers(const int64_t *values, int n)
{
    json_t *array = json_array();

    for (int i = 0; i < n && array; i++)
        if (json_array_append_new(array, json_integer(values[i])) != 0) {
            json_decref(array);
            array = NULL;
        }
    return array;
}

static enum fx_status write_class(const struct writer *writer, const int64_t *counts, int class,
                                  struct fx_err *err)
{
    const struct fx_judgement *judgement = writer->facts->plain;
    int main_row = fx_judgement_main_row(judgement), classes = judgement->n_classes;
    int64_t n = sum_of(row_of(judgement, counts, main_row, class), classes);
    double accuracy[FX_HEADS_MAX];

    if (n == 0)
        return FX_OK;
    for (int row = 0; row < judgement->n_heads; row++)
        accuracy[row] = 100.0 * (double)row_of(judgement, counts, row, class)[class] / (double)n;
    json_t *event = begin(writer, "class");
    bool is_good = put_label(event, "class", class, writer->facts->fine);
    if (writer->facts->n_superclasses > 1)
        is_good &= put(event, "superclass", json_integer(writer->facts->superclass[class]));
    is_good &=
        put(event, "images", json_integer(n)) &&
        fx_heads_put(event, "accuracy", accuracy, judgement->n_experts, judgement->has_fused) &&
        put(event, "predicted", whole_numbers(row_of(judgement, counts, main_row, class), classes));
    return finish(writer, event, is_good, err);
}

/* ---- superclasses ---------------------------------------------------------------------------- */

static enum fx_status write_superclass(const struct writer *writer, const int64_t *counts,
                                       int superclass, struct fx_err *err)
{
    const struct fx_judgement *judgement = writer->facts->plain;
    const uint8_t *of = writer->facts->superclass;
    double right[FX_HEADS_MAX] = { 0 }, inside[FX_HEADS_MAX] = { 0 };
    int64_t n = 0;

    for (int class = 0; class < judgement->n_classes; class ++) {
        if (of[class] != superclass)
            continue;
        n += sum_of(row_of(judgement, counts, 0, class), judgement->n_classes);
        for (int row = 0; row < judgement->n_heads; row++) {
            const int64_t *predicted = row_of(judgement, counts, row, class);
            right[row] += (double)predicted[class];
            for (int other = 0; other < judgement->n_classes; other++)
                inside[row] += of[other] == superclass ? (double)predicted[other] : 0;
        }
    }
    if (n == 0)
        return FX_OK;
    for (int row = 0; row < judgement->n_heads; row++) {
        right[row] *= 100.0 / (double)n;
        inside[row] *= 100.0 / (double)n;
    }
    json_t *event = begin(writer, "superclass");
    bool is_good =
        put_label(event, "superclass", superclass, writer->facts->coarse) &&
        put(event, "images", json_integer(n)) &&
        fx_heads_put(event, "accuracy", right, judgement->n_experts, judgement->has_fused) &&
        fx_heads_put(event, "superclass_accuracy", inside, judgement->n_experts,
                     judgement->has_fused);
    return finish(writer, event, is_good, err);
}

/* ---- bins ------------------------------------------------------------------------------------ */

static void fill_bins(const struct fx_judgement *judgement, int row,
                      struct fx_bin bins[FX_ECE_BINS])
{
    const struct fx_verdict *verdicts = fx_judgement_of(judgement, row);

    for (int64_t i = 0; i < judgement->n; i++)
        fx_bin_add(bins, verdicts[i].probability, verdicts[i].rank == 0);
}

/* An empty bin has neither accuracy nor probability: 0 / 0, and so null. */
static bool put_bin(json_t *event, const struct fx_judgement *judgement,
                    struct fx_bin bins[][FX_ECE_BINS], int b, const char *const names[3])
{
    double n[FX_HEADS_MAX], probability[FX_HEADS_MAX], accuracy[FX_HEADS_MAX];

    for (int row = 0; row < judgement->n_heads; row++) {
        n[row] = (double)bins[row][b].n;
        probability[row] = bins[row][b].probability / n[row];
        accuracy[row] = 100.0 * (double)bins[row][b].n_right / n[row];
    }
    return fx_heads_put_whole(event, names[0], n, judgement->n_experts, judgement->has_fused) &&
           fx_heads_put(event, names[1], probability, judgement->n_experts, judgement->has_fused) &&
           fx_heads_put(event, names[2], accuracy, judgement->n_experts, judgement->has_fused);
}

static enum fx_status write_bins(const struct writer *writer, struct fx_err *err)
{
    static const char *const plain_names[] = { "images", "probability", "accuracy" };
    static const char *const scaled_names[] = { "scaled_images", "scaled_probability",
                                                "scaled_accuracy" };
    const struct fx_judgement *plain = writer->facts->plain, *scaled = writer->facts->scaled;
    struct fx_bin bins[FX_HEADS_MAX][FX_ECE_BINS] = { 0 }, after[FX_HEADS_MAX][FX_ECE_BINS] = { 0 };

    for (int row = 0; row < plain->n_heads; row++) {
        fill_bins(plain, row, bins[row]);
        if (scaled)
            fill_bins(scaled, row, after[row]);
    }
    for (int b = 0; b < FX_ECE_BINS; b++) {
        json_t *event = begin(writer, "bin");
        bool is_good = put(event, "bin", json_integer(b)) &&
                       put_bin(event, plain, bins, b, plain_names) &&
                       (!scaled || put_bin(event, scaled, after, b, scaled_names));
        FX_TRY(finish(writer, event, is_good, err));
    }
    return FX_OK;
}

enum fx_status fx_detail_events(const struct fx_detail_facts *facts, fx_line_sink sink, void *ctx,
                                struct fx_err *err)
{
    struct writer writer = { .facts = facts, .sink = sink, .ctx = ctx };
    int64_t *counts = count_confusion(facts->plain);
    enum fx_status status = FX_OK;

    if (!counts)
        return fx_fail(err, FX_EFAIL, "out of memory for the confusion matrices");
    for (int c = 0; c < facts->plain->n_classes && status == FX_OK; c++)
        status = write_class(&writer, counts, c, err);
    for (int s = 0; facts->n_superclasses > 1 && s < facts->n_superclasses && status == FX_OK; s++)
        status = write_superclass(&writer, counts, s, err);
    free(counts);
    return status != FX_OK ? status : write_bins(&writer, err);
}
