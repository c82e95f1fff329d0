/* Escaping, the one way that text from a run gets onto a page. */
#include "track/html.h"

void fx_html_text(FILE *out, const char *text)
{
    for (; text != NULL && *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '&')
            fputs("&amp;", out);
        else if (c == '<')
            fputs("&lt;", out);
        else if (c == '>')
            fputs("&gt;", out);
        else if (c == '"')
            fputs("&quot;", out);
        else if (c == '\'')
            fputs("&#39;", out);
        else if (c < ' ' || c == 0x7f)
            fputs("&#xfffd;", out);
        else
            fputc(c, out);
    }
}
