/* One character or byte after the other. */
#include "base/quote.h"

#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

enum { PIECE_BYTES = 16 };

/* Quotes what is at the start of the text, a character or a byte; returns its length in the text.
 */
static size_t quote_next(char piece[PIECE_BYTES], const char *text)
{
    uint32_t code;
    size_t n = fx_utf8_next(text, &code);

    if (n == 0)
        snprintf(piece, PIECE_BYTES, "\\x%02x", (unsigned)(unsigned char)*text);
    else if (fx_utf8_is_inert(code))
        snprintf(piece, PIECE_BYTES, "%.*s", (int)n, text);
    else
        snprintf(piece, PIECE_BYTES, code < 0x80 ? "\\x%02x" : "\\u%04x", (unsigned)code);
    return n > 0 ? n : 1;
}

void fx_quote(char *quoted, size_t n, const char *text)
{
    char piece[PIECE_BYTES];
    size_t at = 0;

    while (*text != '\0') {
        text += quote_next(piece, text);
        if (at + strlen(piece) >= n)
            break;
        at = (size_t)(stpcpy(quoted + at, piece) - quoted);
    }
    quoted[at] = '\0';
}

void fx_quote_put(FILE *out, const char *text)
{
    char piece[PIECE_BYTES];

    while (*text != '\0') {
        text += quote_next(piece, text);
        fputs(piece, out);
    }
}
