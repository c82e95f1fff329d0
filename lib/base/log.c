/* Lines on stderr, and one line on a terminal that is drawn again and again. */
#include "base/log.h"

#include "base/clock.h"
#include "base/env.h"
#include "base/utf8.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Quoted, a byte may take four. */
enum { TEXT_BYTES = FX_ERR_MSG_BYTES + 256, LINE_BYTES = 4 * TEXT_BYTES, COLUMNS_DEFAULT = 80 };

static const double REDRAW_SECONDS = 0.1;

static const char *tool_name; /* borrowed; NULL: in somebody else's program, nothing is said */
static const char *task_name; /* borrowed, NULL for none */
static enum fx_log_level level = FX_LOG_NORMAL;

static bool progress_shown;
static double progress_time; /* fx_seconds of the last drawing */

void fx_log_set(const char *tool, enum fx_log_level new_level)
{
    tool_name = tool;
    level = new_level;
}

void fx_log_set_task(const char *task)
{
    task_name = task;
}

enum fx_log_level fx_log_get_level(void)
{
    return level;
}

/* ---- lines ------------------------------------------------------------------------------------
 */

static void emit(const char *text, size_t n)
{
    ssize_t put = write(STDERR_FILENO, text, n);
    (void)put; /* there is no one left to tell */
}

size_t fx_log_put_task(char *line, size_t n)
{
    line[0] = '\0';
    if (task_name) {
        line[0] = '[';
        fx_quote(line + 1, n - 3, task_name);
        stpcpy(line + strlen(line), "] ");
    }
    return strlen(line);
}

/* The task that is set, and the text, on a line that can do nothing to the terminal. */
static size_t put_quoted(char line[LINE_BYTES], const char *text)
{
    size_t n = fx_log_put_task(line, LINE_BYTES / 2);

    fx_quote(line + n, LINE_BYTES - n - 1, text); /* leaves room for a newline */
    return n + strlen(line + n);
}

static void say(const char *kind, const char *fmt, va_list args)
{
    char text[TEXT_BYTES], line[LINE_BYTES];
    size_t n;

    if (!tool_name)
        return;
    fx_log_progress_end();
    snprintf(text, sizeof text, "%s: %s", tool_name, kind);
    n = strlen(text);
    vsnprintf(text + n, sizeof text - n, fmt, args);
    fx_utf8_trim(text);
    n = put_quoted(line, text);
    line[n++] = '\n';
    emit(line, n);
}

void fx_log_info(const char *fmt, ...)
{
    va_list args;

    if (level < FX_LOG_NORMAL)
        return;
    va_start(args, fmt);
    say("", fmt, args);
    va_end(args);
}

void fx_log_verbose(const char *fmt, ...)
{
    va_list args;

    if (level < FX_LOG_VERBOSE)
        return;
    va_start(args, fmt);
    say("", fmt, args);
    va_end(args);
}

void fx_log_warn(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    say("warning: ", fmt, args);
    va_end(args);
}

void fx_log_error(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    say("", fmt, args);
    va_end(args);
}

/* ---- the progress line ------------------------------------------------------------------------
 */

bool fx_log_progress_wanted(void)
{
    const char *terminal = fx_env("TERM");

    return tool_name && level >= FX_LOG_NORMAL && isatty(STDERR_FILENO) && terminal &&
           strcmp(terminal, "dumb") != 0;
}

static int terminal_columns(void)
{
    struct winsize size;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return COLUMNS_DEFAULT;
    return size.ws_col;
}

static bool drawn_recently(void)
{
    double now = fx_seconds();

    if (progress_shown && now - progress_time < REDRAW_SECONDS)
        return true;
    progress_time = now;
    return false;
}

void fx_log_progress(const char *fmt, ...)
{
    char text[TEXT_BYTES], line[LINE_BYTES];
    va_list args;

    if (!fx_log_progress_wanted() || drawn_recently())
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    put_quoted(line, text);

    /* A line as wide as the terminal would wrap, and a wrapped line cannot be redrawn. */
    char drawn[LINE_BYTES + 16];
    snprintf(drawn, sizeof drawn, "\r%.*s", terminal_columns() - 1, line);
    fx_utf8_trim(drawn);
    size_t n = strlen(drawn);
    snprintf(drawn + n, sizeof drawn - n, "\033[K");
    emit(drawn, strlen(drawn));
    progress_shown = true;
}

void fx_log_progress_end(void)
{
    if (!progress_shown)
        return;
    progress_shown = false;
    emit("\r\033[K", 4);
}
