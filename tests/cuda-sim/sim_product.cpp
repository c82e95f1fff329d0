/* Matrix products in plain loops. */
#include "sim_product.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "cuda_bf16.h"

namespace cuda_sim
{

static constexpr size_t FLOAT_TERMS = 64; /* added up in float before they go into a double */

float values::get(size_t i) const
{
    return bf16 ? bf16_value(static_cast<unsigned short *>(data)[i])
                : static_cast<float *>(data)[i];
}

void values::set(size_t i, float value) const
{
    if (bf16)
        static_cast<unsigned short *>(data)[i] = bf16_bits(value);
    else
        static_cast<float *>(data)[i] = value;
}

/* sums[n] = a[k] b[k, n]; four rows of b at a time, so that sums are loaded less often. */
static void row_times(size_t n, size_t k, const float *a, const float *b, float *__restrict__ sums)
{
    size_t p = 0;

    std::fill(sums, sums + n, 0.0f);
    for (; p + 4 <= k; p += 4) {
        const float *row = b + p * n;
        float a0 = a[p], a1 = a[p + 1], a2 = a[p + 2], a3 = a[p + 3];

        for (size_t j = 0; j < n; j++)
            sums[j] += a0 * row[j] + a1 * row[n + j] + a2 * row[2 * n + j] + a3 * row[3 * n + j];
    }
    for (; p < k; p++)
        for (size_t j = 0; j < n; j++)
            sums[j] += a[p] * b[p * n + j];
}

void multiply_add(size_t m, size_t n, size_t k, const std::vector<float> &a,
                  const std::vector<float> &b, std::vector<double> &c)
{
    std::vector<float> sums(n);

    for (size_t first = 0; first < k; first += FLOAT_TERMS) {
        size_t terms = std::min(FLOAT_TERMS, k - first);

        for (size_t i = 0; i < m; i++) {
            row_times(n, terms, &a[i * k + first], &b[first * n], sums.data());
            for (size_t j = 0; j < n; j++)
                c[i * n + j] += sums[j];
        }
    }
}

double made_up_ms(made_up of)
{
    const char *text = getenv("CUDA_SIM_MS");
    double ms[3] = { 0, 0, 0 };

    if (text)
        sscanf(text, "%lf %lf %lf", &ms[0], &ms[1], &ms[2]);
    return ms[(int)of];
}

void scribble(void *workspace, size_t bytes)
{
    memset(workspace, 0xff, bytes);
}

} // namespace cuda_sim
