/* The option table: what it takes, what it refuses and in which words, and how --help looks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/option.h"

struct args {
    const char *output, *mix, *name;
    enum { ORDER_UP, ORDER_DOWN } order;
    int64_t epochs;
    double alpha;
    bool shuffle, resume, alpha_given;
};

enum { N_WORDS_MAX = 64 };

/* Parses the blank-separated words after the tool's name; operands, joined by '|', into *operands.
 */
static enum fx_status parse(struct args *args, const char *line, char *operands,
                            struct fx_option_shared *shared, struct fx_err *err)
{
    static char words[256];
    char *argv[N_WORDS_MAX + 1] = { (char *)"tool" };
    int argc = 1, n;
    const struct fx_option options[] = {
        FX_OPTION_OUTPUT(&args->output),
        { "epochs", 0, "N", FX_OPT_INT, &args->epochs, 1, 1000, NULL, "passes", NULL },
        { "alpha", 'a', "A", FX_OPT_REAL, &args->alpha, 0, 10, NULL, "weight", &args->alpha_given },
        { "mix", 0, "KIND", FX_OPT_CHOICE, &args->mix, 0, 0, "none|cutmix|mixup", "mixing", NULL },
        { "order", 0, "KIND", FX_OPT_ENUM, &args->order, 0, 0, "up|down", "order", NULL },
        { "name", 0, "TEXT", FX_OPT_STRING, &args->name, 0, 0, NULL, "a name", NULL },
        { "shuffle", 0, NULL, FX_OPT_FLAG, &args->shuffle, 0, 0, NULL, "mixed order", NULL },
        { "no-shuffle", 0, NULL, FX_OPT_CLEAR, &args->shuffle, 0, 0, NULL, "given order", NULL },
        { "resume", 0, NULL, FX_OPT_FLAG, &args->resume, 0, 0, NULL, "go on", NULL },
        { .type = FX_OPT_END },
    };
    const struct fx_tool tool = {
        .name = "tool", .synopsis = "[options] FILE", .summary = "Summary.", .options = options
    };

    snprintf(words, sizeof words, "%s", line);
    for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " "))
        argv[argc++] = strcmp(word, "''") == 0 ? (char *)"" : word;
    *shared = (struct fx_option_shared){ 0 };
    enum fx_status status = fx_option_parse(&tool, argc, argv, shared, &n, err);
    operands[0] = '\0';
    for (int i = 0; status == FX_OK && i < n; i++) {
        strcat(operands, i > 0 ? "|" : "");
        strcat(operands, argv[i]);
    }
    return status;
}

static void test_values(void **state)
{
    struct args args = { .shuffle = true };
    struct fx_option_shared shared;
    struct fx_err err = { 0 };
    char operands[256];

    (void)state;
    assert_int_equal(
        parse(&args,
              "one --epochs 7 -a 2.5e-1 two --mix=mixup --order down --no-shuffle -o out -v "
              "-q --name --epochs -- --resume -",
              operands, &shared, &err),
        FX_OK);
    assert_string_equal(operands, "one|two|--resume|-");
    assert_int_equal(args.epochs, 7);
    assert_true(args.alpha == 0.25);
    assert_true(args.alpha_given);
    assert_string_equal(args.mix, "mixup");
    assert_int_equal(args.order, ORDER_DOWN);
    assert_string_equal(args.output, "out");
    assert_string_equal(args.name, "--epochs");
    assert_false(args.shuffle);
    assert_false(args.resume);
    assert_true(shared.verbose && shared.quiet && !shared.help && !shared.version);
}

static void test_defaults_stay(void **state)
{
    struct args args = { .epochs = 100, .mix = "cutmix" };
    struct fx_option_shared shared;
    struct fx_err err = { 0 };
    char operands[256];

    (void)state;
    assert_int_equal(parse(&args, "--resume", operands, &shared, &err), FX_OK);
    assert_string_equal(operands, "");
    assert_int_equal(args.epochs, 100);
    assert_string_equal(args.mix, "cutmix");
    assert_false(args.alpha_given);
    assert_true(args.resume);
}

static void test_help_ends_parsing(void **state)
{
    struct args args = { 0 };
    struct fx_option_shared shared;
    struct fx_err err = { 0 };
    char operands[256];

    (void)state;
    assert_int_equal(parse(&args, "-h --nonsense", operands, &shared, &err), FX_OK);
    assert_true(shared.help);
    assert_int_equal(parse(&args, "--version --epochs x", operands, &shared, &err), FX_OK);
    assert_true(shared.version);
}

