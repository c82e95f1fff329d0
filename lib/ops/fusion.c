/* The experts' features become one: element by element, or as tokens. */
#include "ops/operators.h"

#include "net/graph.h"

#include <math.h>

/* prod over j != skip of (x_j[i] + shift); skip = -1: over all. */
static double product_but(int n_values, const float *const *x, float shift, size_t i, int skip)
{
    double product = 1;

    for (int j = 0; j < n_values; j++)
        if (j != skip)
            product *= (double)x[j][i] + (double)shift;
    return product;
}

void fx_product_forward(int n_values, size_t n_elements, const float *const *x, float shift,
                        float *y)
{
    for (size_t i = 0; i < n_elements; i++)
        y[i] = (float)product_but(n_values, x, shift, i, -1);
}

/* The others' product is computed anew rather than by division, which fails at zero. */
void fx_product_backward(int n_values, size_t n_elements, const float *const *x, float shift,
                         const float *dy, float *const *dx)
{
    for (int k = 0; k < n_values; k++)
        for (size_t i = 0; dx[k] && i < n_elements; i++)
            dx[k][i] += (float)((double)dy[i] * product_but(n_values, x, shift, i, k));
}

static void softmax(int n, const float *w, double *p)
{
    double largest = (double)w[0], sum = 0;

    for (int k = 1; k < n; k++)
        largest = fmax(largest, (double)w[k]);
    for (int k = 0; k < n; k++)
        sum += p[k] = exp((double)w[k] - largest);
    for (int k = 0; k < n; k++)
        p[k] /= sum;
}

void fx_weighted_sum_forward(int n_values, size_t n_elements, const float *const *x, const float *w,
                             float *y)
{
    double p[FX_NODE_MAX_INPUTS];

    softmax(n_values, w, p);
    for (size_t i = 0; i < n_elements; i++) {
        double sum = 0;

        for (int k = 0; k < n_values; k++)
            sum += p[k] * (double)x[k][i];
        y[i] = (float)sum;
    }
}

/* dx_k = p_k dy;  with g_k = sum_i dy_i x_k,i (the gradient of p_k): dw_k = p_k (g_k - sum_j p_j
 * g_j). */
void fx_weighted_sum_backward(int n_values, size_t n_elements, const float *const *x,
                              const float *w, const float *dy, float *const *dx, float *dw)
{
    double p[FX_NODE_MAX_INPUTS], g[FX_NODE_MAX_INPUTS], mean = 0;

    softmax(n_values, w, p);
    for (int k = 0; k < n_values; k++) {
        g[k] = 0;
        for (size_t i = 0; i < n_elements; i++)
            g[k] += (double)dy[i] * (double)x[k][i];
        for (size_t i = 0; dx[k] && i < n_elements; i++)
            dx[k][i] += (float)(p[k] * (double)dy[i]);
        mean += p[k] * g[k];
    }
    for (int k = 0; dw && k < n_values; k++)
        dw[k] += (float)(p[k] * (g[k] - mean));
}

void fx_gated_sum_forward(int n_values, int n, int c, const float *const *x, const float *g,
                          float *y)
{
    double p[FX_NODE_MAX_INPUTS];

    for (size_t i = 0; i < (size_t)n; i++) {
        softmax(n_values, g + i * (size_t)n_values, p);
        for (size_t j = i * (size_t)c; j < (i + 1) * (size_t)c; j++) {
            double sum = 0;

            for (int k = 0; k < n_values; k++)
                sum += p[k] * (double)x[k][j];
            y[j] = (float)sum;
        }
    }
}

/* As the weighted sum, with d_k = sum_j dy_j x_k,j over one image. */
void fx_gated_sum_backward(int n_values, int n, int c, const float *const *x, const float *g,
                           const float *dy, float *const *dx, float *dg)
{
    double p[FX_NODE_MAX_INPUTS], d[FX_NODE_MAX_INPUTS];

    for (size_t i = 0; i < (size_t)n; i++) {
        size_t begin = i * (size_t)c, end = begin + (size_t)c;
        double mean = 0;

        softmax(n_values, g + i * (size_t)n_values, p);
        for (int k = 0; k < n_values; k++) {
            d[k] = 0;
            for (size_t j = begin; j < end; j++)
                d[k] += (double)dy[j] * (double)x[k][j];
            for (size_t j = begin; dx[k] && j < end; j++)
                dx[k][j] += (float)(p[k] * (double)dy[j]);
            mean += p[k] * d[k];
        }
        for (int k = 0; dg && k < n_values; k++)
            dg[i * (size_t)n_values + (size_t)k] += (float)(p[k] * (d[k] - mean));
    }
}

/* Where token k of image i begins in (n, tokens, c). */
static size_t token(int tokens, int c, int i, int k)
{
    return ((size_t)i * (size_t)tokens + (size_t)k) * (size_t)c;
}

void fx_stack_forward(int n_values, int n, int c, const float *const *x, float *y)
{
    for (int i = 0; i < n; i++)
        for (int k = 0; k < n_values; k++)
            for (int j = 0; j < c; j++)
                y[token(n_values, c, i, k) + (size_t)j] = x[k][(size_t)i * (size_t)c + (size_t)j];
}

void fx_stack_backward(int n_values, int n, int c, const float *dy, float *const *dx)
{
    for (int i = 0; i < n; i++)
        for (int k = 0; k < n_values; k++)
            for (int j = 0; dx[k] && j < c; j++)
                dx[k][(size_t)i * (size_t)c + (size_t)j] +=
                    dy[token(n_values, c, i, k) + (size_t)j];
}

void fx_token_mean_forward(int n, int tokens, int c, const float *x, float *y)
{
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < c; j++) {
            double sum = 0;

            for (int k = 0; k < tokens; k++)
                sum += (double)x[token(tokens, c, i, k) + (size_t)j];
            y[(size_t)i * (size_t)c + (size_t)j] = (float)(sum / tokens);
        }
    }
}

void fx_token_mean_backward(int n, int tokens, int c, const float *dy, float *dx)
{
    for (int i = 0; i < n; i++)
        for (int k = 0; k < tokens; k++)
            for (int j = 0; j < c; j++)
                dx[token(tokens, c, i, k) + (size_t)j] +=
                    dy[(size_t)i * (size_t)c + (size_t)j] / (float)tokens;
}

void fx_residual_forward(int n_values, size_t n_elements, const float *const *x, float *y)
{
    for (size_t i = 0; i < n_elements; i++) {
        double sum = 0;

        for (int k = 1; k < n_values; k++)
            sum += (double)x[k][i];
        y[i] = (float)((double)x[0][i] + sum / (n_values - 1));
    }
}

void fx_residual_backward(int n_values, size_t n_elements, const float *dy, float *const *dx)
{
    for (int k = 0; k < n_values; k++)
        for (size_t i = 0; dx[k] && i < n_elements; i++)
            dx[k][i] += k == 0 ? dy[i] : dy[i] / (float)(n_values - 1);
}
