/* The names of families and fusions as one text, for --help and messages; read from the tables. */
#include "net/arch.h"
#include "net/model.h"

#include <stdio.h>
#include <string.h>

enum { HELP_BYTES = 1024 };

const char *fx_names_join(const char *(*name)(int), const char *between, char *buf, size_t n)
{
    size_t used = 0;

    for (int i = 0; name(i) != NULL && used < n; i++)
        used += (size_t)snprintf(buf + used, n - used, "%s%s", i ? between : "", name(i));
    return buf;
}

const char *fx_arch_choices(void)
{
    static char buf[FX_NAMES_BYTES];

    return fx_names_join(fx_arch_family, "|", buf, sizeof buf);
}

const char *fx_fusion_choices(void)
{
    static char buf[FX_NAMES_BYTES];

    return fx_names_join(fx_fusion_name, "|", buf, sizeof buf);
}

/* "width=64,blocks=2-2-2-2" behind the text in buf. */
static void add_keys(const struct fx_arch *arch, char *buf, size_t n)
{
    for (int i = 0; i < FX_ARCH_MAX_KEYS && arch->keys[i].name; i++) {
        const struct fx_arch_value *value = &arch->keys[i].fallback;
        size_t at = strlen(buf);

        snprintf(buf + at, n - at, "%s%s", i ? "," : "", arch->keys[i].name);
        for (int v = 0; v < value->n; v++) {
            at = strlen(buf);
            snprintf(buf + at, n - at, "%c%d", v ? '-' : '=', value->v[v]);
        }
    }
}

const char *fx_arch_help(void)
{
    static char buf[HELP_BYTES];

    snprintf(buf, sizeof buf,
             "An architecture is FAMILY or FAMILY:KEY=VALUE,...; numbers of a list are joined\n"
             "by '-', architectures of experts that differ by ';' (fusion-tools(7)).  The\n"
             "families, with the values of the full-size networks:\n");
    for (int i = 0; fx_arch_family(i) != NULL; i++) {
        size_t at = strlen(buf);

        snprintf(buf + at, sizeof buf - at, "  %s:", fx_arch_family(i));
        add_keys(fx_arch_at(i), buf, sizeof buf);
        at = strlen(buf);
        snprintf(buf + at, sizeof buf - at, "\n");
    }
    return buf;
}
