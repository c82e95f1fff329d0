/* What the tables and the sections of the page are made of. */
#include "track/report_internal.h"

#include "track/html_internal.h"

#include <math.h>
#include <string.h>

void fx_report_table(FILE *out, const char *const *titles)
{
    fputs("<div class=\"wide\"><table>\n<thead><tr>", out);
    for (; *titles; titles++)
        fprintf(out, "<th scope=\"col\">%s</th>", *titles);
    fputs("</tr></thead>\n<tbody>\n", out);
}

void fx_report_table_end(FILE *out)
{
    fputs("</tbody></table></div>\n", out);
}

void fx_report_percent(FILE *out, double value, const char *class)
{
    fprintf(out, "<td%s%s%s>", class ? " class=\"" : "", class ? class : "", class ? "\"" : "");
    if (isfinite(value))
        fprintf(out, "%.2f</td>", value);
    else
        fputs("–</td>", out);
}

void fx_report_gain(FILE *out, double value)
{
    if (isfinite(value))
        fprintf(out, "<td class=\"%s\">%s%.2f</td>", value < 0 ? "down" : "up",
                value < 0 ? "−" : "+", fabs(value));
    else
        fputs("<td>–</td>", out);
}

/* Heads differ by the text in front of their members. */
double fx_report_number(const json_t *event, int head, const char *name)
{
    char member[64];

    snprintf(member, sizeof member, "%s%s",
             head == FX_REPORT_FUSED      ? ""
             : head == FX_REPORT_ENSEMBLE ? "ensemble_"
                                          : "expert_",
             name);
    return head >= 0 ? fx_event_number_at(event, member, (size_t)head)
                     : fx_event_number(event, member);
}

void fx_report_head(FILE *out, int head)
{
    if (head >= 0)
        fprintf(out, "<tr><td>expert %d</td>", head);
    else
        fprintf(out, "<tr><td>%s</td>", head == FX_REPORT_FUSED ? "fused" : "ensemble");
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
    if (fusion) {
        fputs(" × ", out);
        fx_html_text(out, fusion);
    } else if (expert) {
        fputs(strcmp(expert, "all") == 0 ? ", single network on all images" : ", expert ", out);
        if (strcmp(expert, "all") != 0)
            fx_html_text(out, expert);
    }
}

void fx_report_link(FILE *out, const struct fx_runs *runs, const struct fx_run *run)
{
    fprintf(out, "<a href=\"#run-%zu\">", (size_t)(run - runs->run));
    fx_html_name(out, run->name);
    fputs("</a> ", out);
    if (run->state != FX_RUN_DONE)
        fx_report_state(out, run);
}

void fx_report_images(FILE *out, const struct fx_scores *scores)
{
    bool is_val = scores->split && strcmp(scores->split, "val") == 0;

    fputs("<td>", out);
    if (scores->images > 0)
        fprintf(out, "%lld ", (long long)scores->images);
    fx_html_text(out, is_val ? "validation" : scores->split);
    fputs("</td>", out);
}

void fx_report_duration(FILE *out, double seconds)
{
    long s = lround(seconds);

    fprintf(out, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
}
