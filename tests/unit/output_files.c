/* Atomic files, inputs and the exit of a tool: what is left on disk, what is said, which code comes
 * out.  Whatever ends a process is tried in a child. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/stop.h"
#include "base/tool.h"

static char dir[] = "/tmp/fx-unit-XXXXXX";

static const char *in_dir(const char *name)
{
    static char path[128];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static int count_files(void)
{
    DIR *listing = opendir(dir);
    int n = -2; /* "." and ".." */

    assert_non_null(listing);
    while (readdir(listing) != NULL)
        n++;
    closedir(listing);
    return n;
}

static bool file_is(const char *path, const char *text)
{
    char buf[64] = { 0 };
    FILE *file = fopen(path, "r");

    if (file == NULL)
        return false;
    size_t n = fread(buf, 1, sizeof buf - 1, file);
    fclose(file);
    return n == strlen(text) && strcmp(buf, text) == 0;
}

static int set_up(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/fx-unit-XXXXXX");
    return mkdtemp(dir) == NULL;
}

static int tear_down(void **state)
{
    char command[64];

    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static enum fx_status start_file(struct fx_output *out, const char *name, const char *text)
{
    struct fx_err err = { 0 };
    enum fx_status status = fx_output_open(out, in_dir(name), true, &err);

    return status == FX_OK ? fx_write_full(out->fd, text, strlen(text), name, &err) : status;
}

/* ---- files ------------------------------------------------------------------------------------
 */

static void test_commit(void **state)
{
    struct fx_output out = { 0 };
    struct fx_err err = { 0 };

    (void)state;
    assert_int_equal(start_file(&out, "a", "first"), FX_OK);
    assert_int_equal(access(in_dir("a"), F_OK), -1);
    assert_int_equal(fx_output_commit(&out, &err), FX_OK);
    assert_true(file_is(in_dir("a"), "first"));
    fx_output_abandon(&out); /* no-op */
    assert_true(file_is(in_dir("a"), "first"));

    assert_int_equal(start_file(&out, "a", "second"), FX_OK);
    assert_true(file_is(in_dir("a"), "first"));
    assert_int_equal(fx_output_commit(&out, &err), FX_OK);
    assert_true(file_is(in_dir("a"), "second"));
    assert_int_equal(count_files(), 1);
}

static void test_abandon(void **state)
{
    struct fx_output out = { 0 };

    (void)state;
    fx_output_abandon(&out);
    assert_int_equal(start_file(&out, "b", "half"), FX_OK);
    assert_int_equal(count_files(), 1);
    fx_output_abandon(&out);
    assert_int_equal(count_files(), 0);
}

/* The file behind a symbolic link is replaced, not the link; a device is written in place. */
static void test_links_and_devices(void **state)
{
    struct fx_output out = { 0 };
    struct fx_err err = { 0 };
    struct stat st;
    char link[128];

    (void)state;
    assert_int_equal(start_file(&out, "target", "old"), FX_OK);
    assert_int_equal(fx_output_commit(&out, &err), FX_OK);
    strcpy(link, in_dir("link"));
    assert_int_equal(symlink("target", link), 0);
    assert_int_equal(start_file(&out, "link", "new"), FX_OK);
    assert_int_equal(fx_output_commit(&out, &err), FX_OK);
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_true(file_is(in_dir("target"), "new"));

    assert_int_equal(fx_output_open(&out, "/dev/null", true, &err), FX_OK);
    assert_int_equal(fx_output_commit(&out, &err), FX_OK);
    assert_int_equal(stat("/dev/null", &st), 0);
    assert_true(S_ISCHR(st.st_mode));
    assert_int_equal(fx_output_open(&out, dir, true, &err), FX_EFAIL);
    assert_non_null(strstr(err.msg, "Is a directory"));
    assert_int_equal(fx_output_open(&out, in_dir("none/x"), true, &err), FX_EFAIL);
    assert_non_null(strstr(err.msg, "none/x: No such file or directory"));
}

static void test_make_dirs(void **state)
{
    struct fx_output out = { 0 };
    struct fx_err err = { 0 };

    (void)state;
    assert_int_equal(fx_make_dirs(in_dir("x/y//z/"), &err), FX_OK);
    assert_int_equal(fx_make_dirs(in_dir("x/y/z"), &err), FX_OK);
    assert_int_equal(access(in_dir("x/y/z"), W_OK), 0);
    assert_int_equal(start_file(&out, "x/file", "text"), FX_OK);
    assert_int_equal(fx_output_commit(&out, &err), FX_OK);
    assert_int_equal(fx_make_dirs(in_dir("x/file/deep"), &err), FX_EFAIL);
    assert_int_equal(fx_make_dirs(in_dir("x/file"), &err), FX_EFAIL);
    assert_int_equal(fx_make_dirs("", &err), FX_EFAIL);
}

static void test_input(void **state)
{
    struct fx_input in;
    struct fx_err err = { 0 };
    struct fx_output out = { 0 };

    (void)state;
    assert_int_equal(fx_input_open(&in, in_dir("missing"), &err), FX_EFAIL);
    assert_non_null(strstr(err.msg, "missing: No such file or directory"));
    assert_int_equal(fx_input_open(&in, dir, &err), FX_EFAIL);
    assert_non_null(strstr(err.msg, "Is a directory"));
    assert_int_equal(start_file(&out, "data", "12345"), FX_OK);
    assert_int_equal(fx_output_commit(&out, &err), FX_OK);
    assert_int_equal(fx_input_open(&in, in_dir("data"), &err), FX_OK);
    assert_true(in.is_mapped);
    assert_int_equal(in.n_bytes, 5);
    assert_int_equal(fx_input_need(&in, 5, &err), FX_OK);
    assert_int_equal(fx_input_expect_end(&in, 5, &err), FX_OK);
    assert_int_equal(fx_input_need(&in, 6, &err), FX_EINPUT);
    assert_int_equal(fx_input_expect_end(&in, 4, &err), FX_EINPUT);
    fx_input_close(&in);
    assert_int_equal(fx_input_open(&in, "/dev/null", &err), FX_OK);
    assert_int_equal(in.n_bytes, 0);
    fx_input_close(&in);
    fx_input_close(&in);
}

/* ---- processes --------------------------------------------------------------------------------
 */

/* Stdout of the child that runs a body. */
static void open_stdout(const char *path)
{
    int ends[2];

    if (strcmp(path, "closed") == 0) {
        close(STDOUT_FILENO);
        return;
    }
    if (strcmp(path, "no reader") != 0) {
        dup2(open(path, O_WRONLY), STDOUT_FILENO);
        return;
    }
    if (pipe(ends) != 0)
        _exit(97);
    close(ends[0]);
    dup2(ends[1], STDOUT_FILENO);
}

/* Runs body in a child with stdout to a device, closed, or a pipe without reader; stderr collected
 * in said; its wait status. */
static int in_child(void (*body)(void), const char *stdout_path, char *said, size_t n)
{
    int ends[2], status;

    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        open_stdout(stdout_path);
        dup2(ends[1], STDERR_FILENO);
        body();
        _exit(99);
    }
    close(ends[1]);
    FILE *err = fdopen(ends[0], "r");
    said[fread(said, 1, n - 1, err)] = '\0';
    fclose(err);
    waitpid(child, &status, 0);
    return status;
}

