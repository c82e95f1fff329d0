/* The table of all fused runs: fit to be printed by itself. */
#include "track/report_internal.h"

#include "track/html_internal.h"

#include <math.h>
#include <string.h>

/* ---- cells ----------------------------------------------------------------------------------- */

/* The architecture: the family, and small below it what makes a member of it. */
static void put_experts(FILE *out, const struct fx_run *run)
{
    const char *arch = fx_event_text(run->start, "arch");
    const char *member = arch && !strchr(arch, ';') ? strchr(arch, ':') : NULL;
    char family[64];

    fputs("<td>", out);
    if (!member) {
        fx_html_name(out, arch ? arch : "–");
    } else {
        snprintf(family, sizeof family, "%.*s", (int)(member - arch), arch);
        fx_html_name(out, family);
        fputs("<small>", out);
        fx_html_text(out, member + 1);
        fputs("</small>", out);
    }
    fputs("</td><td>", out);
    fx_html_text(out, fx_event_text(run->start, "fusion"));
    fputs("</td>", out);
}

static void put_change(FILE *out, double before, double after)
{
    if (isfinite(before) && isfinite(after))
        fprintf(out, "<td><s>%.2f →</s> %.2f</td>", before, after);
    else
        fx_report_percent(out, after, NULL);
}

static double seconds_of(const struct fx_run *run)
{
    double seconds = fx_event_number(run->end, "seconds"), sum = 0;
    size_t n = json_array_size(run->epochs);

    for (size_t e = 0; e < n; e++)
        sum += fx_event_number(json_array_get(run->epochs, e), "seconds");
    return isfinite(seconds) ? seconds : n > 0 ? sum : NAN;
}

static void put_effort(FILE *out, const struct fx_run *run)
{
    const json_t *last = fx_run_last_epoch(run);
    const char *device = fx_event_text(run->start, "device");
    const char *precision = fx_event_text(run->start, "precision");
    double seconds = seconds_of(run);

    fprintf(out, "<td>%lld/%lld</td><td>",
            (long long)json_integer_value(json_object_get(last, "epoch")),
            (long long)fx_run_n_epochs(run));
    if (isfinite(seconds))
        fx_report_duration(out, seconds);
    else
        fputs("–", out);
    fputs("</td><td>", out);
    fx_html_text(out, device ? device : "–");
    fputs("<small>", out);
    fx_html_text(out, precision);
    fputs("</small></td>", out);
}

/* What the fused model is better than the ensemble: with its interval, where it was tested. */
static void put_gain(FILE *out, const struct fx_run *run, const struct fx_scores *final)
{
    struct fx_gain gain = fx_scores_gain(run->end);
    double difference = final->fused - final->ensemble;

    if (!isfinite(gain.points)) {
        fx_report_gain(out, difference);
        return;
    }
    fprintf(out, "<td class=\"%s\">%s%.2f<small>± %.2f</small></td>",
            gain.points < 0 ? "down" : "up", gain.points < 0 ? "−" : "+", fabs(gain.points),
            gain.half);
}

/* In thousands. */
static void put_seen(FILE *out, double seen)
{
    if (seen > 0)
        fprintf(out, "<td>%.0f</td>", seen / 1000);
    else
        fputs("<td>–</td>", out);
}

/* ---- the table ------------------------------------------------------------------------------- */

static void put_row(FILE *out, const struct fx_report_group *fused, const struct fx_run *run)
{
    const struct fx_run *baseline = fx_run_find_lone(fused->runs, run, "all");
    const struct fx_run *expert = fx_run_find_lone(fused->runs, run, "0");
    struct fx_scores before, after, final, single = { .fused = NAN };

    fx_scores_before(run, &before);
    fx_scores_best_epoch(run, &after);
    fx_scores_final(run, &final);
    if (baseline)
        fx_scores_final(baseline, &single);
    fputs("<tr><td>", out);
    fx_report_link(out, fused->runs, run);
    fputs("</td>", out);
    put_experts(out, run);
    put_change(out, before.experts.mean, after.experts.mean);
    put_change(out, before.experts.best, after.experts.best);
    fx_report_percent(out, final.experts.mean, NULL);
    fx_report_percent(out, final.experts.best, NULL);
    fx_report_percent(out, final.ensemble, NULL);
    fx_report_percent(out, final.fused, "main");
    put_gain(out, run, &final);
    put_seen(out, fx_run_seen(run) + fx_run_seen(expert));
    fx_report_percent(out, single.fused, NULL);
    put_seen(out, fx_run_seen(baseline));
    fx_report_percent(out, final.ece, NULL);
    fx_report_images(out, &final);
    put_effort(out, run);
    fputs("</tr>\n", out);
}

void fx_report_overview(FILE *out, const struct fx_report_group *fused)
{
    if (fused->n == 0)
        return;
    fputs(
        "<h2>Fused runs</h2>\n<p class=\"soft\">Accuracies in percent, the best run first. Of the "
        "experts alone: on the validation images, before the first step and in the best epoch; "
        "then, of the best checkpoint, on the images named. The ensemble is the mean of the "
        "experts’ logits; the gain is that of the fused model over it, on the test images with its "
        "interval of 95 % (McNemar). A single network is one of the same architecture, trained on "
        "all images. Seen: thousands of images, the same one counted in each epoch, by an expert "
        "before and after it was fused, and by the single network.</p>\n"
        "<div class=\"wide\"><table class=\"overview\">\n<thead>"
        "<tr><th rowspan=\"2\" scope=\"col\">Run</th><th rowspan=\"2\" scope=\"col\">Family</th>"
        "<th rowspan=\"2\" scope=\"col\">Fusion</th>"
        "<th colspan=\"2\" scope=\"colgroup\">Experts, before → after</th>"
        "<th colspan=\"9\" scope=\"colgroup\">Best checkpoint</th>"
        "<th colspan=\"3\" scope=\"colgroup\">Training</th></tr>\n"
        "<tr><th scope=\"col\">mean</th><th scope=\"col\">best</th>"
        "<th scope=\"col\">Experts,<br>mean</th><th scope=\"col\">Best<br>expert</th>"
        "<th scope=\"col\">Ensemble</th><th scope=\"col\">Fused</th>"
        "<th scope=\"col\">Gain</th><th scope=\"col\">Seen</th>"
        "<th scope=\"col\">Single<br>network</th><th scope=\"col\">Seen</th>"
        "<th scope=\"col\">Calibr.<br>error</th><th scope=\"col\">Images</th>"
        "<th scope=\"col\">Epochs</th><th scope=\"col\">Time</th><th scope=\"col\">Device</th>"
        "</tr></thead>\n<tbody>\n",
        out);
    for (size_t i = 0; i < fused->n; i++)
        put_row(out, fused, fused->run[i]);
    fx_report_table_end(out);
}
