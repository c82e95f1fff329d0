/* Asking a long run to stop: SIGTERM and SIGUSR1 (exit 75), SIGINT (exit 130). */
#ifndef FX_BASE_STOP_H
#define FX_BASE_STOP_H

#include <stdbool.h>

/* fx_stop_catch: from now on the three signals set a flag instead of ending the process; a second
 * SIGINT ends it at once.  Used by the trainers only. */
void fx_stop_catch(void);
bool fx_stop_requested(void);
int fx_stop_signal(void); /* the signal that asked, or 0 */

#endif
