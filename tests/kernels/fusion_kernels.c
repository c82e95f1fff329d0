/* The kernels of fusion.cu, attention.cu and the tokens of dense.cu against lib/ops, at
 * sizes that fill neither warps nor blocks. */
#include "kernel_case.h"

#include "ops/operators.h"

enum { MAX = FX_NODE_MAX_INPUTS };

/* The inputs of a node, their gradients, and the node's own value and gradient. */
struct fusion {
    int n_values;
    struct vec x[MAX], dx[MAX], y, dy;
    struct fx_k_inputs in;
    const float *host_x[MAX]; /* borrowed */
    float *host_dx[MAX];      /* borrowed; where the reference adds */
};

/* n_y: values of the node.  Input 1 has no gradient; the others' are added to if `add`. */
static void fusion_open(struct fusion *f, int n_values, size_t n, size_t n_y, bool add)
{
    *f = (struct fusion){ .n_values = n_values, .in.n = n_values };
    vec_open(&f->y, 1, n_y, 0);
    vec_open(&f->dy, 1, n_y, 100);
    for (int k = 0; k < n_values; k++) {
        vec_open(&f->x[k], 1, n, 1 + (uint32_t)k);
        vec_open(&f->dx[k], 1, n, add ? 20 + (uint32_t)k : 0);
        f->in.x[k] = f->x[k].device;
        f->host_x[k] = f->x[k].host;
        if (k == 1)
            continue;
        f->in.dx[k] = vec_grad(&f->dx[k], add);
        f->host_dx[k] = f->dx[k].expected;
    }
}

static void fusion_check(struct fusion *f, double tolerance, const char *what)
{
    vec_check(&f->y, tolerance, what);
    for (int k = 0; k < f->n_values; k++)
        if (f->host_dx[k])
            vec_check(&f->dx[k], tolerance, what);
}

static void fusion_close(struct fusion *f)
{
    for (int k = 0; k < f->n_values; k++) {
        vec_close(&f->dx[k]);
        vec_close(&f->x[k]);
    }
    vec_close(&f->dy);
    vec_close(&f->y);
}

static const struct config {
    int n_values, rows, c;
    bool add;
} configs[] = {
    { 1, 1, 1, false },   { 2, 3, 37, true },   { 4, 5, 64, false },  { 4, 9, 100, true },
    { 8, 2, 130, false }, { 8, 13, 257, true }, { 3, 41, 257, true },
};
#define FOR_ALL(g)                                                                                 \
    for (const struct config *g = configs; g < configs + sizeof configs / sizeof *configs; g++)

static size_t count(const struct config *g)
{
    return (size_t)g->rows * (size_t)g->c;
}

static void product(void **state)
{
    static const float shifts[] = { 0, 1 };

    (void)state;
    FOR_ALL(g)
    {
        for (int i = 0; i < 2; i++) {
            size_t n = count(g);
            struct fusion f;

            fusion_open(&f, g->n_values, n, n, g->add);
            fx_product_forward(g->n_values, n, f.host_x, shifts[i], f.y.expected);
            fx_product_backward(g->n_values, n, f.host_x, shifts[i], f.dy.host, f.host_dx);
            device_ok(fx_k_product(stream, &f.in, shifts[i], f.y.device, n));
            device_ok(fx_k_product_back(stream, &f.in, shifts[i], f.dy.device, n));
            fusion_check(&f, 1e-6, "product");
            fusion_close(&f);
        }
    }
}

