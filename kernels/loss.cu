/* Cross-entropy with soft targets for every head, distillation from the ensemble and between
 * experts, the gradients of the logits, and the sums over the batch.  The mathematics is that of
 * lib/ops/loss.c, in double.  A block for an image, a warp for a head; then one block adds
 * the images in their order. */
#include "kernels.h"
#include "launch.cuh"
#include "sums.cuh"

enum { MAX_CLASSES = 256 };
/* Warps of an image: the experts, and behind them these two. */
enum { FUSED, ENSEMBLE, N_BESIDE };
enum { MAX_WARPS = FX_GRAPH_MAX_EXPERTS + N_BESIDE, MAX_HEADS = FX_GRAPH_MAX_EXPERTS + 1 };

namespace
{

/* What one image adds to the losses; counts are 0 or 1. */
struct image_losses {
    double fused, expert[FX_GRAPH_MAX_EXPERTS], distill[FX_GRAPH_MAX_EXPERTS], total, ensemble,
        correct;
    double fused_correct, expert_correct[FX_GRAPH_MAX_EXPERTS], ensemble_correct;
};
enum { N_SUMS = sizeof(image_losses) / sizeof(double) };

/* An image's classes with each head's log-probabilities and probabilities; the fused head stands
 * behind the experts.  At the temperature: the ensemble's, as teacher. */
struct image {
    double log_p[MAX_HEADS][MAX_CLASSES], p[MAX_HEADS][MAX_CLASSES];
    double teacher_log_p[MAX_CLASSES], teacher_p[MAX_CLASSES];
};

/* The target of an image: of a smoothed one-hot, or of the mix of two. */
struct target {
    double floor, own, other; /* of any class; more for the own label; more for the partner's */
    double lam;
    int label, partner_label; /* partner_label: -1 without */

    __device__ double of(int c) const
    {
        return floor + (c == label ? own : 0) + (c == partner_label ? other : 0);
    }

    /* What an image with this largest logit counts as right. */
    __device__ double correct(int top) const
    {
        return (top == label ? lam : 0) + (top == partner_label ? 1.0 - lam : 0);
    }
};

} // namespace

static __device__ target make_target(const fx_k_batch_view &view, unsigned i, int n_classes)
{
    const fx_k_batch *batch = view.batch;
    double eps = (double)batch->loss.label_smoothing;
    double lam = batch->has_partner ? (double)batch->mix.lam : 1.0;

    return target{ eps / n_classes,
                   (1.0 - eps) * lam,
                   (1.0 - eps) * (1.0 - lam),
                   lam,
                   view.labels[i],
                   batch->has_partner ? view.labels[view.partner[i]] : -1 };
}

/* ---- one head of one image: a warp, class c at lane c % 32 ---------------------------------- */

static __device__ __forceinline__ int my_lane()
{
    return (int)threadIdx.x;
}

/* The largest of a warp's values and, of equal ones, the smallest class. */
struct top {
    double value;
    int number;
};

static __device__ top warp_top(top mine)
{
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) {
        double value = __shfl_xor_sync(0xffffffffu, mine.value, distance);
        int number = __shfl_xor_sync(0xffffffffu, mine.number, distance);

        if (value > mine.value || (value == mine.value && number < mine.number))
            mine = top{ value, number };
    }
    return mine;
}

namespace
{

/* The logits that a warp looks at: of a head, or the mean of the experts'. */
struct logits {
    const fx_heads *heads;
    unsigned image;
    int head; /* expert, n_experts + FUSED or n_experts + ENSEMBLE */

    __device__ double of(int c) const
    {
        size_t at = (size_t)image * (size_t)heads->n_classes + (size_t)c;
        double sum = 0;

        if (head < heads->n_experts)
            return (double)heads->experts[head][at];
        if (head == heads->n_experts + FUSED)
            return (double)heads->fused[at];
        for (int k = 0; k < heads->n_experts; k++)
            sum += (double)heads->experts[k][at];
        return sum / heads->n_experts;
    }
};

} // namespace

/* Cross-entropy and largest class of a warp's head; keeps its (log-)probabilities for others. */
static __device__ double head_loss(const logits &z, const target &t, image *shared, int *largest)
{
    int n = z.heads->n_classes;
    top best = { -INFINITY, my_lane() };
    double sum = 0, ce = 0;

    for (int c = my_lane(); c < n; c += 32)
        if (z.of(c) > best.value)
            best = top{ z.of(c), c };
    best = warp_top(best);
    for (int c = my_lane(); c < n; c += 32)
        sum += exp(z.of(c) - best.value);
    sum = log(fx_warp_sum(sum));
    for (int c = my_lane(); c < n; c += 32) {
        double log_p = z.of(c) - best.value - sum;

        ce -= t.of(c) * log_p;
        if (z.head < z.heads->n_experts + ENSEMBLE) {
            shared->log_p[z.head][c] = log_p;
            shared->p[z.head][c] = exp(log_p);
        }
    }
    *largest = best.number;
    return fx_warp_sum(ce);
}

