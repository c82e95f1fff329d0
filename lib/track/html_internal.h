/* Text into HTML and SVG. */
#ifndef FX_TRACK_HTML_INTERNAL_H
#define FX_TRACK_HTML_INTERNAL_H

#include <stddef.h>
#include <stdio.h>

/* fx_html_text: the text with everything that has a meaning in HTML escaped, in elements and in
 * quoted attributes; what is no UTF-8 or could do more than show itself (fx_utf8_is_inert) becomes
 * U+FFFD.  NULL: nothing. */
void fx_html_text(FILE *out, const char *text);

/* fx_html_name: the same for a name in an element: lines may break after its slashes, dashes and
 * underscores. */
void fx_html_name(FILE *out, const char *text);

/* A line chart as inline SVG. */

/* One curve: points (x, y); NaN leaves a gap. */
struct fx_curve {
    const char *label;   /* borrowed; escaped on the way out */
    const char *style;   /* class of the stroke in the style sheet: "c0 thick" */
    int marker;          /* shape of the points, from 0 */
    const double *x, *y; /* borrowed */
    size_t n;
};

/* fx_curve_look: gives the curve the i-th look; 160 of them differ in colour, dashes or marker. */
void fx_curve_look(struct fx_curve *curve, size_t i);

struct fx_chart {
    const char *caption; /* borrowed; escaped on the way out */
    const char *x_label; /* borrowed; NULL: "epoch" */
    const struct fx_curve *curves;
    size_t n_curves;
    /* Curves that the axes must have room for: the same ones for charts to be compared. */
    const struct fx_curve *fitted;
    size_t n_fitted;
};

/* fx_chart_write: a figure with a caption, the curves over axes with round numbers, and a legend.
 * Curves without a finite point are left out; with none at all, nothing is written. */
void fx_chart_write(FILE *out, const struct fx_chart *chart);

#endif
