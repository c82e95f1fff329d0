/* The page: what came out, in tables, and the runs side by side. */
#include "track/report.h"

#include "base/tool.h"
#include "track/chart.h"
#include "track/html.h"
#include "track/run_scores.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- small parts ----------------------------------------------------------------------------- */

void fx_report_percent(FILE *out, double value, const char *class)
{
    fprintf(out, "<td%s%s%s>", class != NULL ? " class=\"" : "", class != NULL ? class : "",
            class != NULL ? "\"" : "");
    if (isfinite(value))
        fprintf(out, "%.2f</td>", value);
    else
        fputs("–</td>", out);
}

/* A difference of accuracies, with its sign. */
static void put_gain(FILE *out, double value)
{
    if (isfinite(value))
        fprintf(out, "<td class=\"%s\">%s%.2f</td>", value < 0 ? "down" : "up",
                value < 0 ? "−" : "+", fabs(value));
    else
        fputs("<td>–</td>", out);
}

void fx_report_state(FILE *out, const struct fx_run *run)
{
    const char *state = fx_run_state_name(run->state);

    fprintf(out, "<span class=\"state %s\">%s</span>", state, state);
}

void fx_report_what(FILE *out, const struct fx_run *run)
{
    const char *fusion = fx_event_text(run->start, "fusion");
    const char *expert = fx_event_text(run->start, "expert");

    fx_html_text(out, fx_event_text(run->start, "arch"));
    if (fusion != NULL) {
        fputs(" × ", out);
        fx_html_text(out, fusion);
    } else if (expert != NULL) {
        fputs(strcmp(expert, "all") == 0 ? ", single network on all images" : ", expert ", out);
        if (strcmp(expert, "all") != 0)
            fx_html_text(out, expert);
    }
}

static void put_name(FILE *out, const struct fx_runs *runs, const struct fx_run *run)
{
    fprintf(out, "<tr><td><a href=\"#run-%zu\">", (size_t)(run - runs->run));
    fx_html_text(out, run->name);
    fputs("</a> ", out);
    if (run->state != FX_RUN_DONE)
        fx_report_state(out, run);
    fputs("<small>", out);
    fx_report_what(out, run);
    fputs("</small></td>", out);
}

static void begin_table(FILE *out, const char *const *titles)
{
    fputs("<div class=\"wide\"><table>\n<thead><tr>", out);
    for (; *titles != NULL; titles++)
        fprintf(out, "<th scope=\"col\">%s</th>", *titles);
    fputs("</tr></thead>\n<tbody>\n", out);
}

static void end_table(FILE *out)
{
    fputs("</tbody></table></div>\n", out);
}

static void put_images(FILE *out, const struct fx_scores *scores)
{
    bool is_val = scores->split != NULL && strcmp(scores->split, "val") == 0;

    fputs("<td>", out);
    if (scores->images > 0)
        fprintf(out, "%lld ", (long long)scores->images);
    fx_html_text(out, is_val ? "validation" : scores->split);
    fputs("</td>", out);
}

/* ---- tables ---------------------------------------------------------------------------------- */

typedef bool (*choice)(const struct fx_run *run);

static bool is_broken(const struct fx_run *run)
{
    return run->state == FX_RUN_BROKEN;
}

static bool is_result(const struct fx_run *run)
{
    return run->start != NULL && !is_broken(run) && fx_run_is_fusion(run);
}

static bool is_lone(const struct fx_run *run)
{
    return run->start != NULL && !is_broken(run) && !fx_run_is_fusion(run);
}

static bool has_before(const struct fx_run *run)
{
    return is_result(run) && run->before != NULL && json_array_size(run->epochs) > 0;
}

static bool any(const struct fx_runs *runs, choice is_chosen)
{
    for (size_t i = 0; i < runs->n; i++)
        if (is_chosen(&runs->run[i]))
            return true;
    return false;
}

