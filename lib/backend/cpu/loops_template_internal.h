/* The body of loops_*.c, which define what vector_internal.h wants, BF16 too, and
 *   TABLE  name of the struct fx_loops to define */
#include "backend/cpu/loops_internal.h"
#include "backend/cpu/vector_internal.h"

/* All ones in the channels whose bit is set. */
LOOP vi channels_of(uint16_t word)
{
#if BLOCK == 16
    const vi bits = { 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768 };
#else
    const vi bits = { 1, 2, 4, 8, 16, 32, 64, 128 };
#endif
    return (((vi){ 0 } + word) & bits) == bits;
}

ENTRY void to_f32(const void *x_, float *y, size_t n)
{
    const value *x = x_;

    for (size_t i = 0; i < n; i += BLOCK)
        store_channels(y + i, load(x + i));
}

ENTRY void from_f32(const float *x, void *y_, size_t n)
{
    value *y = y_;

    for (size_t i = 0; i < n; i += BLOCK)
        store(y + i, load_channels(x + i));
}

/* Four running sums hide the latency of the addition and shorten the chains that round. */
enum { CHAINS = 4 };

LOOP vf join(const vf s[CHAINS])
{
    return (s[0] + s[1]) + (s[2] + s[3]);
}

ENTRY void sum(const void *x_, size_t n, float *out)
{
    const value *x = x_;
    vf s[CHAINS] = { 0 };
    size_t i = 0;

    for (; i + CHAINS <= n; i += CHAINS)
        for (int j = 0; j < CHAINS; j++)
            s[j] += load(x + (i + (size_t)j) * BLOCK);
    for (; i < n; i++)
        s[0] += load(x + i * BLOCK);
    store_channels(out, join(s));
}

/* Two passes: the span is in the cache for the second, and nothing cancels. */
ENTRY void moments(const void *x_, size_t n, float *mean_out, float *m2_out)
{
    const value *x = x_;
    vf s[CHAINS] = { 0 }, mean;
    size_t i = 0;

    sum(x, n, mean_out);
    mean = load_channels(mean_out) / (float)n;
    store_channels(mean_out, mean);
    for (; i + CHAINS <= n; i += CHAINS)
        for (int j = 0; j < CHAINS; j++) {
            vf d = load(x + (i + (size_t)j) * BLOCK) - mean;

            s[j] += d * d;
        }
    for (; i < n; i++) {
        vf d = load(x + i * BLOCK) - mean;

        s[0] += d * d;
    }
    store_channels(m2_out, join(s));
}

LOOP void bn_apply_as(const value *x, value *y, size_t n, vf scale, vf shift, bool relu,
                      const uint16_t *kept, float factor)
{
    for (size_t i = 0; i < n; i++) {
        vf z = load(x + i * BLOCK) * scale + shift;

        if (relu)
            z = relu_of(z);
        if (kept)
            z = keep_where(channels_of(kept[i]), z * factor);
        store(y + i * BLOCK, z);
    }
}

ENTRY void bn_apply(const void *x, void *y, size_t n, const struct fx_channels *scale_,
                    const struct fx_channels *shift_, bool relu, struct fx_kept kept)
{
    vf scale = load_channels(scale_->v), shift = load_channels(shift_->v);

    if (kept.words)
        bn_apply_as(x, y, n, scale, shift, relu, kept.words, kept.factor);
    else if (relu)
        bn_apply_as(x, y, n, scale, shift, true, NULL, 1.0f);
    else
        bn_apply_as(x, y, n, scale, shift, false, NULL, 1.0f);
}

/* The gradient that passes ReLU and dropout, at one pixel. */
LOOP vf gated(vf x, vf dy, vf scale, vf shift, bool relu, const uint16_t *kept, float factor)
{
    if (kept)
        dy = keep_where(channels_of(*kept), dy * factor);
    if (relu)
        dy = keep_where(positive(x * scale + shift), dy);
    return dy;
}

/* What the sums of a block need; gathers: by_g * g is kept too, = or, if it accumulates, +=. */
struct summed {
    vf scale, shift, mean, by_g;
    bool relu, gathers, accumulate;
    float factor;
};

/* One pixel. */
LOOP void bn_sum(const struct summed *k, const value *x, const value *dy, value *to,
                 const uint16_t *kept, vf *s, vf *t)
{
    vf v = load(x), g = gated(v, load(dy), k->scale, k->shift, k->relu, kept, k->factor);

    *s += g;
    *t += g * (v - k->mean);
    if (k->gathers)
        store(to, k->accumulate ? k->by_g * g + load(to) : k->by_g * g);
}