/* log sum_c exp(z_c / T - largest / T); a warp's. */
static __device__ double soft_norm(const logits &z, double largest, double temperature)
{
    double sum = 0;

    for (int c = my_lane(); c < z.heads->n_classes; c += 32)
        sum += exp((z.of(c) - largest) / temperature);
    return log(fx_warp_sum(sum));
}

static __device__ void soften_teacher(const logits &z, int top, double temperature, image *shared)
{
    double largest = z.of(top), norm = soft_norm(z, largest, temperature);

    for (int c = my_lane(); c < z.heads->n_classes; c += 32) {
        double log_p = (z.of(c) - largest) / temperature - norm;

        shared->teacher_log_p[c] = log_p;
        shared->teacher_p[c] = exp(log_p);
    }
}

namespace
{

/* What distillation from the ensemble does to a head: its part w of the loss (0: none), T, and at T
 * log softmax(z)_c = (z_c - largest) / T - norm. */
struct soft_head {
    double w, temperature, largest, norm, kl;

    __device__ double log_p(double z) const
    {
        return (z - largest) / temperature - norm;
    }

    /* L(z, w) of ops/loss.h, and its slope; without distillation CE's, to the last bit. */
    __device__ double loss(double ce) const
    {
        return w == 0 ? ce : (1 - w) * ce + w * temperature * temperature * kl;
    }

    __device__ double slope(double ce_slope, double z, double teacher_p) const
    {
        return w == 0 ? ce_slope
                      : (1 - w) * ce_slope + w * temperature * (exp(log_p(z)) - teacher_p);
    }
};

} // namespace

static __device__ soft_head soften_head(const logits &z, int top, double w, double temperature,
                                        const image &shared)
{
    soft_head soft = { w, temperature, 0, 0, 0 };
    double kl = 0;

    if (w == 0)
        return soft;
    soft.largest = z.of(top);
    soft.norm = soft_norm(z, soft.largest, temperature);
    for (int c = my_lane(); c < z.heads->n_classes; c += 32)
        kl += shared.teacher_p[c] * (shared.teacher_log_p[c] - soft.log_p(z.of(c)));
    soft.kl = fx_warp_sum(kl);
    return soft;
}

/* The mean over the other experts of KL(p_j || p_k). */
static __device__ double distillation(const fx_heads &heads, const image &shared, int k)
{
    double sum = 0;

    for (int j = 0; j < heads.n_experts; j++)
        for (int c = my_lane(); j != k && c < heads.n_classes; c += 32)
            sum += shared.p[j][c] * (shared.log_p[j][c] - shared.log_p[k][c]);
    sum = fx_warp_sum(sum);
    return heads.n_experts > 1 ? sum / (heads.n_experts - 1) : 0;
}

/* d(CE)/dz = p - target;  d(KL(p_j || p_k))/dz_k = p_k - p_j. */
static __device__ void write_gradients(const logits &z, const image &shared, const target &t,
                                       const soft_head &soft, double alpha, double distill)
{
    const fx_heads &heads = *z.heads;
    bool is_expert = z.head < heads.n_experts;
    float *out = is_expert ? heads.d_experts[z.head] : heads.d_fused;

    for (int c = my_lane(); out && c < heads.n_classes; c += 32) {
        double p = shared.p[z.head][c], others = 0;
        double d = soft.slope(p - t.of(c), z.of(c), soft.w == 0 ? 0 : shared.teacher_p[c]);

        for (int j = 0; is_expert && j < heads.n_experts; j++)
            others += j != z.head ? shared.p[j][c] : 0;
        if (is_expert && heads.n_experts > 1)
            d += distill * (p - others / (heads.n_experts - 1));
        out[(size_t)blockIdx.x * (size_t)heads.n_classes + (size_t)c] =
            (float)((is_expert ? alpha : 1.0) * d / heads.n);
    }
}

/* ---- one image: a block of (32, n_experts + N_BESIDE) threads ------------------------------- */

/* What the warps found out. */
struct findings {
    double ce[MAX_WARPS], kl[MAX_WARPS];
    double loss[MAX_WARPS]; /* L(z, w) */
    int top[MAX_WARPS];
};

static __device__ void write_losses(const fx_heads &heads, const target &t, const findings &f,
                                    double alpha, double distill, image_losses *out)
{
    int fused = heads.n_experts + FUSED, ensemble = heads.n_experts + ENSEMBLE;
    double total = heads.fused ? f.loss[fused] : 0;

    out->fused = heads.fused ? f.ce[fused] : 0;
    out->fused_correct = heads.fused && f.top[fused] == t.label;
    for (int k = 0; k < FX_GRAPH_MAX_EXPERTS; k++) {
        bool is_there = k < heads.n_experts;

        out->expert[k] = is_there ? f.ce[k] : 0;
        out->distill[k] = is_there ? f.kl[k] : 0;
        out->expert_correct[k] = is_there && f.top[k] == t.label;
        total += is_there ? alpha * (f.loss[k] + distill * f.kl[k]) : 0;
    }
    out->total = total;
    out->ensemble = f.ce[ensemble];
    out->ensemble_correct = f.top[ensemble] == t.label;
    out->correct = t.correct(f.top[heads.fused ? fused : 0]);
}

