/* What fusion-eval measured, as a part of its run's section: a table of the heads, how far their
 * probabilities can be trusted, and which classes are taken for which. */
#include "track/report_internal.h"

#include "track/html_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BINS_MAX = 64, CLASSES_MAX = 256, SHADES = 8 };

static bool is_kind(const json_t *event, const char *kind)
{
    return strcmp(fx_event_text(event, "event"), kind) == 0;
}

/* ---- the table of heads ---------------------------------------------------------------------- */

static void put_number(FILE *out, double value, const char *format)
{
    char text[32];

    snprintf(text, sizeof text, format, value);
    fprintf(out, "<td>%s</td>", isfinite(value) ? text : "–");
}

static void put_head(FILE *out, const json_t *eval, int head, bool is_scaled)
{
    double low = fx_report_number(eval, head, "accuracy_low");
    double high = fx_report_number(eval, head, "accuracy_high");

    fx_report_head(out, head);
    fx_report_percent(out, fx_report_number(eval, head, "accuracy"), "main");
    if (isfinite(low) && isfinite(high))
        fprintf(out, "<td>%.2f … %.2f</td>", low, high);
    else
        fputs("<td>–</td>", out);
    fx_report_percent(out, fx_report_number(eval, head, "top5"), NULL);
    fx_report_percent(out, fx_report_number(eval, head, "superclass_accuracy"), NULL);
    put_number(out, fx_report_number(eval, head, "loss"), "%.4f");
    put_number(out, fx_report_number(eval, head, "brier"), "%.4f");
    fx_report_percent(out, fx_report_number(eval, head, "ece"), NULL);
    fx_report_percent(out, fx_report_number(eval, head, "ece_mass"), NULL);
    if (is_scaled) {
        put_number(out, fx_report_number(eval, head, "temperature"), "%.3f");
        put_number(out, fx_report_number(eval, head, "scaled_loss"), "%.4f");
        fx_report_percent(out, fx_report_number(eval, head, "scaled_ece"), NULL);
    }
    fputs("</tr>\n", out);
}

static void put_heads(FILE *out, const struct fx_run *run)
{
    bool is_scaled = isfinite(fx_report_number(run->eval, FX_REPORT_ENSEMBLE, "temperature"));
    const char *const titles[] = {
        "Head",
        "Accuracy",
        "95 %",
        "Top-5",
        "Super-<br>class",
        "Loss",
        "Brier",
        "Calibr.<br>error",
        "the same,<br>equal mass",
        is_scaled ? "Tempe-<br>rature" : NULL,
        "then loss",
        "then calibr.<br>error",
        NULL,
    };

    fx_report_table(out, titles);
    for (int head = FX_REPORT_FUSED; head < run->n_experts; head++)
        if (isfinite(fx_report_number(run->eval, head, "accuracy")))
            put_head(out, run->eval, head, is_scaled);
    fx_report_table_end(out);
}

static void put_comparison(FILE *out, const json_t *eval)
{
    double gain = fx_event_number(eval, "gain"), p = fx_event_number(eval, "mcnemar_p");
    double low = fx_event_number(eval, "gain_low"), high = fx_event_number(eval, "gain_high");
    double disagreement = fx_event_number(eval, "mean_disagreement");

    fputs("<p class=\"soft\">", out);
    if (isfinite(gain))
        fprintf(out, "Fused against ensemble: %+.2f points", gain);
    if (isfinite(low) && isfinite(high))
        fprintf(out, ", 95 %% from %+.2f to %+.2f", low, high);
    if (isfinite(p))
        fprintf(out, ", McNemar’s p %.2g. ", p);
    if (isfinite(disagreement))
        fprintf(out, "Two experts disagree on %.1f %% of the images.", disagreement);
    fputs("</p>\n", out);
}

/* ---- reliability ----------------------------------------------------------------------------- */

struct reliability {
    double x[3][BINS_MAX], y[3][BINS_MAX];
    size_t n;
};

static void put_reliability(FILE *out, const struct fx_run *run)
{
    static const double ends[2] = { 0, 100 };
    struct reliability r = { .n = 0 };
    const struct {
        int head;
        const char *label, *style, *probability, *accuracy;
    } kinds[3] = {
        { FX_REPORT_FUSED, "fused", "c0 thick", "probability", "accuracy" },
        { FX_REPORT_FUSED, "fused, at its temperature", "c2", "scaled_probability",
          "scaled_accuracy" },
        { FX_REPORT_ENSEMBLE, "ensemble", "c1 dash", "probability", "accuracy" },
    };
    struct fx_curve curves[4];

    for (size_t i = 0; i < json_array_size(run->details) && r.n < BINS_MAX; i++) {
        const json_t *event = json_array_get(run->details, i);
        if (!is_kind(event, "bin"))
            continue;
        for (int k = 0; k < 3; k++) {
            r.x[k][r.n] = 100 * fx_report_number(event, kinds[k].head, kinds[k].probability);
            r.y[k][r.n] = fx_report_number(event, kinds[k].head, kinds[k].accuracy);
        }
        r.n++;
    }
    for (int k = 0; k < 3; k++)
        curves[k] = (struct fx_curve){ .label = kinds[k].label,
                                       .style = kinds[k].style,
                                       .marker = k,
                                       .x = r.x[k],
                                       .y = r.y[k],
                                       .n = r.n };
    curves[3] = (struct fx_curve){
        .label = "as right as sure", .style = "c7 dots thin", .x = ends, .y = ends, .n = 2
    };
    const struct fx_chart chart = { .caption = "Reliability: accuracy by probability, %",
                                    .x_label = "probability",
                                    .curves = curves,
                                    .n_curves = 4,
                                    .fitted = curves,
                                    .n_fitted = 4 };
    if (r.n > 0)
        fx_chart_write(out, &chart);
}

