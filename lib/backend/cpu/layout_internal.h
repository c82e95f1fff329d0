/* The blocked layouts of the cpu back end, and the way in and out of them.
 *
 * A map is nChw{b}c: blocks of b channels, each pixel's b channels side by side; the last block is
 * padded with zeros.  A convolution's weights are [groups]OIhw{b}i{b}o, padded with zeros in both
 * channel counts (net/blocks.h). */
#ifndef FX_BACKEND_CPU_LAYOUT_INTERNAL_H
#define FX_BACKEND_CPU_LAYOUT_INTERNAL_H

#include "backend/cpu/loops_internal.h"
#include "net/blocks.h"

/* plain: (c_out, c_in / groups, kernel, kernel) in C order.  pack also writes the zeros. */
void fx_weight_pack(const struct fx_weight_layout *l, const float *plain, float *packed);
void fx_weight_unpack(const struct fx_weight_layout *l, const float *packed, float *plain);

/* Puts zeros where a gradient has no parameter: between groups that were merged. */
void fx_weight_clear_rest(const struct fx_weight_layout *l, float *packed);

/* A map of one image between C order (c, h, w) f32 and blocks; pack writes the zeros. */
void fx_map_pack(const struct fx_loops *loops, int c, int area, const float *plain, void *packed);
void fx_map_unpack(const struct fx_loops *loops, int c, int area, const void *packed, float *plain);

#endif
