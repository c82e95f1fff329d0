/* The simulator's stand-ins for cuBLASLt and cuDNN against the definitions in gemm.h and
 * cudnn_plan.h, term by term in double. */
#include "sim_case.h"

#include <cmath>
#include <cuda_bf16.h>

extern "C" {
#include "backend/cuda/vendor/cudnn_plan.h"
#include "backend/cuda/vendor/gemm.h"
}

enum { WORKSPACE_LIMIT = 32 << 20 };

/* ---- numbers -------------------------------------------------------------------------------- */

static float random_float()
{
    return (float)((double)(cuda_sim::random_word() >> 40) * 0x1p-23 - 1.0);
}

/* Numbers in device memory, f32 or bf16, and what they are worth. */
struct tensor {
    bool bf16;
    std::vector<float> host;
    device_array<unsigned char> device;

    tensor(size_t n, bool is_bf16) : bf16(is_bf16), host(n), device(n * (is_bf16 ? 2 : 4))
    {
        for (float &value : host) {
            value = random_float();
            if (bf16)
                value = __bfloat162float(__float2bfloat16_rn(value));
        }
        upload();
    }
    void upload()
    {
        std::vector<__nv_bfloat16> halves(host.begin(), host.end());
        const void *from = bf16 ? (const void *)halves.data() : (const void *)host.data();

        send(device.data, from, device.n);
    }
    std::vector<float> read() const
    {
        std::vector<unsigned char> bytes = device.read();
        std::vector<float> result(host.size());

        for (size_t i = 0; i < result.size(); i++) {
            if (bf16)
                result[i] = reinterpret_cast<const __nv_bfloat16 *>(bytes.data())[i];
            else
                result[i] = reinterpret_cast<const float *>(bytes.data())[i];
        }
        return result;
    }
};

/* One of `terms` products of numbers up to 1; bf16 has 8 bits. */
static void assert_near(double got, double want, int terms, bool bf16)
{
    double tolerance = terms * 1e-6 + (bf16 ? fabs(want) / 256 : 0.0);

    if (!(fabs(got - want) <= tolerance))
        fail_msg("%.9g instead of %.9g", got, want);
}

static void check(enum fx_status status, const fx_err &err)
{
    if (status != FX_OK)
        fail_msg("%s", err.msg);
}

/* ---- products ------------------------------------------------------------------------------- */

struct gemm_run {
    fx_gemm *gemm;
    fx_gemm_plan *plan;
    device_array<unsigned char> workspace;

    explicit gemm_run(const fx_gemm_shape &shape) : workspace(WORKSPACE_LIMIT)
    {
        fx_err err = {};

        check(fx_gemm_open(&gemm, &err), err);
        check(fx_gemm_plan_create(&plan, gemm, &shape, &err), err);
    }
    ~gemm_run()
    {
        fx_gemm_plan_destroy(plan);
        fx_gemm_close(gemm);
    }
};

static size_t place(const fx_gemm_matrix &m, int lane, int row, int column)
{
    return (size_t)lane * m.lane + (size_t)row * (size_t)m.ld + (size_t)column;
}

static double product(const fx_gemm_shape &s, const tensor &a, const tensor &b, int lane, int i,
                      int j)
{
    double sum = 0.0;

    for (int p = 0; p < s.k; p++)
        sum += (double)a.host[s.trans_a ? place(s.a, lane, p, i) : place(s.a, lane, i, p)] *
               b.host[s.trans_b ? place(s.b, lane, j, p) : place(s.b, lane, p, j)];
    return s.alpha * sum;
}

/* Multiplies, and compares all of C: what lies between rows and lanes is as it was. */
static void try_product(const fx_gemm_shape &s)
{
    size_t a_size = (size_t)(s.trans_a ? s.k : s.m) * (size_t)s.a.ld;
    size_t b_size = (size_t)(s.trans_b ? s.n : s.k) * (size_t)s.b.ld;
    size_t last = (size_t)s.n_lanes - 1;
    tensor a(last * s.a.lane + a_size, s.bf16), b(last * s.b.lane + b_size, s.bf16);
    tensor c(last * s.c.lane + (size_t)s.m * (size_t)s.c.ld, s.c_bf16);
    std::vector<double> want(c.host.begin(), c.host.end());
    stream_case stream;
    gemm_run run(s);
    fx_err err = {};

    check(fx_gemm_run(run.plan, stream, a.device.data, b.device.data, c.device.data,
                      run.workspace.data, &err),
          err);
    for (int lane = 0; lane < s.n_lanes; lane++)
        for (int i = 0; i < s.m; i++)
            for (int j = 0; j < s.n; j++)
                want[place(s.c, lane, i, j)] =
                    (s.add ? want[place(s.c, lane, i, j)] : 0.0) + product(s, a, b, lane, i, j);
    std::vector<float> got = c.read();
    for (size_t i = 0; i < got.size(); i++)
        assert_near(got[i], want[i], s.k, s.c_bf16);
}

