/* The section about one run. */
#include "track/report_internal.h"

#include "base/jsonl.h"
#include "track/html_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LABEL_BYTES = 32, CURVES_MAX = 4 + FX_EVENTS_EXPERTS_MAX };

/* ---- curves ---------------------------------------------------------------------------------- */

/* Curves under construction; each has its own y, all share the x of the epochs. */
struct curves {
    const struct fx_run *run;
    size_t n_epochs, n;
    double *values; /* owned: x, then the y of each curve */
    struct fx_curve curve[CURVES_MAX];
    char label[CURVES_MAX][LABEL_BYTES];
};

static bool curves_begin(struct curves *curves, const struct fx_run *run)
{
    *curves = (struct curves){ .run = run, .n_epochs = json_array_size(run->epochs) };
    curves->values = malloc((CURVES_MAX + 1) * curves->n_epochs * sizeof *curves->values + 1);
    for (size_t e = 0; curves->values && e < curves->n_epochs; e++)
        curves->values[e] = fx_event_number(json_array_get(run->epochs, e), "epoch");
    return curves->values;
}

/* One more curve: a member of the epochs, or its element k >= 0. */
static void add_curve(struct curves *curves, const char *label, const char *style,
                      const char *member, int k)
{
    size_t i = curves->n++;
    double *y = curves->values + (i + 1) * curves->n_epochs;

    for (size_t e = 0; e < curves->n_epochs; e++) {
        const json_t *epoch = json_array_get(curves->run->epochs, e);
        y[e] =
            k < 0 ? fx_event_number(epoch, member) : fx_event_number_at(epoch, member, (size_t)k);
    }
    if (k < 0)
        snprintf(curves->label[i], LABEL_BYTES, "%s", label);
    else
        snprintf(curves->label[i], LABEL_BYTES, "%s %d", label, k);
    curves->curve[i] = (struct fx_curve){ .label = curves->label[i],
                                          .style = style,
                                          .x = curves->values,
                                          .y = y,
                                          .n = curves->n_epochs };
}

static void add_experts(struct curves *curves, const char *member)
{
    for (int k = 0; fx_run_is_fusion(curves->run) && k < curves->run->n_experts; k++) {
        add_curve(curves, "expert", NULL, member, k);
        fx_curve_look(&curves->curve[curves->n - 1], (size_t)k + 2); /* behind fused, ensemble */
    }
}

static void end_chart(FILE *out, struct curves *curves, const char *caption)
{
    const struct fx_chart chart = { .caption = caption,
                                    .curves = curves->curve,
                                    .n_curves = curves->n,
                                    .fitted = curves->curve,
                                    .n_fitted = curves->n };

    fx_chart_write(out, &chart);
    curves->n = 0;
}

static bool put_charts(FILE *out, const struct fx_run *run)
{
    struct curves *curves = malloc(sizeof *curves);
    bool is_fusion = fx_run_is_fusion(run);

    bool is_good = curves && curves_begin(curves, run);
    if (!is_good || curves->n_epochs == 0)
        goto out;
    fputs("<div class=\"charts\">\n", out);
    add_curve(curves, is_fusion ? "fused" : "validation", "c0 thick", "val_accuracy", -1);
    if (is_fusion)
        add_curve(curves, "ensemble", "c1 dash", "ensemble_accuracy", -1);
    add_experts(curves, "expert_accuracy");
    add_curve(curves, "training, as augmented", "c7 dots thin", "train_accuracy", -1);
    end_chart(out, curves, "Validation accuracy, %");
    add_curve(curves, is_fusion ? "fused" : "validation", "c0 thick", "val_loss_global", -1);
    if (is_fusion)
        add_curve(curves, "ensemble", "c1 dash", "ensemble_loss", -1);
    add_experts(curves, "expert_loss");
    add_curve(curves, "training, as augmented", "c7 dots thin",
              is_fusion ? "loss_global" : "train_loss", -1);
    end_chart(out, curves, "Validation loss");
    fputs("</div>\n", out);
out:
    if (curves)
        free(curves->values);
    free(curves);
    return is_good;
}

/* ---- how it went ----------------------------------------------------------------------------- */

static void put_facts(FILE *out, const struct fx_run *run)
{
    const json_t *last = fx_run_last_epoch(run);
    struct fx_scores best;
    double rate = fx_event_number(last, "images_per_second");
    double seconds = fx_event_number(run->end, "seconds");

    fputs("<p class=\"soft\">", out);
    fx_report_what(out, run);
    if (last) {
        fx_scores_best_epoch(run, &best);
        fprintf(out, "; epoch %lld of %lld",
                (long long)json_integer_value(json_object_get(last, "epoch")),
                (long long)fx_run_n_epochs(run));
        if (isfinite(best.fused))
            fprintf(out, "; best validation %.2f %%", best.fused);
        if (isfinite(rate))
            fprintf(out, "; %.4g images/s", rate);
    }
    if (isfinite(seconds)) {
        fputs("; took ", out);
        fx_report_duration(out, seconds);
    }
    fputs("</p>\n", out);
    if (fx_event_text(run->end, "reason")) {
        fputs("<p>", out);
        fx_html_text(out, fx_event_text(run->end, "reason"));
        fputs("</p>\n", out);
    }
}

static bool put_value(FILE *out, const json_t *value)
{
    if (json_is_string(value)) {
        fx_html_text(out, json_string_value(value));
        return true;
    }
    if (json_is_real(value)) {
        fprintf(out, "%.6g", json_real_value(value));
        return true;
    }
    char *text = fx_json_dump(value, JSON_COMPACT | JSON_ENCODE_ANY);
    fx_html_text(out, text);
    bool is_good = text;
    free(text);
    return is_good;
}

static bool put_config(FILE *out, const struct fx_run *run)
{
    const char *command = fx_event_text(run->start, "command_line");
    bool is_good = true;

    fputs("<details><summary>Configuration</summary>\n<dl>\n", out);
    for (void *at = json_object_iter(run->start); at; at = json_object_iter_next(run->start, at)) {
        const char *key = json_object_iter_key(at);
        if (strcmp(key, "event") == 0 || strcmp(key, "command_line") == 0)
            continue;
        fputs("<div><dt>", out);
        fx_html_text(out, key);
        fputs("</dt><dd>", out);
        is_good &= put_value(out, json_object_iter_value(at));
        fputs("</dd></div>\n", out);
    }
    fputs("</dl>\n", out);
    if (command) {
        fputs("<code>", out);
        fx_html_text(out, command);
        fputs("</code>\n", out);
    }
    fputs("</details>\n", out);
    return is_good;
}

bool fx_report_run(FILE *out, const struct fx_run *run, size_t number)
{
    fprintf(out, "<section id=\"run-%zu\">\n<header><h3>", number);
    fx_html_text(out, run->name);
    fputs("</h3>", out);
    fx_report_state(out, run);
    fputs("</header>\n", out);
    put_facts(out, run);
    bool is_good = put_charts(out, run);
    is_good &= fx_report_eval(out, run);
    fx_report_robust(out, run);
    is_good &= put_config(out, run);
    fputs("</section>\n", out);
    return is_good;
}
