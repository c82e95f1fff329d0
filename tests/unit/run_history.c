/* history.jsonl: recording, cutting back to a state, and replaying to the output. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run/history_internal.h"

#define START "{\"event\":\"start\"}\n"
#define EPOCH "{\"event\":\"epoch\",\"epoch\":1}\n"
#define LATER "{\"event\":\"epoch\",\"epoch\":2}\n"
#define DONE "{\"event\":\"end\",\"status\":\"done\"}\n"

static char dir[] = "/tmp/history-XXXXXX";
static char path[64];

static int make_dir(void **state)
{
    (void)state;
    if (mkdtemp(dir) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/history.jsonl", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

static void write_file(const char *text)
{
    FILE *out = fopen(path, "w");

    assert_non_null(out);
    fputs(text, out);
    fclose(out);
}

static void assert_file(int fd, const char *expected)
{
    char text[512] = "";

    assert_true(lseek(fd, 0, SEEK_SET) == 0);
    assert_true(read(fd, text, sizeof text - 1) >= 0);
    assert_string_equal(text, expected);
}

/* A file without a name that stands for stdout. */
static int temporary(void)
{
    int fd = open(dir, O_RDWR | O_TMPFILE, 0600);

    assert_true(fd >= 0);
    return fd;
}

static void count_lines(void *ctx, const char *line)
{
    assert_null(strchr(line, '\n'));
    *(int *)ctx += 1;
}

/* Resumes a file with this text; checks what was replayed and what the file holds afterwards. */
static void resume(const char *text, int64_t n_lines, bool keep_end, bool ends, const char *kept)
{
    struct fx_history history;
    struct fx_err err = { 0 };
    const struct fx_output out = { .fd = temporary(), .is_stdout = true };
    int n = 0;
    bool ended;

    write_file(text);
    assert_int_equal(
        fx_history_resume(&history, path, &out, n_lines, keep_end, &ended, count_lines, &n, &err),
        FX_OK);
    assert_file(out.fd, kept);
    assert_true(ended == ends);
    assert_true(history.n_lines == n && n >= n_lines);
    int in = open(path, O_RDONLY);
    assert_file(in, kept);
    close(in);
    /* What is recorded next stands behind it. */
    assert_int_equal(fx_history_record(&history, LATER, &err), FX_OK);
    assert_int_equal(fx_history_sync(&history, &err), FX_OK);
    fx_history_close(&history);
    char both[512];
    snprintf(both, sizeof both, "%s" LATER, kept);
    in = open(path, O_RDONLY);
    assert_file(in, both);
    close(in);
    close(out.fd);
}

static void test_recording(void **state)
{
    struct fx_history history;
    struct fx_err err = { 0 };
    const struct fx_output out = { .fd = temporary(), .is_stdout = true };

    (void)state;
    assert_int_equal(fx_history_start(&history, path, &out, &err), FX_OK);
    assert_int_equal(fx_history_record(&history, START, &err), FX_OK);
    assert_int_equal(fx_history_say(&history, START, &err), FX_OK);
    assert_int_equal(fx_history_record(&history, EPOCH, &err), FX_OK);
    assert_true(history.n_lines == 2);
    assert_false(fx_history_listener_is_gone(&history));
    fx_history_close(&history);
    assert_file(out.fd, START);
    int in = open(path, O_RDONLY);
    assert_file(in, START EPOCH);
    close(in);
    close(out.fd);
}

static void test_what_is_beyond_the_state_is_cut(void **state)
{
    (void)state;
    resume(START EPOCH, 2, false, false, START EPOCH);
    resume(START EPOCH LATER, 2, false, false, START EPOCH);
    resume(START EPOCH "{\"event\":\"ep", 2, true, false, START EPOCH);
    resume(START EPOCH LATER, 2, true, false, START EPOCH);
}

static void test_an_end_is_kept_on_request(void **state)
{
    (void)state;
    resume(START EPOCH DONE, 2, true, true, START EPOCH DONE);
    resume(START EPOCH DONE, 2, false, false, START EPOCH);
    resume(START EPOCH LATER DONE, 2, true, true, START EPOCH LATER DONE);
    resume(START EPOCH LATER DONE, 2, false, false, START EPOCH);
    resume(START EPOCH "{\"event\":\"end\",\"status\":\"stopped\"}\n", 2, true, false, START EPOCH);
    resume(START EPOCH "{\"event\":\"end\",\"status\":\"done\"}", 2, true, false, START EPOCH);
}

static void refuse(const char *text, int64_t n_lines)
{
    struct fx_history history;
    struct fx_err err = { 0 };
    const struct fx_output out = { .fd = temporary(), .is_stdout = true };
    int n = 0;
    bool ended;

    write_file(text);
    assert_int_equal(
        fx_history_resume(&history, path, &out, n_lines, true, &ended, count_lines, &n, &err),
        FX_EINPUT);
    assert_non_null(strstr(err.msg, "the file was cut"));
    assert_file(out.fd, "");
    fx_history_close(&history);
    close(out.fd);
}

static void test_a_history_that_is_too_short(void **state)
{
    (void)state;
    refuse(START EPOCH, 3);
    refuse(START "{\"event\":\"epoch\"", 2);
    refuse("", 1);
}

/* Somebody writes over the newlines while the lines are read. */
static void scribble(void *ctx, const char *line)
{
    FILE *file = fopen(path, "r+b");

    (void)ctx;
    (void)line;
    assert_non_null(file);
    for (size_t i = 0; i < strlen(START EPOCH); i++)
        assert_int_equal(fputc('x', file), 'x');
    fclose(file);
}

static void test_a_history_that_changes(void **state)
{
    struct fx_history history;
    struct fx_err err = { 0 };
    const struct fx_output out = { .fd = temporary(), .is_stdout = true };
    bool ended;

    (void)state;
    write_file(START EPOCH);
    assert_int_equal(fx_history_resume(&history, path, &out, 2, true, &ended, scribble, NULL, &err),
                     FX_EINPUT);
    assert_non_null(strstr(err.msg, "changed while it was read"));
    assert_file(out.fd, "");
    fx_history_close(&history);
    close(out.fd);
}

static void test_a_listener_that_is_gone(void **state)
{
    int ends[2];
    struct fx_output out = { .is_stdout = true };
    const struct fx_history history = { .fd = -1, .out = &out };

    (void)state;
    assert_int_equal(pipe(ends), 0);
    out.fd = ends[1];
    assert_false(fx_history_listener_is_gone(&history));
    close(ends[0]);
    assert_true(fx_history_listener_is_gone(&history));
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recording),
        cmocka_unit_test(test_what_is_beyond_the_state_is_cut),
        cmocka_unit_test(test_an_end_is_kept_on_request),
        cmocka_unit_test(test_a_history_that_is_too_short),
        cmocka_unit_test(test_a_history_that_changes),
        cmocka_unit_test(test_a_listener_that_is_gone),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