static __global__ void __launch_bounds__(32 * MAX_WARPS)
    image_loss(fx_heads heads, fx_k_batch_view view, image_losses *out)
{
    __shared__ image shared;
    __shared__ findings found;
    int head = (int)threadIdx.y, largest = -1;
    bool is_expert = head < heads.n_experts;
    bool is_ensemble = head == heads.n_experts + ENSEMBLE;
    bool is_there = head != heads.n_experts + FUSED || heads.fused;
    const fx_loss_config &config = view.batch->loss;
    double alpha = heads.fused ? (double)config.alpha : 1.0;
    double distill = (double)config.distill, ce = 0, kl = 0;
    double w = is_ensemble ? 0 : (double)(is_expert ? config.kd_experts : config.kd);
    target t = make_target(view, blockIdx.x, heads.n_classes);
    logits z = { &heads, blockIdx.x, head };
    soft_head soft = {};

    if (is_there)
        ce = head_loss(z, t, &shared, &largest);
    if (is_ensemble && (config.kd != 0 || config.kd_experts != 0))
        soften_teacher(z, largest, (double)config.kd_temperature, &shared);
    __syncthreads();
    if (is_expert && distill != 0)
        kl = distillation(heads, shared, head);
    if (is_there)
        soft = soften_head(z, largest, w, (double)config.kd_temperature, shared);
    if (is_there && !is_ensemble)
        write_gradients(z, shared, t, soft, alpha, distill);
    if (my_lane() == 0) {
        found.ce[head] = ce;
        found.kl[head] = kl;
        found.loss[head] = soft.loss(ce);
        found.top[head] = largest;
    }
    __syncthreads();
    if (head == 0 && my_lane() == 0)
        write_losses(heads, t, found, alpha, distill, &out[blockIdx.x]);
}

/* ---- the batch ------------------------------------------------------------------------------ */

enum { SUM_THREADS = 256, TILE = 64 /* images */ };

static __device__ void add_to_losses(const image_losses &sums, int n_images, fx_losses *losses)
{
    losses->n_images += n_images;
    losses->fused += sums.fused;
    losses->total += sums.total;
    losses->ensemble += sums.ensemble;
    losses->correct += sums.correct;
    losses->fused_correct += (int64_t)sums.fused_correct;
    losses->ensemble_correct += (int64_t)sums.ensemble_correct;
    for (int k = 0; k < FX_GRAPH_MAX_EXPERTS; k++) {
        losses->expert[k] += sums.expert[k];
        losses->distill[k] += sums.distill[k];
        losses->expert_correct[k] += (int64_t)sums.expert_correct[k];
    }
}

/* Adds the images one after the other, a thread for each sum; all threads fetch. */
static __global__ void __launch_bounds__(SUM_THREADS)
    add_images(const double *images, int n_images, fx_losses *losses)
{
    __shared__ double tile[TILE * N_SUMS];
    __shared__ image_losses sums;
    double sum = 0;

    for (int first = 0; first < n_images; first += TILE) {
        int n = n_images - first < TILE ? n_images - first : TILE;

        __syncthreads();
        for (int i = (int)threadIdx.x; i < n * N_SUMS; i += SUM_THREADS)
            tile[i] = images[(size_t)first * N_SUMS + (size_t)i];
        __syncthreads();
        for (int i = 0; threadIdx.x < N_SUMS && i < n; i++)
            sum += tile[i * N_SUMS + (int)threadIdx.x];
    }
    if (threadIdx.x < N_SUMS)
        reinterpret_cast<double *>(&sums)[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x == 0)
        add_to_losses(sums, n_images, losses);
}

size_t fx_k_loss_scratch(int n)
{
    return (size_t)n * sizeof(image_losses);
}

cudaError_t fx_k_loss(cudaStream_t stream, const struct fx_heads *heads,
                      const struct fx_k_batch_view *batch, struct fx_losses *losses, void *scratch)
{
    dim3 warps(32, (unsigned)heads->n_experts + N_BESIDE);
    cudaError_t error;

    if (heads->n_classes > MAX_CLASSES || heads->n_experts > FX_GRAPH_MAX_EXPERTS)
        return cudaErrorInvalidValue;
    error = FX_LAUNCH(image_loss, (unsigned)heads->n, warps, 0, stream, *heads, *batch,
                      (image_losses *)scratch);
    if (error != cudaSuccess)
        return error;
    return FX_LAUNCH(add_images, 1, SUM_THREADS, 0, stream, (const double *)scratch, heads->n,
                     losses);
}
