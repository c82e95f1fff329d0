/* Text into HTML and SVG. */
#ifndef FX_TRACK_HTML_H
#define FX_TRACK_HTML_H

#include <stdio.h>

/* fx_html_text: the text with everything that has a meaning in HTML escaped, in elements and in
 * quoted attributes; control characters become U+FFFD.  NULL: nothing. */
void fx_html_text(FILE *out, const char *text);

#endif
