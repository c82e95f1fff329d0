/* UTF-8, which names from files may or may not be: reading, mending, and escaping it for a
 * terminal. */
#ifndef FX_BASE_UTF8_H
#define FX_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* fx_utf8_next: the bytes of the character at the start of the text, its number in *code; 0 when
 * they are no UTF-8 (RFC 3629), or at the end of the text. */
size_t fx_utf8_next(const char *text, uint32_t *code);

/* fx_utf8_is_inert: whether it only shows itself: no control character (C0, DEL, C1), no line or
 * paragraph separator, no mark that changes the direction of the text around it. */
bool fx_utf8_is_inert(uint32_t code);

/* fx_utf8_mend: a copy in which every byte that is no UTF-8 is U+FFFD; owned by the caller, NULL
 * when memory is short. */
char *fx_utf8_mend(const char *text);

/* fx_utf8_trim: takes a character that was cut off away from the end of the text. */
void fx_utf8_trim(char *text);

/* Escaping text from a file or the command line before it is printed to a terminal: what is not
 * UTF-8 becomes "\x9b" byte by byte, a character that could do more than show itself
 * (fx_utf8_is_inert) "\x1b" or "\u202e".  All else stays. */

/* fx_quote: into n bytes with the NUL; what does not fit is left out, in whole characters. */
void fx_quote(char *quoted, size_t n, const char *text);
void fx_quote_put(FILE *out, const char *text);

#endif