static void weighted_sum(void **state)
{
    (void)state;
    FOR_ALL(g)
    {
        size_t n = count(g);
        struct fusion f;
        struct vec w, dw;
        void *scratch;

        fusion_open(&f, g->n_values, n, n, g->add);
        vec_open(&w, 1, (size_t)g->n_values, 50);
        vec_open(&dw, 1, (size_t)g->n_values, g->add ? 51 : 0);
        device_ok(cudaMalloc(&scratch, fx_k_weighted_sum_scratch(n)));
        fx_weighted_sum_forward(g->n_values, n, f.host_x, w.host, f.y.expected);
        fx_weighted_sum_backward(g->n_values, n, f.host_x, w.host, f.dy.host, f.host_dx,
                                 dw.expected);
        device_ok(fx_k_weighted_sum(stream, &f.in, w.device, f.y.device, n));
        device_ok(fx_k_weighted_sum_back(stream, &f.in, w.device, f.dy.device, n,
                                         vec_grad(&dw, g->add), scratch));
        fusion_check(&f, 1e-6, "weighted sum");
        vec_check(&dw, 1e-6, "weighted sum, gradient of the weights");
        device_ok(cudaFree(scratch));
        vec_close(&dw);
        vec_close(&w);
        fusion_close(&f);
    }
}

static void gated_sum(void **state)
{
    (void)state;
    FOR_ALL(g)
    {
        int gate = g->n_values; /* its number among the inputs */
        size_t n_logits = (size_t)g->rows * (size_t)gate;
        struct fusion f;
        struct vec logits, d_logits;

        fusion_open(&f, g->n_values, count(g), count(g), g->add);
        vec_open(&logits, 1, n_logits, 50);
        vec_open(&d_logits, 1, n_logits, g->add ? 51 : 0);
        f.in.n = gate + 1;
        f.in.x[gate] = logits.device;
        f.in.dx[gate] = vec_grad(&d_logits, g->add);
        fx_gated_sum_forward(gate, g->rows, g->c, f.host_x, logits.host, f.y.expected);
        fx_gated_sum_backward(gate, g->rows, g->c, f.host_x, logits.host, f.dy.host, f.host_dx,
                              d_logits.expected);
        device_ok(fx_k_gated_sum(stream, &f.in, g->rows, g->c, f.y.device));
        device_ok(fx_k_gated_sum_back(stream, &f.in, g->rows, g->c, f.dy.device));
        fusion_check(&f, 1e-6, "gated sum");
        vec_check(&d_logits, 1e-6, "gated sum, gradient of the gate");
        vec_close(&d_logits);
        vec_close(&logits);
        fusion_close(&f);
    }
}

static void stack(void **state)
{
    (void)state;
    FOR_ALL(g)
    {
        struct fusion f;

        fusion_open(&f, g->n_values, count(g), (size_t)g->n_values * count(g), g->add);
        fx_stack_forward(g->n_values, g->rows, g->c, f.host_x, f.y.expected);
        fx_stack_backward(g->n_values, g->rows, g->c, f.dy.host, f.host_dx);
        device_ok(fx_k_stack(stream, &f.in, g->rows, g->c, f.y.device));
        device_ok(fx_k_stack_back(stream, &f.in, g->rows, g->c, f.dy.device));
        fusion_check(&f, 0, "stack");
        fusion_close(&f);
    }
}

static void token_mean(void **state)
{
    (void)state;
    FOR_ALL(g)
    {
        size_t n = (size_t)g->n_values * count(g);
        struct vec x, y, dy, dx;

        vec_open(&x, 1, n, 1);
        vec_open(&y, 1, count(g), 0);
        vec_open(&dy, 1, count(g), 2);
        vec_open(&dx, 1, n, g->add ? 3 : 0);
        fx_token_mean_forward(g->rows, g->n_values, g->c, x.host, y.expected);
        fx_token_mean_backward(g->rows, g->n_values, g->c, dy.host, dx.expected);
        device_ok(fx_k_token_mean(stream, x.device, g->rows, g->n_values, g->c, y.device));
        device_ok(fx_k_token_mean_back(stream, dy.device, g->rows, g->n_values, g->c,
                                       vec_grad(&dx, g->add)));
        vec_check(&y, 1e-7, "mean of tokens");
        vec_check(&dx, 1e-7, "mean of tokens, gradient");
        vec_close(&dx);
        vec_close(&dy);
        vec_close(&y);
        vec_close(&x);
    }
}

