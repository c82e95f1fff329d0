/* fuzz-inputs TARGET FILE...: gives the files to a target of tests/fuzz/targets.h, and then mutants
 * of them (FX_FUZZ_N, mutate.h); for tests without libFuzzer. */
#include "fuzz/targets.h"

#include <assert.h>
#define assert_true assert
#include "fuzz/mutate.h"

static const struct target *target;

/* In a block of exactly its size, so that a read behind the end shows. */
static bool run(const uint8_t *bytes, size_t n)
{
    uint8_t *exact = malloc(n > 0 ? n : 1);

    must(exact, "memory");
    memcpy(exact, bytes, n);
    target->run(exact, n);
    free(exact);
    return true;
}

int main(int argc, char **argv)
{
    struct fuzz_bytes *files = calloc((size_t)argc, sizeof *files);
    size_t n = 0;

    if (argc < 3) {
        fprintf(stderr, "usage: fuzz-inputs TARGET FILE...\n");
        return 2;
    }
    target = target_named(argv[1]);
    fx_log_set("fuzz-inputs", FX_LOG_QUIET);
    for (int i = 2; files && i < argc; i++) {
        int fd = open(argv[i], O_RDONLY);
        must(fd >= 0, argv[i]);
        struct content c = content_of(fd);
        files[n++] = (struct fuzz_bytes){ c.bytes, c.n };
    }
    must(files, "memory");
    fuzz_run(files, n, run);
    for (size_t i = 0; i < n; i++)
        free(files[i].at);
    free(files);
    return 0;
}
