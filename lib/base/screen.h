/* A full-screen terminal: the alternate screen and single keys; the terminal is restored when the
 * tool ends, however it ends. */
#ifndef FX_BASE_SCREEN_H
#define FX_BASE_SCREEN_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

/* fx_screen_wanted: stdout is a terminal that knows escape sequences. */
bool fx_screen_wanted(void);

/* Keys that are no character. */
enum fx_key {
    FX_KEY_NONE = 0,
    FX_KEY_CTRL_C = 3,
    FX_KEY_BACKSPACE = 8,
    FX_KEY_ENTER = 13,
    FX_KEY_CTRL_Z = 26,
    FX_KEY_ESCAPE = 27,
    FX_KEY_DELETE = 127, /* what most terminals send for backspace */
    FX_KEY_UP = 256,
    FX_KEY_DOWN,
    FX_KEY_PAGE_UP,
    FX_KEY_PAGE_DOWN,
    FX_KEY_HOME,
    FX_KEY_END,
    FX_KEY_GONE, /* the terminal is gone */
};

/* fx_screen_open: takes the terminal of stdout.  Keys come one by one and unseen, Ctrl-C among
 * them; signals put everything back before they end the process or, SIGTSTP, stop it. */
enum fx_status fx_screen_open(struct fx_err *err) FX_MUST_CHECK;
void fx_screen_close(void); /* no-op when it is not open */

void fx_screen_size(int *n_columns, int *n_lines);

/* fx_screen_draw: replaces what is shown by this text of whole lines. */
enum fx_status fx_screen_draw(const char *text, size_t n, struct fx_err *err) FX_MUST_CHECK;

/* fx_screen_wait: the next byte or key, or FX_KEY_NONE after wait_ms or when the size has changed.
 */
int fx_screen_wait(int wait_ms);

#endif