/* Heads of 1, 8, 33 and 64 values, with up to the most tokens that the reference takes. */
static const struct attention_config {
    int n, tokens, c, heads;
    float p;
    bool add;
} attentions[] = {
    { 1, 1, 1, 1, 0, false },    { 3, 4, 8, 1, 0.5f, true }, { 2, 4, 64, 8, 0.1f, false },
    { 2, 3, 66, 2, 0.2f, true }, { 2, 8, 192, 3, 0, true },  { 5, 2, 512, 8, 0.1f, false },
};

static void one_attention(const struct attention_config *g)
{
    size_t n = (size_t)(g->n * g->tokens * g->c);
    struct fx_k_batch batch = { .seed = 42, .epoch = 7, .n = g->n };
    uint32_t word = fx_rng_word(FX_RNG_DROPOUT, FX_RNG_FUSION, 1);
    struct fx_dropout dropout = { batch.seed, word, batch.epoch, g->p };
    struct device_batch b;
    struct vec qkv, y, dy, d_qkv;

    batch_open(&b, &batch, NULL, NULL);
    vec_open(&qkv, 1, 3 * n, 1);
    vec_open(&y, 1, n, 0);
    vec_open(&dy, 1, n, 2);
    vec_open(&d_qkv, 1, 3 * n, g->add ? 3 : 0);
    for (size_t i = 0; i < 3 * n; i++)
        qkv.host[i] *= 2; /* weights far from equal */
    vec_upload(&qkv);
    struct fx_attention ref = { .n = g->n,
                                .tokens = g->tokens,
                                .c = g->c,
                                .heads = g->heads,
                                .dropout = g->p > 0 ? &dropout : NULL,
                                .images = b.numbers };
    struct fx_k_attention_shape k = {
        .n = g->n, .tokens = g->tokens, .c = g->c, .heads = g->heads
    };
    if (g->p > 0)
        k.drop = (struct fx_k_drop){ .view = b.view, .word = word, .p = g->p };
    fx_attention_forward(&ref, qkv.host, y.expected);
    fx_attention_backward(&ref, qkv.host, dy.host, d_qkv.expected);
    device_ok(fx_k_attention(stream, &k, qkv.device, y.device));
    device_ok(fx_k_attention_back(stream, &k, qkv.device, dy.device, vec_grad(&d_qkv, g->add)));
    vec_check(&y, 1e-6, "attention");
    vec_check(&d_qkv, 4e-6, "attention, gradient");
    vec_close(&d_qkv);
    vec_close(&dy);
    vec_close(&y);
    vec_close(&qkv);
    batch_close(&b);
}

static void attention(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof attentions / sizeof *attentions; i++)
        one_attention(&attentions[i]);
}

/* Gradients that nobody wants are not written. */
static void nothing_wanted(void **state)
{
    struct fx_k_attention_shape k = { .n = 2, .tokens = 2, .c = 8, .heads = 1 };
    struct fx_k_drop drop = { .c = 8, .area = 1 };
    struct fx_k_launch l = { .stream = stream, .n_lanes = 1 };
    struct fx_k_grad none = { 0 };
    struct vec x;

    (void)state;
    vec_open(&x, 1, 2 * 2 * 24, 1);
    device_ok(fx_k_token_mean_back(stream, x.device, 2, 2, 8, none));
    device_ok(fx_k_drop_vector_back(&l, vec_array(&x), none, 2, &drop));
    device_ok(fx_k_attention_back(stream, &k, x.device, x.device, none));
    vec_check(&x, 0, "what is only read");
    vec_close(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(product),        cmocka_unit_test(weighted_sum),
        cmocka_unit_test(gated_sum),      cmocka_unit_test(stack),
        cmocka_unit_test(token_mean),     cmocka_unit_test(attention),
        cmocka_unit_test(nothing_wanted),
    };

    return RUN_ON_DEVICE(tests);
}
