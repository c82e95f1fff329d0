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

enum { COLUMNS_DEFAULT = 80, LINES_DEFAULT = 24, ESCAPE_MS = 50 };

/* Alternate screen and hidden cursor, and back. */
static const char enter[] = "\033[?1049h\033[?25l";
static const char leave[] = "\033[?25h\033[?1049l";

static volatile sig_atomic_t is_open, has_keys;
static struct termios before, raw; /* valid while has_keys */

bool fx_screen_wanted(void)
{
    const char *terminal = fx_env("TERM");

    return isatty(STDOUT_FILENO) && terminal && strcmp(terminal, "dumb") != 0;
}

/* ---- taking it and giving it back ------------------------------------------------------------ */

/* Async-signal-safe, both. */
static bool take(void)
{
    is_open = 1;
    return (!has_keys || tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw) == 0) &&
           write(STDOUT_FILENO, enter, sizeof enter - 1) == (ssize_t)sizeof enter - 1;
}

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

/* Stopped, the terminal is the shell's; what was on it is drawn again afterwards. */
static void on_pause(int number)
{
    (void)number;
    fx_screen_close();
    raise(SIGSTOP);
    take();
}

static void on_resize(int number)
{
    (void)number; /* it wakes fx_screen_wait up, which is all */
}

static void catch_signals(void)
{
    static const int ends[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGABRT };
    struct sigaction end = { .sa_handler = on_end }, pause = { .sa_handler = on_pause },
                     resize = { .sa_handler = on_resize };

    sigemptyset(&end.sa_mask);
    sigemptyset(&pause.sa_mask);
    sigemptyset(&resize.sa_mask);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        sigaction(ends[i], &end, NULL);
    sigaction(SIGTSTP, &pause, NULL);
    sigaction(SIGWINCH, &resize, NULL);
}

enum fx_status fx_screen_open(struct fx_err *err)
{
    has_keys = tcgetattr(STDIN_FILENO, &before) == 0;
    if (has_keys) {
        raw = before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG);
        raw.c_iflag &= ~(tcflag_t)ICRNL;
        raw.c_cc[VMIN] = 1;
        raw.c_cc[VTIME] = 0;
    }
    catch_signals();
    return take() ? FX_OK : fx_fail_errno(err, "terminal");
}

/* ---- the view -------------------------------------------------------------------------------- */

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
    FILE *out = fx_memory_stream(&frame, &n_frame);

    if (!out)
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

/* ---- keys ------------------------------------------------------------------------------------ */

/* The next byte; -1: none came in time, -2: none will ever come. */
static int next_byte(int wait_ms)
{
    struct pollfd keys = { .fd = has_keys ? STDIN_FILENO : -1, .events = POLLIN };
    unsigned char byte;

    if (poll(&keys, 1, wait_ms) <= 0)
        return -1;
    ssize_t n = read(STDIN_FILENO, &byte, 1);
    return n == 1 ? byte : n < 0 && errno == EINTR ? -1 : -2;
}

static int key_of_number(int number)
{
    switch (number) {
    case 1:
    case 7:
        return FX_KEY_HOME;
    case 4:
    case 8:
        return FX_KEY_END;
    case 5:
        return FX_KEY_PAGE_UP;
    case 6:
        return FX_KEY_PAGE_DOWN;
    default:
        return FX_KEY_NONE;
    }
}

/* What follows an ESC: nothing, when it is the key itself; "[" or "O", numbers, a last byte. */
static int read_sequence(void)
{
    int byte = next_byte(ESCAPE_MS), number = 0;

    if (byte < 0)
        return FX_KEY_ESCAPE;
    if (byte != '[' && byte != 'O')
        return FX_KEY_NONE;
    while ((byte = next_byte(ESCAPE_MS)) >= '0' && byte <= ';')
        number = byte == ';' ? number : (10 * number + byte - '0') % 1000;
    switch (byte) {
    case 'A':
        return FX_KEY_UP;
    case 'B':
        return FX_KEY_DOWN;
    case 'H':
        return FX_KEY_HOME;
    case 'F':
        return FX_KEY_END;
    case '~':
        return key_of_number(number);
    default:
        return FX_KEY_NONE;
    }
}

int fx_screen_wait(int wait_ms)
{
    int byte = next_byte(wait_ms);

    if (byte == FX_KEY_ESCAPE)
        return read_sequence();
    return byte == -2 ? FX_KEY_GONE : byte < 0 ? FX_KEY_NONE : byte;
}
