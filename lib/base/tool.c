/* Start and exit of a tool: the command line on the way in, stdout and the exit code on the way
 * out. */
#include "base/tool.h"

#include "base/env.h"
#include "base/io.h"
#include "base/log.h"
#include "base/stop.h"
#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char fx_version[] = FX_VERSION;

/* ---- the command line as text -----------------------------------------------------------------
 */

enum { COMMAND_LINE_BYTES = 4096 };
static char command_line[COMMAND_LINE_BYTES];

static void append(char c)
{
    size_t n = strlen(command_line);

    if (n + 1 < sizeof command_line)
        command_line[n] = c;
}

/* Plain words stay as they are, others stand in single quotes as sh(1) wants them. */
static void append_quoted(const char *word)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "_-+=./,:@%";

    if (word[0] != '\0' && word[strspn(word, plain)] == '\0') {
        for (; *word != '\0'; word++)
            append(*word);
        return;
    }
    append('\'');
    for (; *word != '\0'; word++) {
        if (*word == '\'') {
            append('\'');
            append('\\');
            append('\'');
        }
        append(*word);
    }
    append('\'');
}

static void remember_command_line(const char *name, int argc, char **argv)
{
    memset(command_line, 0, sizeof command_line);
    append_quoted(name);
    for (int i = 1; i < argc; i++) {
        append(' ');
        append_quoted(argv[i]);
    }
    fx_utf8_trim(command_line); /* it may have been cut */
}

const char *fx_tool_command_line(void)
{
    return command_line;
}

/* ---- start ------------------------------------------------------------------------------------
 */

/* A file that is opened must never become a closed stdin, stdout or stderr.  In their place stands
 * what can neither be read nor written: what is really needed fails as if it were closed still. */
static void reserve_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/", O_PATH) != fd)
            _exit(FX_EFAIL); /* nobody can be told */
}

#ifdef __clang__
static const char compiler[] = __VERSION__; /* with its name */
#else
static const char compiler[] = "gcc " __VERSION__;
#endif

static void print_version(const struct fx_tool *tool)
{
    printf("%s (fusion-tools) %s\ncompiler: %s\n", tool->name, fx_version, compiler);
    if (tool->built_with)
        printf("%s\n", tool->built_with);
}

static char lost_line[512]; /* made at the start: a handler cannot print */

/* SIGBUS: the bytes of a mapped input are not there any more.  Async-signal-safe. */
static void on_lost_mapping(int signal_number)
{
    (void)signal_number;
    fx_output_sweep();
    ssize_t put = write(STDERR_FILENO, lost_line, strlen(lost_line));
    (void)put; /* there is no one left to tell */
    _exit(FX_EINPUT);
}

static void catch_signals(const char *name)
{
    struct sigaction lost = { .sa_handler = on_lost_mapping };

    size_t n = fx_log_put_task(lost_line, sizeof lost_line / 2);
    snprintf(lost_line + n, sizeof lost_line - n,
             "%s: a mapped input file was cut short while it was read\n", name);
    sigemptyset(&lost.sa_mask);
    sigaction(SIGBUS, &lost, NULL);
    signal(SIGXFSZ, SIG_IGN); /* a file over the limit is an error like a full disk */
    fx_output_guard();
}

static void say_where_help_is(const char *name)
{
    char task[256];

    fx_log_put_task(task, sizeof task);
    fprintf(stderr, "%sTry '%s --help' for more information.\n", task, name);
}

int fx_tool_start(const struct fx_tool *tool, int argc, char **argv)
{
    struct fx_option_shared shared = { 0 };
    struct fx_err err = { 0 };
    int n_operands;

    reserve_standard_descriptors();
    setvbuf(stderr, NULL, _IOLBF, BUFSIZ);
    fx_log_set(tool->name, FX_LOG_NORMAL);
    fx_log_set_task(fx_env("FUSION_TASK"));
    remember_command_line(tool->name, argc, argv);
    catch_signals(tool->name);
    enum fx_status status = fx_option_parse(tool, argc, argv, &shared, &n_operands, &err);
    if (status != FX_OK) {
        fx_log_error("%s", err.msg);
        say_where_help_is(tool->name);
        exit(fx_tool_exit(status, NULL));
    }
    if (shared.help)
        fx_option_help(tool, stdout);
    else if (shared.version)
        print_version(tool);
    if (shared.help || shared.version)
        exit(fx_tool_exit(FX_OK, NULL));
    if (shared.quiet || shared.verbose)
        fx_log_set(tool->name, shared.quiet ? FX_LOG_QUIET : FX_LOG_VERBOSE);
    return n_operands;
}

/* ---- exit -------------------------------------------------------------------------------------
 */

/* Full disks show here: what printf took, the flush must deliver. */
static enum fx_status close_stdout(struct fx_err *err)
{
    if (fflush(stdout) != 0) {
        if (errno == EPIPE)
            fx_output_die(SIGPIPE);
        return fx_fail_errno(err, "stdout");
    }
    if (ferror(stdout))
        return fx_fail(err, FX_EFAIL, "stdout: an earlier write failed");
    if (fclose(stdout) != 0)
        return fx_fail_errno(err, "stdout");
    return FX_OK;
}

int fx_tool_exit(enum fx_status status, const struct fx_err *err)
{
    struct fx_err closing = { 0 };

    fx_log_progress_end();
    fx_output_sweep();
    int asked_by = status == FX_ESTOPPED ? fx_stop_signal() : 0;
    if (asked_by == SIGPIPE)
        fx_output_die(SIGPIPE);
    enum fx_status closed = close_stdout(&closing);
    if (status != FX_OK && err && err->msg[0] != '\0')
        fx_log_error("%s", err->msg);
    else if (status == FX_OK && closed != FX_OK)
        fx_log_error("%s", closing.msg);
    if (asked_by == SIGINT || asked_by == SIGHUP)
        fx_output_die(asked_by);
    return status != FX_OK ? (int)status : (int)closed;
}