static void start_test_tool(void)
{
    static const struct fx_option options[] = { { .type = FX_OPT_END } };
    static const struct fx_tool tool = {
        .name = "unit-tool", .synopsis = "", .summary = "", .options = options, .example = ""
    };
    char *argv[] = { (char *)"x", (char *)"a b", (char *)"it's", (char *)"-", NULL };

    if (fx_tool_start(&tool, 4, argv) != 3 ||
        strcmp(fx_tool_command_line(), "unit-tool 'a b' 'it'\\''s' -") != 0)
        _exit(98);
}

static void print_and_exit(void)
{
    start_test_tool();
    printf("data\n");
    _exit(fx_tool_exit(FX_OK, NULL));
}

/* As under a parent that ignores SIGPIPE. */
static void print_without_sigpipe(void)
{
    signal(SIGPIPE, SIG_IGN);
    print_and_exit();
}

static void exit_silently(void)
{
    start_test_tool();
    _exit(fx_tool_exit(FX_OK, NULL));
}

static void fail_and_exit(void)
{
    struct fx_err err = { 0 };
    struct fx_output out;

    start_test_tool();
    if (start_file(&out, "half", "half") != FX_OK)
        _exit(97);
    fx_log_set_task("task-0");
    _exit(fx_tool_exit(fx_fail(&err, FX_EINPUT, "%s: bad\n\033[1m", "file"), &err));
}

