/* What fusion-eval measured on images that are not the test images, as a part of its run's section:
 * corrupted ones, those of other classes, and adversarial ones. */
#include "track/report_internal.h"

#include "track/html_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SEVERITIES = 5 };

/* The first event of the kind from number i on; NULL: none.  *i: its number. */
static const json_t *find(const struct fx_run *run, const char *kind, size_t *i)
{
    for (; *i < json_array_size(run->details); (*i)++) {
        const json_t *event = json_array_get(run->details, *i);
        if (strcmp(fx_event_text(event, "event"), kind) == 0)
            return event;
    }
    return NULL;
}

/* The number of the fused head, or of the ensemble where there is none. */
static double main_number(const json_t *event, const char *name)
{
    double fused = fx_report_number(event, FX_REPORT_FUSED, name);

    return isfinite(fused) ? fused : fx_report_number(event, FX_REPORT_ENSEMBLE, name);
}

static double expert_mean(const struct fx_run *run, const json_t *event, const char *name)
{
    double sum = 0;

    for (int k = 0; k < run->n_experts; k++)
        sum += fx_report_number(event, k, name);
    return run->n_experts > 0 ? sum / run->n_experts : NAN;
}

/* ---- corruptions ----------------------------------------------------------------------------- */

/* The errors of one corruption; NaN: not measured. */
struct corruption {
    const char *name;                /* borrowed */
    double error[SEVERITIES];        /* of the fused head */
    double fused, ensemble, experts; /* summed over severities */
    int n;                           /* severities */
};

/* From event number *i on those of the same corruption, which stand together; *i: the next. */
static void read_corruption(const struct fx_run *run, size_t *i, struct corruption *c)
{
    const json_t *event;

    *c = (struct corruption){ .error = { NAN, NAN, NAN, NAN, NAN } };
    for (; (event = find(run, "corruption", i)); (*i)++) {
        const char *name = fx_event_text(event, "corruption");
        double severity = fx_event_number(event, "severity");
        if (c->name && (!name || strcmp(c->name, name) != 0))
            return;
        c->name = name;
        if (!name || !(severity >= 1 && severity <= SEVERITIES))
            continue;
        c->error[(int)severity - 1] = main_number(event, "error");
        c->fused += main_number(event, "error");
        c->ensemble += fx_report_number(event, FX_REPORT_ENSEMBLE, "error");
        c->experts += expert_mean(run, event, "error");
        c->n++;
    }
}

static void put_corruption(FILE *out, const struct corruption *c)
{
    fputs("<tr><td>", out);
    fx_html_text(out, c->name);
    fputs("</td>", out);
    for (int s = 0; s < SEVERITIES; s++)
        fx_report_percent(out, c->error[s], NULL);
    fx_report_percent(out, c->fused / c->n, "main");
    fx_report_percent(out, c->ensemble / c->n, NULL);
    fx_report_percent(out, c->experts / c->n, NULL);
    fputs("</tr>\n", out);
}

/* Of the benchmark's corruptions. */
static void put_means(FILE *out, const struct fx_run *run)
{
    size_t i = 0;
    const json_t *event = find(run, "robustness", &i);
    double mean = main_number(event, "mean_error"), mce = main_number(event, "mce");

    if (!isfinite(mean))
        return;
    fprintf(out, "<p class=\"soft\">Mean over the %.0f corruptions of the benchmark: %.2f %%, ",
            fx_event_number(event, "corruptions"), mean);
    fprintf(out, "ensemble %.2f %%", fx_report_number(event, FX_REPORT_ENSEMBLE, "mean_error"));
    if (isfinite(mce))
        fprintf(out, "; mCE relative to the baseline %.2f %%, ensemble %.2f %%", mce,
                fx_report_number(event, FX_REPORT_ENSEMBLE, "mce"));
    fputs(".</p>\n", out);
}

