/* Names from files, which may be invalid UTF-8: decoding, repairing, and escaping for a terminal.
 */
#ifndef FX_BASE_UTF8_H
#define FX_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* fx_utf8_next: decodes the first character: returns its length in bytes, *code is the code point;
 * 0 for invalid UTF-8 (RFC 3629) and at the end of the text. */
size_t fx_utf8_next(const char *text, uint32_t *code);

/* fx_utf8_is_inert: whether it is safe on a terminal: no control character (C0, DEL, C1), no line
 * or paragraph separator, no mark that changes the direction of text. */
bool fx_utf8_is_inert(uint32_t code);

/* fx_utf8_mend: a copy in which every byte that is not UTF-8 is replaced by U+FFFD; owned by the
 * caller, NULL when memory is short. */
char *fx_utf8_mend(const char *text);

/* fx_utf8_trim: removes an incomplete character from the end of the text. */
void fx_utf8_trim(char *text);

/* Escape text from a file or the command line before it is printed to a terminal: a byte that is
 * not UTF-8 becomes "\x9b", a character that is not safe (fx_utf8_is_inert) "\x1b" or "\u202e"; the
 * rest is unchanged. */

/* fx_quote: into a buffer of n bytes, with a NUL; truncated at a whole character.  fx_quote_put: to
 * a stream. */
void fx_quote(char *quoted, size_t n, const char *text);
void fx_quote_put(FILE *out, const char *text);

#endif
