/* The kernels of conv.cu against plain loops: weights of one convolution group, of several, and
 * of several that were merged into one; sums of parts. */
#include "map_memory.h"

/* c_out and c_in of a graph group; `merged` of them are one group to cuDNN, which has `groups`. */
static const struct shape {
    int groups, merged, c_out, c_in, kernel;
} shapes[] = {
    { 1, 1, 16, 8, 1 }, { 1, 1, 21, 3, 3 }, { 1, 1, 40, 24, 3 }, { 3, 1, 16, 8, 3 },
    { 2, 4, 12, 2, 3 }, { 1, 5, 3, 3, 3 },  { 2, 2, 4, 12, 1 },
};

static struct fx_weight_layout weight_of(const struct shape *s)
{
    int groups = s->groups * s->merged;

    return (struct fx_weight_layout){ .block = FX_K_BLOCK,
                                      .kernel = s->kernel,
                                      .groups = groups,
                                      .c_in = groups * s->c_in,
                                      .c_out = groups * s->c_out,
                                      .merged = s->groups,
                                      .in = map_padded(s->merged * s->c_in),
                                      .out = map_padded(s->merged * s->c_out) };
}

/* Something stands for this value of (groups, out, taps, in): neither in the padding nor between
 * two graph groups. */
static bool is_real(const struct shape *s, int o, int i)
{
    return o < s->merged * s->c_out && i < s->merged * s->c_in && o / s->c_out == i / s->c_in;
}

/* In the padding cuDNN writes zeros; what it writes between graph groups is any number. */
static bool is_padding(const struct shape *s, int o, int i)
{
    return o >= s->merged * s->c_out || i >= s->merged * s->c_in;
}

static void one_gradient(const struct fx_k_launch *l, const struct shape *s, bool accumulate)
{
    struct fx_weight_layout w = weight_of(s);
    int taps = s->kernel * s->kernel, rows = s->groups * w.out * taps;
    struct map fresh;
    struct vec grad;

    map_open(&fresh, l, EXACT, rows, w.in, 1);
    vec_open(&grad, l->n_lanes, (size_t)rows * (size_t)w.in, accumulate ? 2 : 0);
    for (int k = 0; k < l->n_lanes; k++) {
        for (int r = 0; r < rows; r++) {
            for (int i = 0; i < w.in; i++) {
                int o = r / taps % w.out, at = r * w.in + i;
                bool real = is_real(s, o, i);

                if (is_padding(s, o, i))
                    map_set(&fresh, k, r, i, 0);
                if (accumulate && !real)
                    vec_host(&grad, k)[at] = 0;
                vec_expected(&grad, k)[at] =
                    real ? map_get(&fresh, k, r, i) + (accumulate ? vec_host(&grad, k)[at] : 0) : 0;
            }
        }
    }
    map_upload(&fresh);
    vec_upload(&grad);
    device_ok(fx_k_weight_grad(l, &w, fresh.k.data, fresh.k.lane, vec_array(&grad), accumulate));
    map_check(&fresh, 0, "gradient of a weight, fresh");
    vec_check(&grad, 0, "gradient of a weight");
    vec_close(&grad);
    map_close(&fresh);
}

static void all_gradients(const struct fx_k_launch *l)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int accumulate = 0; accumulate < 2; accumulate++)
            one_gradient(l, &shapes[i], accumulate);
}

static void gradients(void **state)
{
    (void)state;
    for_all_launches(all_gradients);
}

static void one_sum_of_parts(const struct fx_k_launch *l, int n, int n_parts, bool accumulate)
{
    struct vec parts, grad; /* of the parts the numbers alone */
    float *packed;

    vec_open(&parts, l->n_lanes, (size_t)n_parts * (size_t)n, 1);
    vec_open(&grad, l->n_lanes, (size_t)n, accumulate ? 2 : 0);
    for (int k = 0; k < l->n_lanes; k++)
        for (int i = 0; i < n; i++) {
            float sum = 0;

            for (int part = 0; part < n_parts; part++)
                sum += vec_expected(&parts, k)[part * n + i];
            vec_expected(&grad, k)[i] = accumulate ? vec_host(&grad, k)[i] + sum : sum;
        }
    size_t n_bytes = (size_t)l->n_lanes * (size_t)n_parts * (size_t)n * sizeof(float);
    device_ok(cudaMalloc((void **)&packed, n_bytes));
    device_ok(cudaMemcpy(packed, parts.expected, n_bytes, cudaMemcpyHostToDevice));
    vec_upload(&grad);
    device_ok(fx_k_sum_parts(l, packed, n_parts, (size_t)n, vec_array(&grad), accumulate));
    vec_check(&grad, 0, "sum of parts");
    device_ok(cudaFree(packed));
    vec_close(&grad);
    vec_close(&parts);
}

/* To the bit: the order of the sum is part of the promise. */
static void all_sums_of_parts(const struct fx_k_launch *l)
{
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        one_sum_of_parts(l, 64, 2, accumulate);
        one_sum_of_parts(l, 1000, 32, accumulate);
        one_sum_of_parts(l, 257, 7, accumulate);
    }
}

static void sums_of_parts(void **state)
{
    (void)state;
    for_all_launches(all_sums_of_parts);
}

/* n values; among the first are ties, the next to infinity, a denormal and what is not finite. */
static void one_shadow(int n)
{
    static const uint32_t special[] = { 0x3f808000, 0x3f818000, 0x3f808001, 0x7f7fffff,
                                        0x00008001, 0xff800000, 0x80000000, 0x7fc00000 };
    struct fx_k_launch l = { .stream = stream, .n_lanes = 1, .bf16 = true };
    struct vec from;
    struct map to;

    vec_open(&from, 1, (size_t)n, 1);
    map_open(&to, &l, EXACT, 1, n, 0);
    for (int i = 0; i < n; i++) {
        if (i < (int)(sizeof special / sizeof *special))
            from.host[i] = bits_float(special[i]);
        to.bits[i] = bf16_bits(from.host[i]);
    }
    vec_upload(&from);
    device_ok(fx_k_to_bf16(stream, from.device, to.k.data, (size_t)n));
    map_check(&to, 0, "shadow");
    map_close(&to);
    vec_close(&from);
}

static void shadow(void **state)
{
    (void)state;
    one_shadow(1);
    one_shadow(100);
    one_shadow(1027);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(gradients),
                                        cmocka_unit_test(sums_of_parts), cmocka_unit_test(shadow) };

    return RUN_ON_DEVICE(tests);
}