static void put_results(FILE *out, const struct fx_runs *runs)
{
    static const char *const titles[] = {
        "Run",  "Experts,<br>mean",     "Best single<br>expert", "Ensemble", "Fused",
        "Gain", "Calibration<br>error", "Single<br>network",     "Images",   NULL,
    };
    if (!any(runs, is_result))
        return;
    fputs("<h2>Results</h2>\n<p class=\"soft\">Accuracy of the best checkpoint in percent. "
          "The gain is that of the fused model over the best single expert; the ensemble is the "
          "mean of the experts’ logits; a single network is one of the same architecture, "
          "trained on all images.</p>\n",
          out);
    begin_table(out, titles);
    for (size_t i = 0; i < runs->n; i++) {
        const struct fx_run *run = &runs->run[i], *baseline = fx_run_find_baseline(runs, run);
        struct fx_scores scores, single = { .fused = NAN };
        if (!is_result(run))
            continue;
        fx_scores_final(run, &scores);
        if (baseline != NULL)
            fx_scores_final(baseline, &single);
        put_name(out, runs, run);
        fx_report_percent(out, scores.expert_mean, NULL);
        fx_report_percent(out, scores.expert_best, NULL);
        fx_report_percent(out, scores.ensemble, NULL);
        fx_report_percent(out, scores.fused, "main");
        put_gain(out, scores.fused - scores.expert_best);
        fx_report_percent(out, scores.ece, NULL);
        fx_report_percent(out, single.fused, NULL);
        put_images(out, &scores);
        fputs("</tr>\n", out);
    }
    end_table(out);
}

/* Each expert's validation accuracy before the first step and in the best epoch. */
static void put_change(FILE *out, const struct fx_scores *before, const struct fx_scores *after,
                       int n_columns)
{
    for (int k = 0; k < n_columns; k++) {
        if (k < before->n_experts && k < after->n_experts && isfinite(before->expert[k]) &&
            isfinite(after->expert[k]))
            fprintf(out, "<td><s>%.2f →</s> %.2f</td>", before->expert[k], after->expert[k]);
        else
            fputs("<td>–</td>", out);
    }
    put_gain(out, after->expert_mean - before->expert_mean);
    put_images(out, before);
    fputs("</tr>\n", out);
}

static void put_before_after(FILE *out, const struct fx_runs *runs)
{
    int n_columns = 0;

    for (size_t i = 0; i < runs->n; i++)
        if (has_before(&runs->run[i]) && runs->run[i].n_experts > n_columns)
            n_columns = runs->run[i].n_experts;
    if (n_columns == 0)
        return;
    fputs("<h2>Experts before and after</h2>\n<p class=\"soft\">Accuracy of each expert alone on "
          "the validation images, in percent, before the first step and in the best epoch.</p>\n"
          "<div class=\"wide\"><table>\n<thead><tr><th scope=\"col\">Run</th>",
          out);
    for (int k = 0; k < n_columns; k++)
        fprintf(out, "<th scope=\"col\">Expert %d</th>", k);
    fputs("<th scope=\"col\">Mean<br>change</th><th scope=\"col\">Images</th></tr></thead>\n"
          "<tbody>\n",
          out);
    for (size_t i = 0; i < runs->n; i++) {
        struct fx_scores before, after;
        if (!has_before(&runs->run[i]))
            continue;
        fx_scores_before(&runs->run[i], &before);
        fx_scores_best_epoch(&runs->run[i], &after);
        put_name(out, runs, &runs->run[i]);
        put_change(out, &before, &after, n_columns);
    }
    end_table(out);
}

static void put_lone(FILE *out, const struct fx_runs *runs)
{
    static const char *const titles[] = { "Run", "Accuracy", "Calibration<br>error", "Images",
                                          NULL };
    if (!any(runs, is_lone))
        return;
    fputs("<h2>Experts and single networks</h2>\n", out);
    begin_table(out, titles);
    for (size_t i = 0; i < runs->n; i++) {
        struct fx_scores scores;
        if (!is_lone(&runs->run[i]))
            continue;
        fx_scores_final(&runs->run[i], &scores);
        put_name(out, runs, &runs->run[i]);
        fx_report_percent(out, scores.fused, "main");
        fx_report_percent(out, scores.ece, NULL);
        put_images(out, &scores);
        fputs("</tr>\n", out);
    }
    end_table(out);
}

