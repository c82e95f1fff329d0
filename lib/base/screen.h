/* The whole terminal for a while: an alternate screen, single keys, and everything as it was when
 * the tool ends, whichever way it does. */
#ifndef FX_BASE_SCREEN_H
#define FX_BASE_SCREEN_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

/* fx_screen_wanted: stdout is a terminal that knows escape sequences. */
bool fx_screen_wanted(void);

/* fx_screen_open: takes the terminal of stdout.  Keys come one by one and unseen, Ctrl-C among
 * them; SIGINT, SIGTERM and SIGHUP put everything back before they end the process. */
enum fx_status fx_screen_open(struct fx_err *err) FX_MUST_CHECK;
void fx_screen_close(void); /* no-op when it is not open */

void fx_screen_size(int *n_columns, int *n_lines);

/* fx_screen_draw: replaces what is shown by this text of whole lines. */
enum fx_status fx_screen_draw(const char *text, size_t n, struct fx_err *err) FX_MUST_CHECK;

/* fx_screen_wait: the next key, or 0 after wait_ms or when the size has changed. */
int fx_screen_wait(int wait_ms);

#endif