LOOP void bn_sums_as(const value *x, const value *dy, value *to, size_t n,
                     const struct fx_bn_back *b, bool relu, const uint16_t *kept, float factor,
                     bool accumulate, float *sum_g, float *sum_gx)
{
    const struct summed k = { .scale = load_channels(b->scale.v),
                              .shift = load_channels(b->shift.v),
                              .mean = load_channels(b->mean.v),
                              .by_g = load_channels(b->by_g.v),
                              .relu = relu,
                              .gathers = to,
                              .accumulate = accumulate,
                              .factor = factor };
    vf s[CHAINS] = { 0 }, t[CHAINS] = { 0 };
    size_t i = 0;

    for (; i + CHAINS <= n; i += CHAINS)
        for (size_t j = 0; j < CHAINS; j++) {
            size_t at = i + j;

            bn_sum(&k, x + at * BLOCK, dy + at * BLOCK, to ? to + at * BLOCK : NULL,
                   kept ? kept + at : NULL, &s[j], &t[j]);
        }
    for (; i < n; i++)
        bn_sum(&k, x + i * BLOCK, dy + i * BLOCK, to ? to + i * BLOCK : NULL,
               kept ? kept + i : NULL, &s[0], &t[0]);
    store_channels(sum_g, join(s));
    store_channels(sum_gx, join(t));
}

ENTRY void bn_sums(const void *x, const void *dy, size_t n, const struct fx_bn_back *b,
                   struct fx_kept kept, float *sum_g, float *sum_gx)
{
    if (kept.words)
        bn_sums_as(x, dy, NULL, n, b, b->relu, kept.words, kept.factor, false, sum_g, sum_gx);
    else if (b->relu)
        bn_sums_as(x, dy, NULL, n, b, true, NULL, 1.0f, false, sum_g, sum_gx);
    else
        bn_sums_as(x, dy, NULL, n, b, false, NULL, 1.0f, false, sum_g, sum_gx);
}

ENTRY void bn_gather(const void *x, const void *dy, void *to, size_t n, const struct fx_bn_back *b,
                     struct fx_kept kept, bool accumulate, float *sum_g, float *sum_gx)
{
    if (kept.words || !b->relu)
        bn_sums_as(x, dy, to, n, b, b->relu, kept.words, kept.factor, accumulate, sum_g, sum_gx);
    else if (accumulate)
        bn_sums_as(x, dy, to, n, b, true, NULL, 1.0f, true, sum_g, sum_gx);
    else
        bn_sums_as(x, dy, to, n, b, true, NULL, 1.0f, false, sum_g, sum_gx);
}

LOOP void bn_back_as(const value *x, const value *dy, value *dx, size_t n,
                     const struct fx_bn_back *b, bool relu, const uint16_t *kept, float factor,
                     bool accumulate)
{
    vf scale = load_channels(b->scale.v), shift = load_channels(b->shift.v);
    vf mean = load_channels(b->mean.v), by_g = load_channels(b->by_g.v);
    vf by_x = load_channels(b->by_x.v), constant = load_channels(b->constant.v);

    for (size_t i = 0; i < n; i++) {
        vf v = load(x + i * BLOCK);
        vf g = gated(v, load(dy + i * BLOCK), scale, shift, relu, kept ? kept + i : NULL, factor);
        vf d = by_g * g + (by_x * (v - mean) + constant);

        if (accumulate)
            d += load(dx + i * BLOCK);
        store(dx + i * BLOCK, d);
    }
}

ENTRY void bn_back(const void *x, const void *dy, void *dx, size_t n, const struct fx_bn_back *b,
                   struct fx_kept kept, bool accumulate)
{
    if (kept.words)
        bn_back_as(x, dy, dx, n, b, b->relu, kept.words, kept.factor, accumulate);
    else if (b->relu && accumulate)
        bn_back_as(x, dy, dx, n, b, true, NULL, 1.0f, true);
    else if (b->relu)
        bn_back_as(x, dy, dx, n, b, true, NULL, 1.0f, false);
    else
        bn_back_as(x, dy, dx, n, b, false, NULL, 1.0f, accumulate);
}

LOOP void add_as(const value *a, const value *b, value *y, size_t n, bool relu)
{
    for (size_t i = 0; i < n * BLOCK; i += BLOCK) {
        vf z = load(a + i) + load(b + i);

        store(y + i, relu ? relu_of(z) : z);
    }
}

ENTRY void add(const void *a, const void *b, void *y, size_t n, bool relu)
{
    if (relu)
        add_as(a, b, y, n, true);
    else
        add_as(a, b, y, n, false);
}

ENTRY void relu_back(const void *y_, const void *dy_, void *dx_, size_t n)
{
    const value *y = y_, *dy = dy_;
    value *dx = dx_;

    for (size_t i = 0; i < n * BLOCK; i += BLOCK)
        store(dx + i, keep_where(positive(load(y + i)), load(dy + i)));
}

ENTRY void drop(const void *x_, void *y_, size_t n, struct fx_kept kept)
{
    const value *x = x_;
    value *y = y_;

    for (size_t i = 0; i < n; i++)
        store(y + i * BLOCK,
              keep_where(channels_of(kept.words[i]), load(x + i * BLOCK) * kept.factor));
}

