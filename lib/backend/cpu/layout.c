/* Packing and unpacking; element by element, because it happens at the edges of a run only. */
#include "backend/cpu/cpu_internal.h"

#include <string.h>

/* Where the kernel of output channel o and input channel i (of its group) begins; its next tap lies
 * block * block floats further. */
static size_t weight_at(const struct fx_weight_layout *l, int o, int i)
{
    int per_group_in = l->c_in / l->groups, per_group_out = l->c_out / l->groups;
    int merge = l->groups / l->merged;
    int g = o / per_group_out, b = l->block;
    int gm = g / merge; /* the merged group, and the channels within it */
    int om = o - gm * merge * per_group_out, im = g % merge * per_group_in + i;
    size_t ob = (size_t)gm * (size_t)(l->out / b) + (size_t)(om / b);
    size_t ib = ob * (size_t)(l->in / b) + (size_t)(im / b);

    return ib * (size_t)(l->kernel * l->kernel * b * b) + (size_t)(im % b * b + om % b);
}

void fx_weight_pack(const struct fx_weight_layout *l, const float *plain, float *packed)
{
    int taps = l->kernel * l->kernel;

    memset(packed, 0, fx_weight_floats(l) * sizeof *packed);
    for (int o = 0; o < l->c_out; o++)
        for (int i = 0; i < l->c_in / l->groups; i++) {
            float *to = packed + weight_at(l, o, i);

            for (int t = 0; t < taps; t++)
                to[(size_t)(t * l->block * l->block)] = *plain++;
        }
}

void fx_weight_unpack(const struct fx_weight_layout *l, const float *packed, float *plain)
{
    int taps = l->kernel * l->kernel;

    for (int o = 0; o < l->c_out; o++)
        for (int i = 0; i < l->c_in / l->groups; i++) {
            const float *from = packed + weight_at(l, o, i);

            for (int t = 0; t < taps; t++)
                *plain++ = from[(size_t)(t * l->block * l->block)];
        }
}

void fx_weight_clear_rest(const struct fx_weight_layout *l, float *packed)
{
    int merge = l->groups / l->merged, b = l->block, taps = l->kernel * l->kernel;
    int per_group_in = l->c_in / l->groups, per_group_out = l->c_out / l->groups;

    if (merge == 1)
        return;
    for (int gm = 0; gm < l->merged; gm++)
        for (int ob = 0; ob < l->out / b; ob++)
            for (int ib = 0; ib < l->in / b; ib++)
                for (int t = 0; t < taps; t++)
                    for (int i = 0; i < b; i++)
                        for (int o = 0; o < b; o++, packed++)
                            if ((ob * b + o) / per_group_out != (ib * b + i) / per_group_in)
                                *packed = 0;
}

void fx_map_pack(const struct fx_loops *loops, int c, int area, const float *plain, void *packed)
{
    int b = loops->block;
    struct fx_channels pixel;
    char *to = packed;

    for (int first = 0; first < c; first += b)
        for (int i = 0; i < area; i++, to += (size_t)b * loops->value_bytes) {
            for (int l = 0; l < b; l++)
                pixel.v[l] = first + l < c ? plain[(size_t)(first + l) * (size_t)area + i] : 0;
            loops->from_f32(pixel.v, to, (size_t)b);
        }
}

void fx_map_unpack(const struct fx_loops *loops, int c, int area, const void *packed, float *plain)
{
    int b = loops->block;
    struct fx_channels pixel;
    const char *from = packed;

    for (int first = 0; first < c; first += b)
        for (int i = 0; i < area; i++, from += (size_t)b * loops->value_bytes) {
            loops->to_f32(from, pixel.v, (size_t)b);
            for (int l = 0; l < b && first + l < c; l++)
                plain[(size_t)(first + l) * (size_t)area + i] = pixel.v[l];
        }
}
