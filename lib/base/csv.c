/* Quotes round what has commas, quotes or line ends in it. */
#include "base/csv.h"

#include <string.h>

void fx_csv_text(FILE *row, const char *text)
{
    const char *apostrophe = text[0] != '\0' && strchr("=+-@\t\r", text[0]) ? "'" : "";

    if (!strpbrk(text, ",\"\r\n")) {
        fprintf(row, "%s%s", apostrophe, text);
        return;
    }
    fprintf(row, "\"%s", apostrophe);
    for (; *text != '\0'; text++) {
        if (*text == '"')
            fputc('"', row);
        fputc(*text, row);
    }
    fputc('"', row);
}
