/* Text into HTML and SVG. */
#ifndef FX_TRACK_HTML_INTERNAL_H
#define FX_TRACK_HTML_INTERNAL_H

#include <stdio.h>

/* fx_html_text: the text with everything that has a meaning in HTML escaped, in elements and in
 * quoted attributes; what is no UTF-8 or could do more than show itself (fx_utf8_is_inert) becomes
 * U+FFFD.  NULL: nothing. */
void fx_html_text(FILE *out, const char *text);

/* fx_html_name: the same for a name in an element: lines may break after its slashes, dashes and
 * underscores. */
void fx_html_name(FILE *out, const char *text);

#endif
