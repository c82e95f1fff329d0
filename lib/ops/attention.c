/* For one image and head, with rows q_t, k_t, v_t of width d = c / heads:
 *   s = q k^T / sqrt(d),  p = softmax(s) over keys,  a = dropout(p),  y = a v.
 * Backward:  dv = a^T dy,  da = dy v^T,  dp = da * mask,  ds = p (dp - sum_key p dp),
 *   dq = ds k / sqrt(d),  dk = ds^T q / sqrt(d). */
#include "ops/operators.h"

#include <math.h>

enum { MAX_TOKENS = FX_NODE_MAX_INPUTS };

/* One image and head: where it lies, and its weights. */
struct head {
    const struct fx_attention *k;
    int image, number;
    double p[MAX_TOKENS][MAX_TOKENS];    /* (query, key) */
    double mask[MAX_TOKENS][MAX_TOKENS]; /* 1 without dropout */
};

enum { QUERY, KEY, VALUE };

/* Where the head's columns of q, k or v of token t begins. */
static size_t in_qkv(const struct head *h, int t, int which)
{
    const struct fx_attention *k = h->k;
    size_t row = (size_t)h->image * (size_t)k->tokens + (size_t)t;

    return row * 3 * (size_t)k->c + (size_t)(which * k->c + h->number * (k->c / k->heads));
}

static size_t in_y(const struct head *h, int t)
{
    const struct fx_attention *k = h->k;
    size_t row = (size_t)h->image * (size_t)k->tokens + (size_t)t;

    return row * (size_t)k->c + (size_t)(h->number * (k->c / k->heads));
}

static double dot(const float *a, const float *b, int n)
{
    double sum = 0;

    for (int i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* y += factor * x */
static void add_scaled(double factor, const float *x, int n, float *y)
{
    for (int i = 0; i < n; i++)
        y[i] += (float)(factor * (double)x[i]);
}

static void softmax_rows(struct head *h)
{
    int n = h->k->tokens;

    for (int q = 0; q < n; q++) {
        double largest = h->p[q][0], sum = 0;

        for (int t = 1; t < n; t++)
            largest = fmax(largest, h->p[q][t]);
        for (int t = 0; t < n; t++)
            sum += h->p[q][t] = exp(h->p[q][t] - largest);
        for (int t = 0; t < n; t++)
            h->p[q][t] /= sum;
    }
}

/* The weights of one image and head, and their dropout mask. */
static void weigh(struct head *h, const float *qkv)
{
    const struct fx_attention *k = h->k;
    int d = k->c / k->heads;

    for (int q = 0; q < k->tokens; q++) {
        for (int t = 0; t < k->tokens; t++) {
            int element = (h->number * k->tokens + q) * k->tokens + t;

            h->p[q][t] = dot(qkv + in_qkv(h, q, QUERY), qkv + in_qkv(h, t, KEY), d) / sqrt(d);
            h->mask[q][t] = 1;
            if (k->dropout)
                h->mask[q][t] =
                    (double)fx_dropout_factor(k->dropout, k->images[h->image], (uint32_t)element);
        }
    }
    softmax_rows(h);
}

static void forward_head(struct head *h, const float *qkv, float *y)
{
    const struct fx_attention *k = h->k;
    int d = k->c / k->heads;

    weigh(h, qkv);
    for (int q = 0; q < k->tokens; q++) {
        for (int i = 0; i < d; i++) {
            double sum = 0;

            for (int t = 0; t < k->tokens; t++)
                sum += h->p[q][t] * h->mask[q][t] * (double)qkv[in_qkv(h, t, VALUE) + (size_t)i];
            y[in_y(h, q) + (size_t)i] = (float)sum;
        }
    }
}

static void backward_head(struct head *h, const float *qkv, const float *dy, float *d_qkv)
{
    const struct fx_attention *k = h->k;
    int d = k->c / k->heads;

    weigh(h, qkv);
    for (int q = 0; q < k->tokens; q++) {
        double dp[MAX_TOKENS], mean = 0;

        for (int t = 0; t < k->tokens; t++) {
            add_scaled(h->p[q][t] * h->mask[q][t], dy + in_y(h, q), d, d_qkv + in_qkv(h, t, VALUE));
            dp[t] = dot(dy + in_y(h, q), qkv + in_qkv(h, t, VALUE), d) * h->mask[q][t];
            mean += h->p[q][t] * dp[t];
        }
        for (int t = 0; t < k->tokens; t++) {
            double ds = h->p[q][t] * (dp[t] - mean) / sqrt(d);

            add_scaled(ds, qkv + in_qkv(h, t, KEY), d, d_qkv + in_qkv(h, q, QUERY));
            add_scaled(ds, qkv + in_qkv(h, q, QUERY), d, d_qkv + in_qkv(h, t, KEY));
        }
    }
}

void fx_attention_forward(const struct fx_attention *k, const float *qkv, float *y)
{
    for (int n = 0; n < k->n; n++)
        for (int i = 0; i < k->heads; i++)
            forward_head(&(struct head){ .k = k, .image = n, .number = i }, qkv, y);
}

void fx_attention_backward(const struct fx_attention *k, const float *qkv, const float *dy,
                           float *d_qkv)
{
    for (int n = 0; n < k->n; n++)
        for (int i = 0; i < k->heads; i++)
            backward_head(&(struct head){ .k = k, .image = n, .number = i }, qkv, dy, d_qkv);
}
