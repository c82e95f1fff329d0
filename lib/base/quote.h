/* Escaping text from a file or the command line before it is printed to a terminal. */
#ifndef FX_BASE_QUOTE_H
#define FX_BASE_QUOTE_H

#include <stddef.h>
#include <stdio.h>

/* What is not UTF-8 becomes "\x9b" byte by byte, a character that could do more than show itself
 * (fx_utf8_is_inert) "\x1b" or "\u202e".  All else stays. */

/* fx_quote: into n bytes with the NUL; what does not fit is left out, in whole characters. */
void fx_quote(char *quoted, size_t n, const char *text);
void fx_quote_put(FILE *out, const char *text);

#endif
