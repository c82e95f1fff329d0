/* Asking a long run to stop: SIGTERM and SIGUSR1 (exit 75), SIGINT (exit 130), SIGHUP when the
 * terminal is gone (exit 129), SIGPIPE when the consumer of stdout is gone (exit 141). */
#ifndef FX_BASE_STOP_H
#define FX_BASE_STOP_H

#include <stdbool.h>

/* fx_stop_catch: from now on the five signals set a flag instead of ending the process; a second
 * SIGINT ends it at once.  Used by the trainers only: they save their state, return FX_ESTOPPED,
 * and fx_tool_exit ends the process as the signal asks. */
void fx_stop_catch(void);
bool fx_stop_requested(void);
int fx_stop_signal(void); /* the first signal that asked (SIGPIPE wins), or 0 */

#endif
