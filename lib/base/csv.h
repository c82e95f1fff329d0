/* Fields of CSV: RFC 4180. */
#ifndef FX_BASE_CSV_H
#define FX_BASE_CSV_H

#include <stdio.h>

/* fx_csv_text: one field, quoted where it must be.  A text that a spreadsheet would take for a
 * formula has an apostrophe in front, which says it is a text; what is no UTF-8 or could do more to
 * a terminal than show itself (fx_utf8_is_inert) becomes U+FFFD, but for tabs and line ends: names
 * may come from somebody else. */
void fx_csv_text(FILE *row, const char *text);

#endif
