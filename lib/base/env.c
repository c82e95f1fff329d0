/* Reading the environment. */
#include "base/env.h"

#include <stdlib.h>

const char *fx_env(const char *name)
{
    const char *value = getenv(name);

    return value && value[0] != '\0' ? value : NULL;
}
