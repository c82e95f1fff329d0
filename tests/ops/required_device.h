/* Back ends that this run must have: FX_REQUIRE_DEVICE=cuda (make check-gpu, the simulator's build)
 * makes a test that would be skipped for want of it fail. */
#ifndef FX_TESTS_OPS_REQUIRED_DEVICE_H
#define FX_TESTS_OPS_REQUIRED_DEVICE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Says that the device is missing, or fails. */
static inline void skip_device(const char *device, const char *why)
{
    const char *required = getenv("FX_REQUIRE_DEVICE");

    if (required != NULL && strcmp(required, device) == 0)
        fail_msg("%s is required: %s", device, why);
    print_message("  skipped: %s\n", why);
}

#endif
