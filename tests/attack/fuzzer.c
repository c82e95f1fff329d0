/* One of tests/fuzz/targets.h under libFuzzer (make fuzz), the one that FUZZ_TARGET names. */
#include "../fuzz/targets.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static const struct target *target;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    target = target_named(getenv("FUZZ_TARGET"));
    fx_log_set("fuzz", FX_LOG_QUIET);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    target->run(bytes, n); /* libFuzzer gives a block of exactly that size */
    return 0;
}
