/* Tables made in memory, and written whole. */
#include "run/verdict_files.h"

#include "base/csv.h"
#include "base/number.h"
#include "data/labels.h"
#include "score/summary.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD_BYTES = 24 };

static const char *head_title(const struct fx_judgement *judgement, int row, char title[HEAD_BYTES])
{
    if (row >= judgement->n_experts)
        return row == judgement->n_experts ? "ensemble" : "fused";
    snprintf(title, HEAD_BYTES, "expert_%d", row);
    return title;
}

/* The rows in the order of people: fused, ensemble, experts. */
static int row_at(const struct fx_judgement *judgement, int i)
{
    int n_means = judgement->n_heads - judgement->n_experts;

    return i < n_means ? judgement->n_heads - 1 - i : i - n_means;
}

typedef bool (*fill_table)(const struct fx_judgement *judgement, const json_t *names, FILE *table);

static enum fx_status write_table(const struct fx_judgement *judgement, const json_t *names,
                                  fill_table fill, const struct fx_output *out, struct fx_err *err)
{
    const char *name = out->is_stdout ? "stdout" : out->path;
    char *text = NULL;
    size_t n = 0;
    FILE *table = fx_memory_stream(&text, &n);

    if (!table)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", name);
    bool is_good = fill(judgement, names, table);
    is_good &= fclose(table) == 0;
    enum fx_status status = is_good ? fx_write_full(out->fd, text, n, name, err)
                                    : fx_fail(err, FX_EFAIL, "%s: out of memory", name);
    free(text);
    return status;
}

static bool fill_confusion(const struct fx_judgement *judgement, const json_t *names, FILE *table)
{
    int classes = judgement->n_classes;
    size_t n_counts = (size_t)classes * (size_t)classes;
    int64_t *counts = malloc(n_counts * sizeof *counts);
    char number[FX_LABEL_NUMBER_BYTES], title[HEAD_BYTES];

    fputs("head,class", table);
    for (int c = 0; c < classes; c++) {
        fputc(',', table);
        fx_csv_text(table, fx_label_name(names, c, number));
    }
    fputc('\n', table);
    for (int i = 0; i < judgement->n_heads && counts; i++) {
        int row = row_at(judgement, i);
        memset(counts, 0, n_counts * sizeof *counts);
        fx_confusion_add(fx_judgement_of(judgement, row), judgement->labels, judgement->n, classes,
                         counts);
        for (int c = 0; c < classes; c++) {
            fprintf(table, "%s,", head_title(judgement, row, title));
            fx_csv_text(table, fx_label_name(names, c, number));
            for (int p = 0; p < classes; p++)
                fprintf(table, ",%" PRId64, counts[c * classes + p]);
            fputc('\n', table);
        }
    }
    bool is_good = counts;
    free(counts);
    return is_good;
}

static bool fill_predictions(const struct fx_judgement *judgement, const json_t *names, FILE *table)
{
    char title[HEAD_BYTES], text[FX_NUMBER_BYTES];

    (void)names;
    fputs("image,label", table);
    for (int i = 0; i < judgement->n_heads; i++) {
        const char *head = head_title(judgement, row_at(judgement, i), title);
        fprintf(table, ",%s,%s_probability", head, head);
    }
    fputc('\n', table);
    for (int64_t image = 0; image < judgement->n; image++) {
        fprintf(table, "%" PRId64 ",%u", judgement->numbers[image], judgement->labels[image]);
        for (int i = 0; i < judgement->n_heads; i++) {
            const struct fx_verdict *verdict =
                fx_judgement_of(judgement, row_at(judgement, i)) + image;
            fprintf(table, ",%d,%s", verdict->predicted,
                    fx_number_text_f32((float)verdict->probability, text, sizeof text));
        }
        fputc('\n', table);
    }
    return true;
}

enum fx_status fx_confusion_write(const struct fx_judgement *judgement, const json_t *names,
                                  const struct fx_output *out, struct fx_err *err)
{
    return write_table(judgement, names, fill_confusion, out, err);
}

enum fx_status fx_predictions_write(const struct fx_judgement *judgement,
                                    const struct fx_output *out, struct fx_err *err)
{
    return write_table(judgement, NULL, fill_predictions, out, err);
}
