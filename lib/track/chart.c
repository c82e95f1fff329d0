/* Axes, curves and legend; colours and fonts are the style sheet's. */
#include "track/html_internal.h"

#include <math.h>
#include <stdbool.h>

/* In the units of the view box; the page scales it. */
enum { WIDTH = 560, HEIGHT = 260, LEFT = 48, RIGHT = 12, TOP = 12, BOTTOM = 34 };
enum { TICKS_WANTED = 5, DOTS_MAX = 12, DOTS_OF_LONG = 6, POINTS_MAX = 200 };

/* Shapes of points, as paths from their middle. */
static const char *const markers[] = {
    "m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z", /* circle */
    "m-2.7-2.7h5.4v5.4h-5.4z",            /* square */
    "m0-3.6l3.4 6h-6.8z",                 /* triangle */
    "m0-3.8l3.8 3.8l-3.8 3.8l-3.8-3.8z",  /* diamond */
    "m-3.4 0h6.8m-3.4-3.4v6.8",           /* cross */
};
enum { N_MARKERS = sizeof markers / sizeof *markers };

struct axis {
    double min, max, step;
};
struct frame {
    struct axis x, y;
};

static double px(const struct frame *frame, double x)
{
    return LEFT + (x - frame->x.min) / (frame->x.max - frame->x.min) * (WIDTH - LEFT - RIGHT);
}

static double py(const struct frame *frame, double y)
{
    return HEIGHT - BOTTOM -
           (y - frame->y.min) / (frame->y.max - frame->y.min) * (HEIGHT - TOP - BOTTOM);
}

/* 1, 2 or 5 times a power of ten, so that about TICKS_WANTED of them fill the range. */
static double round_step(double range)
{
    double power = pow(10, floor(log10(range / TICKS_WANTED)));
    double digits = range / TICKS_WANTED / power;

    return power * (digits < 1.5 ? 1 : digits < 3.5 ? 2 : digits < 7.5 ? 5 : 10);
}

static bool is_drawn(const struct fx_curve *curve)
{
    for (size_t i = 0; i < curve->n; i++)
        if (isfinite(curve->y[i]) && isfinite(curve->x[i]))
            return true;
    return false;
}

static void widen(struct axis *axis, double value)
{
    axis->min = fmin(axis->min, value);
    axis->max = fmax(axis->max, value);
}

/* Rounds the ends outwards to whole ticks. */
static void settle(struct axis *axis, bool whole)
{
    if (axis->max - axis->min < 1e-9 * fmax(1, fabs(axis->max)))
        axis->max = axis->min + 1;
    axis->step = round_step(axis->max - axis->min);
    if (whole && axis->step < 1)
        axis->step = 1;
    axis->min = floor(axis->min / axis->step + 1e-9) * axis->step;
    axis->max = ceil(axis->max / axis->step - 1e-9) * axis->step;
}

static bool fit(struct frame *frame, const struct fx_curve *curves, size_t n_curves)
{
    struct axis none = { .min = INFINITY, .max = -INFINITY };

    *frame = (struct frame){ none, none };
    for (size_t c = 0; c < n_curves; c++)
        for (size_t i = 0; i < curves[c].n; i++)
            if (isfinite(curves[c].y[i]) && isfinite(curves[c].x[i])) {
                widen(&frame->x, curves[c].x[i]);
                widen(&frame->y, curves[c].y[i]);
            }
    if (!isfinite(frame->x.min))
        return false;
    settle(&frame->x, true);
    settle(&frame->y, false);
    return true;
}

/* ---- drawing --------------------------------------------------------------------------------- */

static int n_ticks(const struct axis *axis)
{
    return (int)lround((axis->max - axis->min) / axis->step) + 1;
}

static void put_axes(FILE *out, const struct frame *frame, const char *x_label)
{
    for (int i = 0; i < n_ticks(&frame->y); i++) {
        double value = frame->y.min + i * frame->y.step, y = py(frame, value);
        fprintf(out, "<path class=\"grid\" d=\"M%d %.1fH%d\"/>", LEFT, y, WIDTH - RIGHT);
        fprintf(out, "<text x=\"%d\" y=\"%.1f\" class=\"end\">%.6g</text>\n", LEFT - 6, y + 4,
                fabs(value) < frame->y.step / 2 ? 0 : value);
    }
    for (int i = 0; i < n_ticks(&frame->x); i++) {
        double value = frame->x.min + i * frame->x.step;
        fprintf(out, "<text x=\"%.1f\" y=\"%d\" class=\"mid\">%.6g</text>\n", px(frame, value),
                HEIGHT - BOTTOM + 16, value);
    }
    fprintf(out, "<path class=\"axis\" d=\"M%d %dH%d\"/>\n", LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT);
    fprintf(out, "<text x=\"%d\" y=\"%d\" class=\"end\">%s</text>\n", WIDTH - RIGHT, HEIGHT - 3,
            x_label);
}