static void read_what_was_cut(void)
{
    struct fx_output out = { 0 };
    struct fx_input in;
    struct fx_err err = { 0 };

    start_test_tool();
    if (start_file(&out, "short", "bytes") != FX_OK || fx_output_commit(&out, &err) != FX_OK ||
        fx_input_open(&in, in_dir("short"), &err) != FX_OK || truncate(in_dir("short"), 0) != 0)
        _exit(97);
    unlink(in_dir("short"));
    _exit(start_file(&out, "half", "half") == FX_OK ? in.bytes[0] : 97);
}

static void wait_for_signal(void)
{
    struct fx_output out;

    start_test_tool();
    if (start_file(&out, "half", "half") != FX_OK)
        _exit(97);
    raise(SIGTERM);
}

static void stop_by(int number)
{
    struct fx_err err = { 0 };

    start_test_tool();
    fx_stop_catch();
    raise(number);
    if (!fx_stop_requested() || fx_stop_signal() != number)
        _exit(97);
    _exit(fx_tool_exit(fx_fail(&err, FX_ESTOPPED, "stopped"), &err));
}

static void stop_by_term(void)
{
    stop_by(SIGTERM);
}

static void stop_by_int(void)
{
    stop_by(SIGINT);
}

static void stop_by_pipe(void)
{
    stop_by(SIGPIPE);
}

static void interrupt_twice(void)
{
    struct fx_output out;

    start_test_tool();
    fx_stop_catch();
    if (start_file(&out, "half", "half") != FX_OK)
        _exit(97);
    raise(SIGINT);
    raise(SIGINT);
}

static void test_exit(void **state)
{
    static const struct {
        void (*body)(void);
        const char *out;
        int code, signal_number; /* one of them */
        const char *said;
    } cases[] = {
        { print_and_exit, "/dev/null", 0, 0, "" },
        { print_and_exit, "/dev/full", 1, 0, "unit-tool: stdout: No space left on device\n" },
        { print_and_exit, "closed", 1, 0, "unit-tool: stdout: Bad file descriptor\n" },
        { exit_silently, "closed", 0, 0, "" },
        { print_and_exit, "no reader", 0, SIGPIPE, "" },
        { print_without_sigpipe, "no reader", 0, SIGPIPE, "" },
        { fail_and_exit, "/dev/null", 3, 0, "[task-0] unit-tool: file: bad\\x0a\\x1b[1m\n" },
        { read_what_was_cut, "/dev/null", 3, 0,
          "unit-tool: a mapped input file was cut short while it was read\n" },
        { wait_for_signal, "/dev/null", 0, SIGTERM, "" },
        { stop_by_term, "/dev/null", 75, 0, "unit-tool: stopped\n" },
        { stop_by_int, "/dev/null", 0, SIGINT, "unit-tool: stopped\n" },
        { stop_by_pipe, "/dev/null", 0, SIGPIPE, "" },
        { interrupt_twice, "/dev/null", 0, SIGINT, "" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char said[512];
        int status = in_child(cases[i].body, cases[i].out, said, sizeof said);
        assert_string_equal(said, cases[i].said);
        if (cases[i].signal_number != 0)
            assert_int_equal(WIFSIGNALED(status) ? WTERMSIG(status) : -1, cases[i].signal_number);
        else
            assert_int_equal(WIFEXITED(status) ? WEXITSTATUS(status) : -1, cases[i].code);
        assert_int_equal(count_files(), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_commit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_abandon, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_links_and_devices, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_make_dirs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_input, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_exit, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