static void put_broken(FILE *out, const struct fx_runs *runs)
{
    if (!any(runs, is_broken))
        return;
    fputs("<h2>Not readable</h2>\n<ul>\n", out);
    for (size_t i = 0; i < runs->n; i++)
        if (is_broken(&runs->run[i])) {
            fputs("<li>", out);
            fx_html_text(out, runs->run[i].why.msg);
            fputs("</li>\n", out);
        }
    fputs("</ul>\n", out);
}

/* ---- all runs in one chart ------------------------------------------------------------------- */

static void fill_overview(struct fx_curve *curve, const struct fx_run *run, double *xy, size_t i)
{
    static const char *const styles[] = { "c0",      "c1",      "c2",      "c3",
                                          "c4",      "c5",      "c6",      "c7",
                                          "c0 dash", "c1 dash", "c2 dash", "c3 dash",
                                          "c4 dash", "c5 dash", "c6 dash", "c7 dash" };
    size_t n = json_array_size(run->epochs);

    *curve = (struct fx_curve){ .label = run->name, .x = xy, .y = xy + n, .n = n };
    curve->style = styles[i % (sizeof styles / sizeof styles[0])];
    for (size_t e = 0; e < n; e++) {
        xy[e] = fx_event_number(json_array_get(run->epochs, e), "epoch");
        xy[n + e] = fx_event_number(json_array_get(run->epochs, e), "val_accuracy");
    }
}

static void put_overview(FILE *out, const struct fx_runs *runs)
{
    size_t n_points = 0;

    for (size_t i = 0; i < runs->n; i++)
        n_points += json_array_size(runs->run[i].epochs);
    double *xy = malloc(2 * n_points * sizeof *xy + 1);
    struct fx_curve *curves = malloc(runs->n * sizeof *curves + 1);
    if (xy != NULL && curves != NULL && n_points > 0) {
        size_t at = 0;
        for (size_t i = 0; i < runs->n; i++) {
            fill_overview(&curves[i], &runs->run[i], xy + 2 * at, i);
            at += json_array_size(runs->run[i].epochs);
        }
        fputs("<h2>Learning curves</h2>\n<div class=\"charts one\">\n", out);
        fx_chart_write(out, "Validation accuracy of every run, %", curves, runs->n);
        fputs("</div>\n", out);
    }
    free(curves);
    free(xy);
}

/* ---- the page -------------------------------------------------------------------------------- */

/* The newest moment that any run tells of: the page is as old as its newest number. */
static const char *newest(const struct fx_runs *runs)
{
    const char *latest = NULL;

    for (size_t i = 0; i < runs->n; i++) {
        const struct fx_run *run = &runs->run[i];
        const json_t *events[] = { run->start, run->before, run->eval, fx_run_last_epoch(run),
                                   run->end };
        for (size_t e = 0; e < sizeof events / sizeof events[0]; e++) {
            const char *time = fx_event_text(events[e], "timestamp");
            if (!is_broken(run) && time != NULL && (latest == NULL || strcmp(time, latest) > 0))
                latest = time;
        }
    }
    return latest;
}

static void put_head(FILE *out, const char *title, const struct fx_runs *runs)
{
    size_t n_done = 0;

    for (size_t i = 0; i < runs->n; i++)
        n_done += runs->run[i].state == FX_RUN_DONE;
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>",
          out);
    fx_html_text(out, title);
    fprintf(out, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<h1>", fx_report_style);
    fx_html_text(out, title);
    fprintf(out, "</h1>\n<p class=\"soft\">%zu %s, %zu done", runs->n,
            runs->n == 1 ? "run" : "runs", n_done);
    if (newest(runs) != NULL) {
        fputs("; as of ", out);
        fx_html_text(out, newest(runs));
    }
    fprintf(out, "; fusion-tools %s</p>\n", fx_version);
}

void fx_report_write(FILE *out, const char *title, const struct fx_runs *runs)
{
    put_head(out, title, runs);
    put_results(out, runs);
    put_before_after(out, runs);
    put_lone(out, runs);
    put_broken(out, runs);
    put_overview(out, runs);
    for (size_t i = 0; i < runs->n; i++)
        if (runs->run[i].start != NULL && !is_broken(&runs->run[i]))
            fx_report_run(out, &runs->run[i], i);
    fputs("</body>\n</html>\n", out);
}