static void products_are_what_they_should_be(void **)
{
    for (unsigned i = 0; i < 64; i++) {
        fx_gemm_shape s = {};
        bool shares_a = i % 3 == 0;

        s.n_lanes = 1 + (int)(i % 4);
        s.trans_a = i & 1;
        s.trans_b = i & 2;
        s.add = i & 4;
        s.bf16 = i & 8;
        s.c_bf16 = (i & 24) == 24;
        s.m = 1 + (int)cuda_sim::random_below(40);
        s.n = 1 + (int)cuda_sim::random_below(40);
        s.k = 1 + (int)cuda_sim::random_below(200);
        s.alpha = i & 32 ? 1.0f : -0.5f;
        s.a.ld = (s.trans_a ? s.m : s.k) + (int)(i % 5);
        s.b.ld = (s.trans_b ? s.k : s.n) + (int)(i % 3);
        s.c.ld = s.n + (int)(i % 7);
        s.a.lane = shares_a ? 0 : (size_t)(s.trans_a ? s.k : s.m) * (size_t)s.a.ld + 8;
        s.b.lane = (size_t)(s.trans_b ? s.n : s.k) * (size_t)s.b.ld;
        s.c.lane = (size_t)s.m * (size_t)s.c.ld + 16;
        try_product(s);
    }
}

/* A plan refuses what gemm.h does not offer, a run addresses that break its rules. */
static void wrong_products_are_refused(void **)
{
    fx_gemm_shape s = { 1,         false,     false, 8,     8,    8,    { 8, 64 },
                        { 8, 64 }, { 8, 64 }, false, false, 1.0f, false };
    gemm_run run(s);
    tensor a(64, false), b(64, false), c(64, false);
    fx_gemm_plan *none;
    fx_err err = {};
    auto product_at = [&](void *pa, void *pc) {
        return fx_gemm_run(run.plan, nullptr, pa, b.device.data, pc, run.workspace.data, &err);
    };

    assert_int_equal(product_at(a.host.data(), c.device.data), FX_EFAIL);
    assert_non_null(strstr(err.msg, "not in device memory"));
    assert_int_equal(product_at(a.device.data + 4, c.device.data), FX_EFAIL);
    assert_int_equal(product_at(a.device.data, b.device.data), FX_EFAIL);
    assert_non_null(strstr(err.msg, "C overlaps A or B"));
    assert_int_equal(product_at(a.device.data, a.device.data + 32 * 4), FX_EFAIL);
    s.c_bf16 = true;
    assert_int_equal(fx_gemm_plan_create(&none, run.gemm, &s, &err), FX_EDEVICE);
    s.c_bf16 = false;
    s.c.ld = 7;
    assert_int_equal(fx_gemm_plan_create(&none, run.gemm, &s, &err), FX_EDEVICE);
}

/* Lanes of A and C alternate in memory, and so do their rows: nothing overlaps. */
static void lanes_and_rows_may_alternate(void **)
{
    fx_gemm_shape s = { 2,        false,       false, 4,     8,    8,    { 16, 128 },
                        { 8, 0 }, { 16, 128 }, false, false, 1.0f, false };
    gemm_run run(s);
    tensor both(256, false), b(64, false);
    fx_err err = {};

    check(fx_gemm_run(run.plan, nullptr, both.device.data, b.device.data, both.device.data + 8 * 4,
                      run.workspace.data, &err),
          err);
    std::vector<float> got = both.read();
    for (int lane = 0; lane < 2; lane++)
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 8; j++)
                assert_near(got[place(s.c, lane, i, j) + 8], product(s, both, b, lane, i, j), 8,
                            false);
    assert_int_equal(fx_gemm_run(run.plan, nullptr, both.device.data, b.device.data,
                                 both.device.data + 4 * 4, run.workspace.data, &err),
                     FX_EFAIL);
}