static bool is_point(const struct fx_curve *curve, size_t i)
{
    return isfinite(curve->y[i]) && isfinite(curve->x[i]);
}

/* Every point of a short curve is marked, of a long one a few, elsewhere than on the next curve. */
static bool is_marked(const struct fx_curve *curve, size_t i)
{
    size_t every = curve->n / DOTS_OF_LONG;

    return curve->n <= DOTS_MAX ||
           (i + every - every * (size_t)curve->marker / N_MARKERS) % every == 0;
}

/* All points tell their value under the mouse. */
static void put_points(FILE *out, const struct frame *frame, const struct fx_curve *curve,
                       const char *x_label)
{
    for (size_t i = 0; i < curve->n; i++) {
        bool is_seen = is_marked(curve, i);
        if (!is_point(curve, i) || (!is_seen && curve->n > POINTS_MAX))
            continue;
        fprintf(out, "<path class=\"%s %s\" d=\"M%.1f %.1f%s\"><title>", is_seen ? "dot" : "point",
                curve->style, px(frame, curve->x[i]), py(frame, curve->y[i]),
                markers[curve->marker]);
        fx_html_text(out, curve->label);
        fprintf(out, ", %s %.6g: %.5g</title></path>\n", x_label, curve->x[i], curve->y[i]);
    }
}

static void put_curve(FILE *out, const struct frame *frame, const struct fx_curve *curve,
                      const char *x_label)
{
    bool in_line = false;

    fprintf(out, "<path class=\"line %s\" d=\"", curve->style);
    for (size_t i = 0; i < curve->n; i++) {
        if (is_point(curve, i))
            fprintf(out, "%c%.1f %.1f", in_line ? 'L' : 'M', px(frame, curve->x[i]),
                    py(frame, curve->y[i]));
        in_line = is_point(curve, i);
    }
    fputs("\"/>\n", out);
    put_points(out, frame, curve, x_label);
}

static void put_legend(FILE *out, const struct fx_chart *chart)
{
    fputs("<ul class=\"legend\">\n", out);
    for (size_t c = 0; c < chart->n_curves; c++) {
        const struct fx_curve *curve = &chart->curves[c];
        if (!is_drawn(curve))
            continue;
        fprintf(out,
                "<li><svg class=\"key\" viewBox=\"0 0 30 8\" aria-hidden=\"true\"><path "
                "class=\"line %s\" d=\"M1 4H29\"/><path class=\"dot %s\" d=\"M15 4%s\"/></svg>",
                curve->style, curve->style, markers[curve->marker]);
        fx_html_text(out, curve->label);
        fputs("</li>\n", out);
    }
    fputs("</ul>\n", out);
}

void fx_chart_write(FILE *out, const struct fx_chart *chart)
{
    const char *x_label = chart->x_label ? chart->x_label : "epoch";
    struct frame frame;
    bool is_empty = true;

    for (size_t c = 0; c < chart->n_curves; c++)
        is_empty &= !is_drawn(&chart->curves[c]);
    if (is_empty || !fit(&frame, chart->fitted, chart->n_fitted))
        return;
    fputs("<figure>\n<figcaption>", out);
    fx_html_text(out, chart->caption);
    fprintf(out, "</figcaption>\n<svg class=\"chart\" viewBox=\"0 0 %d %d\" role=\"img\">\n<title>",
            WIDTH, HEIGHT);
    fx_html_text(out, chart->caption);
    fputs("</title>\n", out);
    put_axes(out, &frame, x_label);
    /* What is listed first matters most: it is drawn last, on top. */
    for (size_t c = chart->n_curves; c-- > 0;)
        if (is_drawn(&chart->curves[c]))
            put_curve(out, &frame, &chart->curves[c], x_label);
    fputs("</svg>\n", out);
    put_legend(out, chart);
    fputs("</figure>\n", out);
}

void fx_curve_look(struct fx_curve *curve, size_t i)
{
#define EIGHT(dashes)                                                                              \
    "c0" dashes, "c1" dashes, "c2" dashes, "c3" dashes, "c4" dashes, "c5" dashes, "c6" dashes,     \
        "c7" dashes
    static const char *const styles[] = { EIGHT(""), EIGHT(" dash"), EIGHT(" dots"),
                                          EIGHT(" long") };

    curve->style = styles[i % (sizeof styles / sizeof *styles)];
    curve->marker = (int)(i % N_MARKERS);
}
