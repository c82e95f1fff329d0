/* Escape sequences that every terminal since the VT100 knows, and termios. */
#include "base/screen.h"

#include "base/env.h"
#include "base/io.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

enum { COLUMNS_DEFAULT = 80, LINES_DEFAULT = 24 };

/* Alternate screen and hidden cursor, and back. */
static const char enter[] = "\033[?1049h\033[?25l";
static const char leave[] = "\033[?25h\033[?1049l";

static volatile sig_atomic_t is_open, has_keys;
static struct termios before; /* valid while has_keys */

bool fx_screen_wanted(void)
{
    const char *terminal = fx_env("TERM");

    return isatty(STDOUT_FILENO) && terminal != NULL && strcmp(terminal, "dumb") != 0;
}

/* Async-signal-safe. */
void fx_screen_close(void)
{
    if (!is_open)
        return;
    is_open = 0;
    ssize_t put = write(STDOUT_FILENO, leave, sizeof leave - 1);
    (void)put; /* a terminal that is gone needs nothing put back */
    if (has_keys)
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
}

static void on_end(int number)
{
    fx_screen_close();
    fx_output_die(number);
}

static void on_resize(int number)
{
    (void)number; /* it wakes fx_screen_wait up, which is all */
}

static void catch_signals(void)
{
    static const int ends[] = { SIGINT, SIGTERM, SIGHUP };
    struct sigaction end = { .sa_handler = on_end }, resize = { .sa_handler = on_resize };

    sigemptyset(&end.sa_mask);
    sigemptyset(&resize.sa_mask);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        sigaction(ends[i], &end, NULL);
    sigaction(SIGWINCH, &resize, NULL);
}

enum fx_status fx_screen_open(struct fx_err *err)
{
    struct termios raw;

    has_keys = tcgetattr(STDIN_FILENO, &before) == 0;
    catch_signals();
    if (has_keys) {
        raw = before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG);
        raw.c_cc[VMIN] = 1;
        raw.c_cc[VTIME] = 0;
        if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw) != 0)
            return fx_fail_errno(err, "terminal");
    }
    is_open = 1;
    return fx_write_full(STDOUT_FILENO, enter, sizeof enter - 1, "terminal", err);
}

void fx_screen_size(int *n_columns, int *n_lines)
{
    struct winsize size = { 0 };

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0)
        size = (struct winsize){ 0 };
    *n_columns = size.ws_col > 0 ? size.ws_col : COLUMNS_DEFAULT;
    *n_lines = size.ws_row > 0 ? size.ws_row : LINES_DEFAULT;
}

/* Line by line over what is there, so that nothing flickers; wrapping is off meanwhile. */
enum fx_status fx_screen_draw(const char *text, size_t n, struct fx_err *err)
{
    char *frame = NULL;
    size_t n_frame = 0;
    FILE *out = open_memstream(&frame, &n_frame);

    if (out == NULL)
        return fx_fail(err, FX_EFAIL, "terminal: out of memory");
    fputs("\033[?7l\033[H", out);
    for (size_t i = 0; i < n; i++) {
        bool is_last = i + 1 == n; /* a newline on the last line would scroll */
        if (text[i] == '\n')
            fputs(is_last ? "\033[K" : "\033[K\n", out);
        else
            fputc(text[i], out);
    }
    fputs("\033[J\033[?7h", out);
    enum fx_status status = fclose(out) == 0
                                ? fx_write_full(STDOUT_FILENO, frame, n_frame, "terminal", err)
                                : fx_fail(err, FX_EFAIL, "terminal: out of memory");
    free(frame);
    return status;
}

int fx_screen_wait(int wait_ms)
{
    struct pollfd keys = { .fd = has_keys ? STDIN_FILENO : -1, .events = POLLIN };
    char key;

    if (poll(&keys, 1, wait_ms) <= 0 || read(STDIN_FILENO, &key, 1) != 1)
        return 0;
    return (unsigned char)key;
}
