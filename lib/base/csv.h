/* Fields of CSV: RFC 4180. */
#ifndef FX_BASE_CSV_H
#define FX_BASE_CSV_H

#include <stdio.h>

/* fx_csv_text: writes one field, quoted where necessary.  A text that a spreadsheet would take for
 * a formula gets a leading apostrophe.  Bytes that are not UTF-8, and characters that could affect
 * a terminal (fx_utf8_is_inert), tabs and line ends apart, become U+FFFD: names may be untrusted.
 */
void fx_csv_text(FILE *row, const char *text);

#endif
