/* Fields of CSV: RFC 4180. */
#ifndef FX_BASE_CSV_H
#define FX_BASE_CSV_H

#include <stdio.h>

/* fx_csv_text: one field, quoted where it must be.  A text that a spreadsheet would take for a
 * formula has an apostrophe in front, which says it is a text: names may come from somebody else.
 */
void fx_csv_text(FILE *row, const char *text);

#endif
