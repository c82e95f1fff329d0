/* fuzz-inputs TARGET FILE...: gives the files to a target of tests/fuzz/targets.h, and then mutants
 * of them (FX_FUZZ_N, mutate.h); for tests without libFuzzer.
 * fuzz-inputs --changing TARGET FILE...: the files change while they are read, FX_FUZZ_N times. */
#include "fuzz/changing.h"
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

/* ---- files that change ----------------------------------------------------------------------- */

#if FX_CAN_CHANGE
static uint64_t changing_random;

/* What was read last is something else, or bytes near it are. */
static void change(uint8_t *bytes, size_t n, uint8_t *read)
{
    size_t first = read < bytes ? 0 : (size_t)(read - bytes);
    size_t end = first + 1 + fuzz_below(&changing_random, 8);

    for (size_t i = first; i < end && i < n; i++) {
        uint64_t random = fuzz_random(&changing_random);
        uint8_t one_bit = (uint8_t)(1 << (random >> 8 & 7));
        bytes[i] = random & 1 ? (uint8_t)(random >> 16) : bytes[i] ^ one_bit;
    }
}

static long run_changing(const struct fuzz_bytes *file, long last)
{
    target->run(changing_begin(file->at, file->n, last, change), file->n);
    return changing_end();
}

static void fuzz_changing(const struct fuzz_bytes *files, size_t n_files)
{
    long *n_accesses = calloc(n_files, sizeof *n_accesses);
    uint64_t n = fuzz_setting("FX_FUZZ_N", 1000), first = fuzz_setting("FX_FUZZ_FIRST", 0);

    must(n_accesses, "memory");
    for (uint64_t i = first; i < first + n; i++) {
        changing_random = i;
        size_t k = fuzz_below(&changing_random, n_files);
        if (n_accesses[k] == 0)
            n_accesses[k] = run_changing(&files[k], 0);
        run_changing(&files[k], 1 + (long)fuzz_below(&changing_random, (size_t)n_accesses[k]));
    }
    free(n_accesses);
}
#else
static void fuzz_changing(const struct fuzz_bytes *files, size_t n_files)
{
    (void)files, (void)n_files; /* cannot be tried on this processor */
}
#endif

/* ---- the whole ------------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
    struct fuzz_bytes *files = calloc((size_t)argc, sizeof *files);
    size_t n = 0;
    bool changes = argc > 1 && strcmp(argv[1], "--changing") == 0;
    int first = changes ? 3 : 2;

    if (argc <= first) {
        fprintf(stderr, "usage: fuzz-inputs [--changing] TARGET FILE...\n");
        return 2;
    }
    target = target_named(argv[first - 1]);
    fx_log_set("fuzz-inputs", FX_LOG_QUIET);
    for (int i = first; files && i < argc; i++) {
        int fd = open(argv[i], O_RDONLY);
        must(fd >= 0, argv[i]);
        struct content c = content_of(fd);
        files[n++] = (struct fuzz_bytes){ c.bytes, c.n };
    }
    must(files, "memory");
    if (changes)
        fuzz_changing(files, n);
    else
        fuzz_run(files, n, run);
    for (size_t i = 0; i < n; i++)
        free(files[i].at);
    free(files);
    return 0;
}
