/* Words of a list such as "none|cutmix|mixup", by position from 0; the values of an enumeration are
 * in the order of its list. */
#ifndef FX_BASE_WORDS_H
#define FX_BASE_WORDS_H

#include <stddef.h>

/* fx_word_find: the number of the word in the list, or -1. */
int fx_word_find(const char *list, const char *word);

enum { FX_WORD_BYTES = 32 };

/* fx_word_text: word `number` of the list into buf; returns buf. */
const char *fx_word_text(const char *list, int number, char buf[FX_WORD_BYTES]);

#endif