/* ---- convolutions --------------------------------------------------------------------------- */

/* A convolution's tensors; calls visit(at_x, at_w, at_y) for each of its products. */
struct conv_case {
    fx_cudnn_shape s;
    tensor x, w, y;

    explicit conv_case(const fx_cudnn_shape &shape)
        : s(shape), x((size_t)(s.n * s.h_in * s.w_in * s.c_in), s.bf16),
          w((size_t)(s.c_out * s.kernel * s.kernel * s.c_in / s.groups), s.bf16),
          y((size_t)(s.n * s.h_out * s.w_out * s.c_out), s.bf16)
    {
    }

    template <class Visit> void visit_pixel(int image, int py, int px, Visit visit) const
    {
        int in = s.c_in / s.groups, out = s.c_out / s.groups, k = s.kernel;

        for (int tap = 0; tap < k * k; tap++) {
            int iy = py * s.stride - s.pad + tap / k, ix = px * s.stride - s.pad + tap % k;

            if (iy < 0 || iy >= s.h_in || ix < 0 || ix >= s.w_in)
                continue;
            for (int o = 0; o < s.c_out; o++)
                for (int c = 0; c < in; c++)
                    visit(
                        (size_t)(((image * s.h_in + iy) * s.w_in + ix) * s.c_in + o / out * in + c),
                        (size_t)((o * k * k + tap) * in + c),
                        (size_t)(((image * s.h_out + py) * s.w_out + px) * s.c_out + o));
        }
    }

    template <class Visit> void visit_products(Visit visit) const
    {
        for (int image = 0; image < s.n; image++)
            for (int py = 0; py < s.h_out; py++)
                for (int px = 0; px < s.w_out; px++)
                    visit_pixel(image, py, px, visit);
    }

    const tensor &result_of(fx_conv_direction direction) const
    {
        return direction == FX_CONV_FORWARD ? y : direction == FX_CONV_DATA ? x : w;
    }

    std::vector<double> expected(fx_conv_direction direction) const
    {
        std::vector<double> sums(result_of(direction).host.size(), 0.0);

        if (s.add)
            sums.assign(x.host.begin(), x.host.end());
        visit_products([&](size_t at_x, size_t at_w, size_t at_y) {
            if (direction == FX_CONV_FORWARD)
                sums[at_y] += (double)x.host[at_x] * w.host[at_w];
            else if (direction == FX_CONV_DATA)
                sums[at_x] += (double)y.host[at_y] * w.host[at_w];
            else
                sums[at_w] += (double)y.host[at_y] * x.host[at_x];
        });
        return sums;
    }
};

struct cudnn_case {
    stream_case streams[2];
    fx_cudnn *cudnn;

    cudnn_case()
    {
        cudaStream_t handles[2] = { streams[0], streams[1] };
        fx_err err = {};

        check(fx_cudnn_open(&cudnn, handles, 2, WORKSPACE_LIMIT, &err), err);
    }
    ~cudnn_case()
    {
        fx_cudnn_close(cudnn);
    }
};

static void try_convolution(cudnn_case &library, const fx_cudnn_shape &s,
                            fx_conv_direction direction)
{
    conv_case conv(s);
    std::vector<double> want = conv.expected(direction);
    const fx_cudnn_plan *plan, *again;
    fx_cudnn_facts facts;
    fx_err err = {};

    check(fx_cudnn_plan_get(&plan, library.cudnn, &s, direction, &err), err);
    check(fx_cudnn_plan_get(&again, library.cudnn, &s, direction, &err), err);
    assert_ptr_equal(plan, again);
    fx_cudnn_plan_facts(plan, &facts);
    device_array<unsigned char> workspace(facts.workspace_bytes + 1);
    check(fx_cudnn_run(plan, 1, conv.x.device.data, conv.w.device.data, conv.y.device.data,
                       workspace.data, &err),
          err);
    std::vector<float> got = conv.result_of(direction).read();
    for (size_t i = 0; i < got.size(); i++)
        assert_near(got[i], want[i], s.n * s.h_in * s.w_in + 9 * s.c_in, s.bf16);
}

