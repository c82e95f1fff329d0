/* The line in the log while a run works: what is left ends with --steps, slow runs show a rate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/number.h"
#include "run/progress.h"

/* The line after a step of 8 images that took `seconds`, in a run of 2 steps of many epochs. */
static void print_line(double seconds, char *line, size_t n)
{
    struct fx_progress progress = {
        .epochs = 150, .train_images = 8000, .steps = 2, .end_images = 16, .n_experts = 4
    };
    struct fx_state run = { .epoch = 1, .step = 1, .sums = { .n_images = 8, .total = 40 } };
    struct fx_losses losses = { .n_images = 8 };
    int fds[2], err = dup(STDERR_FILENO);

    fx_log_set("test", FX_LOG_NORMAL); /* without a tool nothing is said */
    assert_int_equal(pipe(fds), 0);
    fx_progress_begin(&progress);
    fx_progress_begin_epoch(&progress);
    progress.start -= seconds;
    progress.next_line = 0;
    dup2(fds[1], STDERR_FILENO);
    fx_progress_step(&progress, &run, &losses);
    dup2(err, STDERR_FILENO);
    close(fds[1]);
    ssize_t got = read(fds[0], line, n - 1);
    assert_true(got > 0);
    line[got] = '\0';
    close(fds[0]);
    close(err);
}

static void test_the_end_is_where_steps_end(void **state)
{
    char line[256];

    (void)state;
    print_line(100, line, sizeof line);
    assert_non_null(strstr(line, "epoch 1/150, step 1/2, 1:40 left, 0.08 img/s: loss 5.00, "));
    print_line(4000, line, sizeof line);
    assert_non_null(strstr(line, ", 1:06:40 left, 0.002 img/s: "));
}

static void test_rates(void **state)
{
    static const struct {
        double rate;
        const char *text;
    } cases[] = { { 1234.56, "1234.6" }, { 21.5, "21.5" },    { 1, "1.0" },
                  { 0.99, "0.99" },      { 0.0123, "0.012" }, { 0.00018, "0.00018" } };
    char buf[FX_NUMBER_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(fx_number_rate(cases[i].rate, buf, sizeof buf), cases[i].text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_end_is_where_steps_end),
        cmocka_unit_test(test_rates),
    };

    return cmocka_run_group_tests_name("progress_line", tests, NULL, NULL);
}