/* ---- confusion ------------------------------------------------------------------------------- */

struct confusion {
    int n;                                /* classes */
    const json_t *predicted[CLASSES_MAX]; /* borrowed; of each class, or NULL */
    const char *name[CLASSES_MAX];        /* borrowed, or NULL */
    double images[CLASSES_MAX];
};

static void read_confusion(const struct fx_run *run, struct confusion *confusion)
{
    for (size_t i = 0; i < json_array_size(run->details); i++) {
        const json_t *event = json_array_get(run->details, i);
        double class = fx_event_number(event, "class");
        if (!is_kind(event, "class") || !(class >= 0 && class < CLASSES_MAX))
            continue;
        int c = (int)class;
        confusion->predicted[c] = json_object_get(event, "predicted");
        confusion->name[c] = fx_event_text(event, "name");
        confusion->images[c] = fx_event_number(event, "images");
        if (c >= confusion->n)
            confusion->n = c + 1;
    }
}

/* The part of class c's images for which p was predicted. */
static double share_of(const struct confusion *confusion, int c, int p)
{
    const json_t *count = json_array_get(confusion->predicted[c], (size_t)p);

    return json_is_number(count) ? json_number_value(count) / confusion->images[c] : 0;
}

/* Cells of the same shade are one path: shares from s/8 to (s+1)/8, what is less than 1/2 % not at
 * all. */
static void put_cells(FILE *out, const struct confusion *confusion)
{
    for (int s = 0; s < SHADES; s++) {
        fprintf(out, "<path class=\"cell\" fill-opacity=\"%.3g\" d=\"", (s + 1.0) / SHADES);
        for (int c = 0; c < confusion->n; c++)
            for (int p = 0; p < confusion->n; p++) {
                double share = share_of(confusion, c, p);
                if (share >= 0.005 && (int)fmin(share * SHADES, SHADES - 1) == s)
                    fprintf(out, "M%d %dh1v1h-1z", p, c);
            }
        fputs("\"/>\n", out);
    }
}

/* The pair of classes that are taken for each other most often. */
static void put_worst(FILE *out, const struct confusion *confusion)
{
    double worst = 0;
    int of = -1, as = -1;

    for (int c = 0; c < confusion->n; c++)
        for (int p = 0; p < confusion->n; p++)
            if (c != p && share_of(confusion, c, p) > worst) {
                worst = share_of(confusion, c, p);
                of = c;
                as = p;
            }
    if (of < 0)
        return;
    fprintf(out, "<p class=\"soft\">Most often confused: %.0f %% of ", 100 * worst);
    fx_html_text(out, confusion->name[of]);
    fputs(" taken for ", out);
    fx_html_text(out, confusion->name[as]);
    fputs(".</p>\n", out);
}

static bool put_confusion(FILE *out, const struct fx_run *run)
{
    static const char caption[] = "Confusion: classes down, predictions across";
    struct confusion *confusion = calloc(1, sizeof *confusion);

    if (!confusion)
        return false;
    read_confusion(run, confusion);
    if (confusion->n > 0) {
        fprintf(out,
                "<figure>\n<figcaption>%s</figcaption>\n<svg class=\"confusion\" "
                "viewBox=\"-0.5 -0.5 %d %d\" role=\"img\">\n<title>%s</title>\n"
                "<path class=\"grid\" stroke-width=\"0.2\" d=\"M0 0h%dv%dh-%dz\"/>\n",
                caption, confusion->n + 1, confusion->n + 1, caption, confusion->n, confusion->n,
                confusion->n);
        put_cells(out, confusion);
        fputs("</svg>\n", out);
        put_worst(out, confusion);
        fputs("</figure>\n", out);
    }
    free(confusion);
    return true;
}

bool fx_report_eval(FILE *out, const struct fx_run *run)
{
    if (!run->eval || !json_object_get(run->eval, "ensemble_brier"))
        return true;
    put_heads(out, run);
    put_comparison(out, run->eval);
    fputs("<div class=\"charts\">\n", out);
    put_reliability(out, run);
    bool is_good = put_confusion(out, run);
    fputs("</div>\n", out);
    return is_good;
}