/* ---- dropout masks: Philox4x32-10, a vector of counters at a time ---- */

enum { WIDE = BLOCK / 2, QUADS = BLOCK / 4 }; /* counters in a vector; draws of a pixel's block */
typedef uint64_t vu __attribute__((vector_size(8 * WIDE)));
typedef uint64_t vu_memory __attribute__((vector_size(8 * WIDE), aligned(8), may_alias));

/* The product of the lower halves. */
LOOP vu multiply_low(vu a, uint32_t b)
{
    return (a & 0xffffffffu) * (uint64_t)b;
}

/* c[0..3]: the counter words, one generator a channel; the upper halves are garbage afterwards. */
LOOP void philox(vu c[4], uint64_t seed)
{
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);

    for (int round = 0; round < 10; round++) {
        vu p0 = multiply_low(c[0], 0xD2511F53u), p1 = multiply_low(c[2], 0xCD9E8D57u);

        c[0] = (p1 >> 32) ^ c[1] ^ k0;
        c[2] = (p0 >> 32) ^ c[3] ^ k1;
        c[1] = p1;
        c[3] = p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

/* Lane i of `draws` is a draw of four channels; bits: where the first of them lies in its word. */
LOOP vu kept_bits(const struct fx_mask_span *m, vu draws, vu bits)
{
    vu c[4] = { (vu){ 0 } + m->counter[0], (vu){ 0 } + m->counter[1], (vu){ 0 } + m->counter[2],
                draws };
    vu kept = { 0 };

    philox(c, m->seed);
    for (int i = 0; i < 4; i++)
        kept |= (vu)((c[i] & 0xffffffffu) >> 8 >= m->limit) & (bits << i);
    return kept;
}

ENTRY void draw(const struct fx_mask_span *m, size_t n, uint16_t *words)
{
    const size_t pixels = WIDE / QUADS;
    uint16_t used = (uint16_t)((1u << m->used) - 1);
    vu offset, bits;

    for (int i = 0; i < WIDE; i++) {
        offset[i] = (uint64_t)((unsigned)i / QUADS * (m->c / 4) + (unsigned)i % QUADS);
        bits[i] = (uint64_t)1 << (4 * (i % QUADS));
    }
    for (size_t p = 0; p < n; p += pixels) {
        vu draws = offset + (uint64_t)(p * m->c + m->first) / 4;
        uint64_t kept[WIDE];

        *(vu_memory *)kept = kept_bits(m, draws, bits);
        for (size_t j = 0; j < pixels && p + j < n; j++) {
            uint64_t word = 0;

            for (size_t q = 0; q < QUADS; q++)
                word |= kept[j * QUADS + q];
            words[p + j] = (uint16_t)word & used;
        }
    }
}

ENTRY void fill(void *y_, size_t n, const float *v)
{
    value *y = y_;
    vf z = load_channels(v);

    for (size_t i = 0; i < n * BLOCK; i += BLOCK)
        store(y + i, z);
}

ENTRY void avgpool2(const void *x_, void *y_, int h, int w, int w_in)
{
    const value *x = x_;
    value *y = y_;

    for (int i = 0; i < h; i++)
        for (int j = 0; j < w; j++) {
            const value *upper = x + (size_t)(2 * i * w_in + 2 * j) * BLOCK;
            const value *lower = upper + (size_t)w_in * BLOCK;
            vf s = (load(upper) + load(upper + BLOCK)) + (load(lower) + load(lower + BLOCK));

            store(y + (size_t)(i * w + j) * BLOCK, s * 0.25f);
        }
}

ENTRY void avgpool2_back(const void *dy_, void *dx_, int h_in, int w_in)
{
    const value *dy = dy_;
    value *dx = dx_;
    int h = h_in / 2, w = w_in / 2;

    for (int i = 0; i < h_in; i++)
        for (int j = 0; j < w_in; j++) {
            vf g = { 0 };

            if (i / 2 < h && j / 2 < w)
                g = load(dy + (size_t)(i / 2 * w + j / 2) * BLOCK) * 0.25f;
            store(dx + (size_t)(i * w_in + j) * BLOCK, g);
        }
}

const struct fx_loops TABLE = {
    .block = BLOCK,
    .value_bytes = sizeof(value),
    .to_f32 = to_f32,
    .from_f32 = from_f32,
    .moments = moments,
    .bn_apply = bn_apply,
    .bn_sums = bn_sums,
    .bn_gather = bn_gather,
    .bn_back = bn_back,
    .add = add,
    .relu_back = relu_back,
    .drop = drop,
    .draw = draw,
    .sum = sum,
    .fill = fill,
    .avgpool2 = avgpool2,
    .avgpool2_back = avgpool2_back,
};
