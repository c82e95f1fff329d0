/* Running statistics of several norms at once, against the formula of
 * lib/backend/host/store.c. */
#include "kernel_case.h"

enum { N_NODES = 3, MOST = 2100, N_RUNNING = 3 * 2 * MOST + 17 };

static const int channels[N_NODES] = { 5, 256, MOST };

struct nodes {
    struct fx_k_running *table; /* owned, on the device */
    struct vec batch, running, pending;
    struct fx_k_batch *header; /* owned, on the device */
    int *not_finite;           /* owned, on the device */
};

static size_t at_mean(int node)
{
    return 3 + (size_t)node * 2 * MOST;
}

/* Variances do not lie right behind the means: expected is `pending` where no node has a place. */
static size_t at_var(int node)
{
    return at_mean(node) + (size_t)channels[node] + 1;
}

static float momentum(int node)
{
    return node == 1 ? 0.25f : 0.1f;
}

static void nodes_open(struct nodes *n, bool is_first)
{
    struct fx_k_running table[N_NODES];
    struct fx_k_batch header = { .is_first = is_first };
    int zero = 0;

    vec_open(&n->batch, N_NODES, 2 * MOST, 1);
    vec_open(&n->running, 1, N_RUNNING, 2);
    vec_open(&n->pending, 1, N_RUNNING, 3);
    for (int i = 0; i < N_NODES; i++) {
        const float *mean = n->batch.device + (size_t)i * n->batch.lane;

        table[i] = (struct fx_k_running){ mean,      mean + MOST, at_mean(i),
                                          at_var(i), channels[i], momentum(i) };
    }
    n->table = to_device(table, sizeof table);
    n->header = to_device(&header, sizeof header);
    n->not_finite = to_device(&zero, sizeof zero);
}

static void nodes_close(struct nodes *n)
{
    device_ok(cudaFree(n->not_finite));
    device_ok(cudaFree(n->header));
    device_ok(cudaFree(n->table));
    vec_close(&n->pending);
    vec_close(&n->running);
    vec_close(&n->batch);
}

static void expect_running(struct nodes *n, bool is_first)
{
    const float *last = is_first ? n->running.host : n->pending.host;

    for (int i = 0; i < N_NODES; i++) {
        for (int c = 0; c < channels[i]; c++) {
            const float *batch = vec_host(&n->batch, i) + c;
            size_t mean = at_mean(i) + (size_t)c, var = at_var(i) + (size_t)c;

            n->pending.expected[mean] = (1.0f - momentum(i)) * last[mean] + momentum(i) * batch[0];
            n->pending.expected[var] = (1.0f - momentum(i)) * last[var] + momentum(i) * batch[MOST];
        }
    }
}

static int gather(const struct nodes *n)
{
    int not_finite;

    device_ok(fx_k_running_gather(stream, n->table, N_NODES, n->header, n->running.device,
                                  n->pending.device, n->not_finite));
    from_device(&not_finite, n->not_finite, sizeof not_finite);
    return not_finite;
}

static void average(void **state)
{
    (void)state;
    for (int is_first = 0; is_first < 2; is_first++) {
        struct nodes n;

        nodes_open(&n, is_first);
        expect_running(&n, is_first);
        assert_int_equal(gather(&n), 0);
        vec_check(&n.pending, 0, "pending");
        vec_check(&n.running, 0, "running");
        nodes_close(&n);
    }
}

/* Wherever it is; and once seen it is not forgotten by a forward pass that is sound. */
static void not_finite(void **state)
{
    (void)state;
    for (int i = 0; i < 2 * N_NODES; i++) {
        struct nodes n;

        nodes_open(&n, true);
        float *value = vec_host(&n.batch, i / 2) + channels[i / 2] - 1 + i % 2 * MOST, old = *value;
        *value = i % 2 ? INFINITY : NAN;
        vec_upload(&n.batch);
        assert_int_equal(gather(&n), 1);
        *value = old;
        vec_upload(&n.batch);
        assert_int_equal(gather(&n), 1);
        nodes_close(&n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(average),
        cmocka_unit_test(not_finite),
    };

    return RUN_ON_DEVICE(tests);
}
