/* Quotes round what has commas, quotes or line ends in it. */
#include "base/csv.h"

#include "base/utf8.h"

#include <stdbool.h>
#include <string.h>

/* Puts what is at the start of the text, a character or a byte; returns its length. */
static size_t put_next(FILE *row, const char *text)
{
    uint32_t code;
    size_t n = fx_utf8_next(text, &code);

    if (n == 0 || (!fx_utf8_is_inert(code) && !strchr("\t\n\r", *text))) {
        fputs("\xef\xbf\xbd", row); /* U+FFFD */
        return n > 0 ? n : 1;
    }
    if (*text == '"')
        fputc('"', row);
    fwrite(text, 1, n, row);
    return n;
}

void fx_csv_text(FILE *row, const char *text)
{
    bool is_quoted = strpbrk(text, ",\"\r\n");

    if (is_quoted)
        fputc('"', row);
    if (text[0] != '\0' && strchr("=+-@\t\r", text[0]))
        fputc('\'', row);
    while (*text != '\0')
        text += put_next(row, text);
    if (is_quoted)
        fputc('"', row);
}
