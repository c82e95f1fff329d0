/* Log messages on stderr, each line "TOOL: message", with the run's task in front when one
 * is set, by FUSION_TASK or --task: "[task-0-densenet-multiplicative] TOOL: message".  A line is
 * one write, so that the lines of parallel runs do not mix. */
#ifndef FX_BASE_LOG_H
#define FX_BASE_LOG_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

enum fx_log_level { FX_LOG_QUIET = 0, FX_LOG_NORMAL = 1, FX_LOG_VERBOSE = 2 };

/* Before this call nothing is logged: the library may be part of another program. */
void fx_log_set(const char *tool, enum fx_log_level level);
/* The task: borrowed; NULL for none.  fx_log_put_task: "[TASK] ", or "" without one, for those who
 * cannot use the functions below; returns its length. */
void fx_log_set_task(const char *task);
size_t fx_log_put_task(char *line, size_t n);
enum fx_log_level fx_log_get_level(void);

void fx_log_info(const char *fmt, ...) FX_PRINTF(1, 2);    /* hidden by --quiet */
void fx_log_verbose(const char *fmt, ...) FX_PRINTF(1, 2); /* shown by --verbose */
void fx_log_warn(const char *fmt, ...) FX_PRINTF(1, 2);    /* always shown, "warning: " */
void fx_log_error(const char *fmt, ...) FX_PRINTF(1, 2);   /* always shown; for fx_tool_exit */

/* A progress line: redrawn in place on a terminal (at most 10 times a second, TERM not dumb, not
 * --quiet), nothing elsewhere.  Any other message clears it first.  fx_log_progress_end removes it.
 */
bool fx_log_progress_wanted(void);
void fx_log_progress(const char *fmt, ...) FX_PRINTF(1, 2);
void fx_log_progress_end(void);

#endif
