/* Escaping, the one way that text from a run gets onto a page. */
#include "track/html_internal.h"

#include "base/utf8.h"

#include <stdbool.h>
#include <stddef.h>

/* Puts what is at the start of the text, a character or a byte; returns its length. */
static size_t put_next(FILE *out, const char *text)
{
    uint32_t code;
    size_t n = fx_utf8_next(text, &code);

    if (n == 0 || !fx_utf8_is_inert(code))
        fputs("&#xfffd;", out);
    else if (code == '&')
        fputs("&amp;", out);
    else if (code == '<')
        fputs("&lt;", out);
    else if (code == '>')
        fputs("&gt;", out);
    else if (code == '"')
        fputs("&quot;", out);
    else if (code == '\'')
        fputs("&#39;", out);
    else
        fwrite(text, 1, n, out);
    return n > 0 ? n : 1;
}

void fx_html_text(FILE *out, const char *text)
{
    while (text && *text != '\0')
        text += put_next(out, text);
}

void fx_html_name(FILE *out, const char *text)
{
    while (*text != '\0') {
        bool may_break = *text == '/' || *text == '-' || *text == '_';
        text += put_next(out, text);
        if (may_break)
            fputs("<wbr>", out);
    }
}