static void convolutions_are_what_they_should_be(void **)
{
    static const fx_cudnn_shape shapes[] = {
        { 2, 8, 16, 5, 7, 5, 7, 3, 1, 1, 1, false, false },
        { 3, 16, 8, 6, 6, 3, 3, 3, 2, 1, 1, false, false },
        { 2, 16, 24, 4, 4, 4, 4, 1, 1, 0, 1, false, false },
        { 1, 8, 8, 7, 5, 4, 3, 1, 2, 0, 1, false, false },
        { 2, 32, 16, 5, 5, 5, 5, 3, 1, 1, 2, false, false },
        { 2, 16, 32, 6, 5, 3, 3, 3, 2, 1, 2, true, false },
        { 2, 8, 16, 5, 7, 5, 7, 3, 1, 1, 1, true, false },
        { 2, 16, 32, 6, 5, 3, 3, 3, 2, 1, 2, true, true },
        { 2, 8, 16, 5, 7, 5, 7, 3, 1, 1, 1, false, true },
    };
    cudnn_case library;

    for (const fx_cudnn_shape &shape : shapes)
        for (int direction = 0; direction < FX_N_CONV_DIRECTIONS; direction++)
            if (!shape.add || direction == FX_CONV_DATA)
                try_convolution(library, shape, (fx_conv_direction)direction);
}

static void wrong_convolutions_are_refused(void **)
{
    fx_cudnn_shape s = { 1, 8, 8, 4, 4, 4, 4, 3, 1, 1, 1, false, false };
    cudnn_case library;
    conv_case conv(s);
    const fx_cudnn_plan *plan;
    fx_cudnn *described;
    fx_err err = {};
    auto run_at = [&](int lane, void *x) {
        return fx_cudnn_run(plan, lane, x, conv.w.device.data, conv.y.device.data,
                            conv.x.device.data, &err);
    };

    check(fx_cudnn_plan_get(&plan, library.cudnn, &s, FX_CONV_DATA, &err), err);
    assert_int_equal(run_at(2, conv.x.device.data), FX_EFAIL);
    assert_int_equal(run_at(0, conv.x.host.data()), FX_EFAIL);
    assert_int_equal(run_at(0, conv.x.device.data), FX_EFAIL); /* it is the workspace, too */
    s.c_in = 12;
    assert_int_equal(fx_cudnn_plan_get(&plan, library.cudnn, &s, FX_CONV_DATA, &err), FX_EDEVICE);
    s.c_in = 8;
    s.h_out = 5;
    assert_int_equal(fx_cudnn_plan_get(&plan, library.cudnn, &s, FX_CONV_DATA, &err), FX_EDEVICE);
    s.h_out = 4;
    check(fx_cudnn_open_description(&described, "{}", WORKSPACE_LIMIT, &err), err);
    check(fx_cudnn_plan_get(&plan, described, &s, FX_CONV_DATA, &err), err);
    assert_int_equal(run_at(0, conv.x.device.data), FX_EFAIL);
    fx_cudnn_close(described);
}

static void the_first_run_of_a_plan_is_not_captured(void **)
{
    fx_cudnn_shape s = { 1, 8, 8, 4, 4, 4, 4, 3, 1, 1, 1, false, false };
    cudnn_case library;
    conv_case conv(s);
    const fx_cudnn_plan *plan;
    cudaGraph_t graph;
    fx_err err = {};
    auto run = [&] {
        return fx_cudnn_run(plan, 0, conv.x.device.data, conv.w.device.data, conv.y.device.data,
                            conv.x.device.data, &err);
    };
    auto run_captured = [&] {
        assert_int_equal(
            cudaStreamBeginCapture(library.streams[0], cudaStreamCaptureModeThreadLocal),
            cudaSuccess);
        fx_status status = run();
        assert_int_equal(cudaStreamEndCapture(library.streams[0], &graph), cudaSuccess);
        assert_int_equal(cudaGraphDestroy(graph), cudaSuccess);
        return status;
    };

    check(fx_cudnn_plan_get(&plan, library.cudnn, &s, FX_CONV_FORWARD, &err), err);
    assert_int_equal(run_captured(), FX_EFAIL);
    check(run(), err);
    assert_int_equal(run_captured(), FX_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_what_they_should_be),
        cmocka_unit_test(wrong_products_are_refused),
        cmocka_unit_test(lanes_and_rows_may_alternate),
        cmocka_unit_test(convolutions_are_what_they_should_be),
        cmocka_unit_test(wrong_convolutions_are_refused),
        cmocka_unit_test(the_first_run_of_a_plan_is_not_captured),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
