/* The table of fusions.def. */
#include "net/fusion.h"

#include <string.h>

#define FX_FUSION(file, name) extern const struct fx_fusion_module fx_fusion_##file;
#include "net/fusions.def"
#undef FX_FUSION

#define FX_FUSION(file, name) { #name, &fx_fusion_##file },
const struct fx_fusion fx_fusions[] = {
#include "net/fusions.def"
    { NULL, NULL },
};
#undef FX_FUSION

#define FX_FUSION(file, name) "|" #name
const char fx_fusion_list[] =
#include "net/fusions.def"
    ;
#undef FX_FUSION

#define FX_FUSION(file, name) ", " #name
static const char names[] =
#include "net/fusions.def"
    ;
#undef FX_FUSION

enum fx_status fx_fusion_find(const char *name, const struct fx_fusion **fusion, struct fx_err *err)
{
    for (*fusion = fx_fusions; (*fusion)->name; (*fusion)++)
        if (strcmp(name, (*fusion)->name) == 0)
            return FX_OK;
    return fx_fail(err, FX_EUSAGE, "unknown fusion '%s' (there are: %s)", name, names + 2);
}
