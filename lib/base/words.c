/* Words between bars. */
#include "base/words.h"

#include <stdio.h>
#include <string.h>

/* The word behind the one at `word`; NULL after the last one. */
static const char *next(const char *word)
{
    const char *bar = strchr(word, '|');

    return bar ? bar + 1 : NULL;
}

int fx_word_find(const char *list, const char *word)
{
    size_t n = strlen(word);
    int number = 0;

    for (const char *at = list; at; at = next(at), number++)
        if (strcspn(at, "|") == n && memcmp(at, word, n) == 0)
            return number;
    return -1;
}

const char *fx_word_text(const char *list, int number, char buf[FX_WORD_BYTES])
{
    const char *at = list;

    while (at && number-- > 0)
        at = next(at);
    snprintf(buf, FX_WORD_BYTES, "%.*s", at ? (int)strcspn(at, "|") : 0, at ? at : "");
    return buf;
}