static void put_corruptions(FILE *out, const struct fx_run *run)
{
    static const char *const titles[] = { "Error on corrupted images, %",
                                          "Severity 1",
                                          "2",
                                          "3",
                                          "4",
                                          "5",
                                          "Mean",
                                          "Ensemble",
                                          "Experts’<br>mean",
                                          NULL };
    struct corruption c;
    size_t i = 0;

    if (!find(run, "corruption", &i))
        return;
    fx_report_table(out, titles);
    while (find(run, "corruption", &i)) {
        read_corruption(run, &i, &c);
        if (c.n > 0)
            put_corruption(out, &c);
    }
    fx_report_table_end(out);
    put_means(out, run);
}

/* ---- other classes --------------------------------------------------------------------------- */

static const char *const scores[] = { "auroc", "aupr_in", "aupr_out", "fpr95" };
enum { N_SCORES = sizeof scores / sizeof *scores };

static void put_scores(FILE *out, const json_t *ood, int head, const char *number)
{
    char name[32];

    for (int i = 0; i < N_SCORES; i++) {
        snprintf(name, sizeof name, "%s_%s", number, scores[i]);
        fx_report_percent(out, fx_report_number(ood, head, name), i == 0 ? "main" : NULL);
    }
}

static void put_ood(FILE *out, const struct fx_run *run)
{
    static const char *const titles[] = { "Images of other classes, %",
                                          "Probability:<br>AUROC",
                                          "AUPR in",
                                          "AUPR out",
                                          "FPR 95",
                                          "Energy:<br>AUROC",
                                          "AUPR in",
                                          "AUPR out",
                                          "FPR 95",
                                          NULL };
    size_t first = 0;
    const json_t *ood = find(run, "ood", &first);

    if (!ood)
        return;
    fx_report_table(out, titles);
    for (int head = FX_REPORT_FUSED; head < run->n_experts; head++) {
        if (!isfinite(fx_report_number(ood, head, "msp_auroc")))
            continue;
        fx_report_head(out, head);
        put_scores(out, ood, head, "msp");
        put_scores(out, ood, head, "energy");
        fputs("</tr>\n", out);
    }
    if (isfinite(fx_event_number(ood, "disagreement_auroc"))) {
        fputs("<tr><td>disagreement of the experts</td>", out);
        put_scores(out, ood, FX_REPORT_FUSED, "disagreement");
        fputs("</tr>\n", out);
    }
    fx_report_table_end(out);
}

/* ---- attacks --------------------------------------------------------------------------------- */

static void put_attack(FILE *out, const struct fx_run *run, const json_t *event)
{
    fputs("<tr><td>", out);
    fx_html_text(out, fx_event_text(event, "attack"));
    fprintf(out, ", ε = %.3g/255", 255 * fx_event_number(event, "epsilon"));
    if (fx_event_number(event, "steps") > 1)
        fprintf(out, ", %.0f steps", fx_event_number(event, "steps"));
    fputs("</td>", out);
    fx_report_percent(out, main_number(run->eval, "accuracy"), NULL);
    fx_report_percent(out, main_number(event, "accuracy"), "main");
    fx_report_percent(out, fx_report_number(event, FX_REPORT_ENSEMBLE, "accuracy"), NULL);
    fx_report_percent(out, expert_mean(run, event, "accuracy"), NULL);
    fprintf(out, "<td>%.4f</td></tr>\n", main_number(event, "loss"));
}

static void put_attacks(FILE *out, const struct fx_run *run)
{
    static const char *const titles[] = { "Attack on the fused head",
                                          "Accuracy<br>without",
                                          "under it",
                                          "Ensemble",
                                          "Experts’<br>mean",
                                          "Loss",
                                          NULL };
    const json_t *event;
    size_t i = 0;

    if (!find(run, "attack", &i))
        return;
    fx_report_table(out, titles);
    for (; (event = find(run, "attack", &i)); i++)
        put_attack(out, run, event);
    fx_report_table_end(out);
}

void fx_report_robust(FILE *out, const struct fx_run *run)
{
    put_corruptions(out, run);
    put_ood(out, run);
    put_attacks(out, run);
}