static void test_refused(void **state)
{
    static const struct {
        const char *line, *message;
    } cases[] = {
        { "--nonsense", "--nonsense: no such option" },
        { "--nonsense=3", "--nonsense: no such option" },
        { "--n=3", "--n: may be --name or --no-shuffle" },
        { "--ver", "--ver: may be --version or --verbose" },
        { "--re=1 x", "--resume: takes no value" },
        { "-x", "-x: no such option" },
        { "--epochs", "--epochs: needs a value N" },
        { "-o", "--output: needs a value FILE" },
        { "-o ''", "--output: needs a value FILE, not an empty one" },
        { "--name=", "--name: needs a value TEXT, not an empty one" },
        { "--epochs 0", "--epochs 0: must be between 1 and 1000" },
        { "--epochs 1001", "--epochs 1001: must be between 1 and 1000" },
        { "--epochs 99999999999999999999",
          "--epochs 99999999999999999999: must be between 1 and 1000" },
        { "--epochs -5", "--epochs -5: must be between 1 and 1000" },
        { "--epochs ''", "--epochs : not a whole number" },
        { "--epochs 7x", "--epochs 7x: not a whole number" },
        { "--epochs 7.0", "--epochs 7.0: not a whole number" },
        { "--epochs 0x7", "--epochs 0x7: not a whole number" },
        { "--epochs 1e2", "--epochs 1e2: not a whole number" },
        { "--epochs \t7", "--epochs \t7: not a whole number" },
        { "--epochs 7-8", "--epochs 7-8: not a whole number" },
        { "--alpha 1.2.3", "--alpha 1.2.3: not a number" },
        { "--alpha -0.5", "--alpha -0.5: must be between 0 and 10" },
        { "--alpha nan", "--alpha nan: not a number" },
        { "--alpha inf", "--alpha inf: not a number" },
        { "--alpha 0x1p3", "--alpha 0x1p3: not a number" },
        { "--alpha 1,5", "--alpha 1,5: not a number" },
        { "--alpha ''", "--alpha : not a number" },
        { "--alpha 10.5", "--alpha 10.5: must be between 0 and 10" },
        { "--alpha 1e999", "--alpha 1e999: must be between 0 and 10" },
        { "--mix cut", "--mix cut: must be one of none|cutmix|mixup" },
        { "--order dow", "--order dow: must be one of up|down" },
        { "--mix ''", "--mix : must be one of none|cutmix|mixup" },
        { "--mix none|cutmix", "--mix none|cutmix: must be one of none|cutmix|mixup" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct args args = { 0 };
        struct fx_option_shared shared;
        struct fx_err err = { 0 };
        char operands[256];
        if (parse(&args, cases[i].line, operands, &shared, &err) != FX_EUSAGE)
            fail_msg("'%s' was taken", cases[i].line);
        assert_string_equal(err.msg, cases[i].message);
    }
}

static void test_help_text(void **state)
{
    static const char expected[] =
        "Usage: t [options] [FILE]\n"
        "Turns this into that.\n"
        "\n"
        "Options:\n"
        "  -o, --output FILE       write to FILE, complete or not at all (default:\n"
        "                          standard output)\n"
        "      --mix KIND          how to mix (default none)\n"
        "                          none|cutmix\n"
        "      --a-name-too-long-for-the-column N\n"
        "                          a number\n"
        "      --shorter-long-one  a flag\n"
        "      --text TEXT         one of these words that are too many for a line, or\n"
        "                          another one, as it may be\n"
        "                          a-long-word|another-long-word|one-more-long-word\n"
        "                          |and-still-one-more\n"
        "  -h, --help              show this help and exit\n"
        "  -V, --version           show the version and what it was built with, and exit\n"
        "  -q, --quiet             print warnings and errors only\n"
        "  -v, --verbose           log more\n"
        "\n"
        "A note.\n"
        "\n"
        "Example:\n"
        "  t x | y\n";
    const char *output = NULL, *mix = NULL;
    int64_t n = 0;
    bool flag = false;
    const struct fx_option options[] = {
        FX_OPTION_OUTPUT(&output),
        { "mix", 0, "KIND", FX_OPT_CHOICE, &mix, 0, 0, "none|cutmix", "how to mix (default none)",
          NULL },
        { "a-name-too-long-for-the-column", 0, "N", FX_OPT_INT, &n, 1, 2, NULL, "a number", NULL },
        { "shorter-long-one", 0, NULL, FX_OPT_FLAG, &flag, 0, 0, NULL, "a flag", NULL },
        { "text", 0, "TEXT", FX_OPT_STRING, &output, 0, 0,
          "a-long-word|another-long-word|one-more-long-word|and-still-one-more",
          "one of these words that are too many for a line, or another one, as it may be", NULL },
        { .type = FX_OPT_END },
    };
    const struct fx_tool tool = { .name = "t",
                                  .synopsis = "[options] [FILE]",
                                  .summary = "Turns this into that.",
                                  .options = options,
                                  .notes = "A note.\n",
                                  .example = "t x | y" };
    char *text;
    size_t n_text;
    FILE *out = open_memstream(&text, &n_text);

    (void)state;
    fx_option_help(&tool, out);
    fclose(out);
    assert_string_equal(text, expected);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_defaults_stay),
        cmocka_unit_test(test_help_ends_parsing),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_help_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
