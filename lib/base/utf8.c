/* Decoding by the table of well-formed byte sequences, and quoting character by character. */
#include "base/utf8.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The bytes that a first byte announces, and the smallest code they may hold; 0: no first byte. */
static size_t announced(unsigned char first, uint32_t *smallest)
{
    static const uint32_t smallest_of[] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t n = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

    if (first > 0xf4)
        n = 0;
    *smallest = smallest_of[n];
    return n;
}

size_t fx_utf8_next(const char *text, uint32_t *code)
{
    unsigned char first = (unsigned char)text[0];
    uint32_t smallest, value;
    size_t n = first == '\0' ? 0 : announced(first, &smallest);

    if (n == 0)
        return 0;
    value = n == 1 ? first : first & (0x7fU >> n);
    for (size_t i = 1; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if ((c & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (c & 0x3fU);
    }
    if (value < smallest || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        return 0;
    *code = value;
    return n;
}

bool fx_utf8_is_inert(uint32_t code)
{
    static const struct {
        uint32_t from, to;
    } active[] = {
        { 0, 0x1f },        { 0x7f, 0x9f },     /* C0, DEL, C1 */
        { 0x061c, 0x061c }, { 0x200e, 0x200f }, /* marks of direction */
        { 0x2028, 0x202e },                     /* separators, embeddings and overrides */
        { 0x2066, 0x2069 }, { 0xfeff, 0xfeff }, /* isolates; the byte order mark */
    };

    for (size_t i = 0; i < sizeof active / sizeof *active; i++)
        if (code >= active[i].from && code <= active[i].to)
            return false;
    return true;
}

char *fx_utf8_mend(const char *text)
{
    char *mended = malloc(3 * strlen(text) + 1), *at = mended;
    uint32_t code;

    if (!mended)
        return NULL;
    while (*text != '\0') {
        size_t n = fx_utf8_next(text, &code);
        at = n > 0 ? mempcpy(at, text, n) : stpcpy(at, "\xef\xbf\xbd");
        text += n > 0 ? n : 1;
    }
    *at = '\0';
    return mended;
}

void fx_utf8_trim(char *text)
{
    size_t n = strlen(text), back = 0;
    uint32_t smallest;

    while (back < 3 && back < n && ((unsigned char)text[n - 1 - back] & 0xc0) == 0x80)
        back++;
    if (back < n && announced((unsigned char)text[n - 1 - back], &smallest) > back + 1)
        text[n - 1 - back] = '\0';
}

/* ---- quoting ----------------------------------------------------------------------------------
 */

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
