/* First and last words of the tools that compute. */
#include "run/run.h"

#include "backend/backend.h"
#include "base/log.h"

#include <stdio.h>
#include <sys/resource.h>

const char *fx_train_built_with(void)
{
    static char text[64];

    snprintf(text, sizeof text, "back ends: %s", fx_backend_names());
    return text;
}

void fx_log_usage(double seconds)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    fx_log_info("%.1f s, peak memory %.0f MiB", seconds, (double)usage.ru_maxrss / 1024);
}
