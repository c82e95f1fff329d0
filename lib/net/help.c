/* What --help says about architectures and fusions, read from their tables. */
#include "base/status.h"
#include "net/arch.h"
#include "net/fusion.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { HELP_BYTES = 2048 };

static void append(char help[HELP_BYTES], const char *fmt, ...) FX_PRINTF(2, 3);

static void append(char help[HELP_BYTES], const char *fmt, ...)
{
    size_t at = strlen(help);
    va_list args;

    va_start(args, fmt);
    vsnprintf(help + at, HELP_BYTES - at, fmt, args);
    va_end(args);
}

/* "resnet18:width=64,blocks=2-2-2-2", and what that is. */
static void append_arch(char help[HELP_BYTES], const struct fx_arch *arch)
{
    const struct fx_arch_key *keys = arch->network->keys;

    append(help, "  %s", arch->name);
    for (int i = 0; i < FX_ARCH_MAX_KEYS && keys[i].name; i++) {
        append(help, "%c%s", i ? ',' : ':', keys[i].name);
        for (int v = 0; v < keys[i].fallback.n; v++)
            append(help, "%c%d", v ? '-' : '=', keys[i].fallback.v[v]);
    }
    append(help, "\n      %s\n", arch->network->summary);
}

static void append_archs(char help[HELP_BYTES])
{
    append(help, "An architecture is FAMILY or FAMILY:KEY=VALUE,...; numbers of a list are joined\n"
                 "by '-', architectures of experts that differ by ';' (fusion-tools(7)).  The\n"
                 "families, with the values of the full-size networks:\n");
    for (const struct fx_arch *arch = fx_archs; arch->name; arch++)
        append_arch(help, arch);
}

const char *fx_arch_help(void)
{
    static char help[HELP_BYTES];

    help[0] = '\0';
    append_archs(help);
    return help;
}

const char *fx_model_help(void)
{
    static char help[HELP_BYTES];

    help[0] = '\0';
    append(help, "A fusion makes one feature vector of those of the experts, f; LN is a layer\n"
                 "normalisation of each, mlp two linear layers with a ReLU between them:\n");
    for (const struct fx_fusion *fusion = fx_fusions; fusion->name; fusion++)
        append(help, "  %-22s  %s\n", fusion->name, fusion->module->summary);
    append(help, "\n");
    append_archs(help);
    return help;
}
