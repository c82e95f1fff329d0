/* What a test of kernels says where it finds no device to run on. */
#ifndef FX_TESTS_KERNELS_NO_DEVICE_H
#define FX_TESTS_KERNELS_NO_DEVICE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In TAP: a skip, or with FX_REQUIRE_DEVICE=cuda a failure.  The program's exit status. */
static inline int no_device(const char *why)
{
    const char *required = getenv("FX_REQUIRE_DEVICE");

    if (required != NULL && strcmp(required, "cuda") == 0) {
        printf("1..1\nnot ok 1 - cuda is required: %s\n", why);
        return 1;
    }
    printf("1..0 # SKIP no CUDA device: %s\n", why);
    return 0;
}

#endif
