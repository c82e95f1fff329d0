/* Element by element, because it happens at the edges of a run only. */
#include "backend/cuda/filter_layout_internal.h"

#include <string.h>

/* Where output channel o and input channel i (of its group) meet at tap 0; the next tap lies l->in
 * values further. */
static size_t weight_at(const struct fx_weight_layout *l, int o, int i)
{
    int per_out = l->c_out / l->groups, per_in = l->c_in / l->groups;
    int merge = l->groups / l->merged, g = o / per_out;
    int gm = g / merge; /* the merged group, and the channels within it */
    int om = o - gm * merge * per_out, im = g % merge * per_in + i;
    int taps = l->kernel * l->kernel;

    return (((size_t)gm * (size_t)l->out + (size_t)om) * (size_t)taps) * (size_t)l->in + (size_t)im;
}

void fx_filter_pack(const struct fx_weight_layout *l, const float *plain, float *packed)
{
    int taps = l->kernel * l->kernel;

    memset(packed, 0, fx_weight_floats(l) * sizeof *packed);
    for (int o = 0; o < l->c_out; o++)
        for (int i = 0; i < l->c_in / l->groups; i++)
            for (int t = 0; t < taps; t++)
                packed[weight_at(l, o, i) + (size_t)t * (size_t)l->in] = *plain++;
}

void fx_filter_unpack(const struct fx_weight_layout *l, const float *packed, float *plain)
{
    int taps = l->kernel * l->kernel;

    for (int o = 0; o < l->c_out; o++)
        for (int i = 0; i < l->c_in / l->groups; i++)
            for (int t = 0; t < taps; t++)
                *plain++ = packed[weight_at(l, o, i) + (size_t)t * (size_t)l->in];
}
