/* Cross-entropy with soft targets for every head, distillation between experts, the ensemble, and
 * the gradients of the logits.  One image at a time, in double. */
#include "ops/loss.h"

#include <math.h>

enum { MAX_CLASSES = 256, FUSED = FX_GRAPH_MAX_EXPERTS, N_HEADS = FX_GRAPH_MAX_EXPERTS + 1 };

/* One image: targets, and each head's log-probabilities, probabilities and the class of its largest
 * logit, the first of equals; the fused head stands at index FUSED. */
struct image {
    double target[MAX_CLASSES];
    double log_p[N_HEADS][MAX_CLASSES];
    double p[N_HEADS][MAX_CLASSES];
    int top[N_HEADS];
};

/* t = (1 - eps) * (lam * onehot(label) + (1 - lam) * onehot(partner's label)) + eps / n_classes */
static void make_target(const struct fx_targets *targets, int i, int n_classes, double eps,
                        double *t)
{
    double lam = targets->partner ? (double)targets->lam : 1.0;

    for (int c = 0; c < n_classes; c++)
        t[c] = eps / n_classes;
    t[targets->labels[i]] += (1.0 - eps) * lam;
    if (targets->partner)
        t[targets->labels[targets->partner[i]]] += (1.0 - eps) * (1.0 - lam);
}

/* log softmax and softmax of z; the largest logit is subtracted first, so nothing overflows. */
static void log_softmax(const double *z, int n, double *log_p, double *p)
{
    double largest = z[0], sum = 0;

    for (int c = 1; c < n; c++)
        largest = fmax(largest, z[c]);
    for (int c = 0; c < n; c++)
        sum += exp(z[c] - largest);
    for (int c = 0; c < n; c++) {
        log_p[c] = z[c] - largest - log(sum);
        p[c] = exp(log_p[c]);
    }
}

static double cross_entropy(const double *target, const double *log_p, int n)
{
    double sum = 0;

    for (int c = 0; c < n; c++)
        sum -= target[c] * log_p[c];
    return sum;
}

/* KL(p_j || p_k) */
static double divergence(const struct image *image, int j, int k, int n)
{
    double sum = 0;

    for (int c = 0; c < n; c++)
        sum += image->p[j][c] * (image->log_p[j][c] - image->log_p[k][c]);
    return sum;
}

static int top_class(const double *z, int n)
{
    int best = 0;

    for (int c = 1; c < n; c++)
        if (z[c] > z[best])
            best = c;
    return best;
}

/* Counts image i, whose largest logit of the graph's head is at `top`. */
static void add_correct(const struct fx_targets *targets, int i, int top, double *correct)
{
    double lam = targets->partner ? (double)targets->lam : 1.0;

    if (top == targets->labels[i])
        *correct += lam;
    if (targets->partner && top == targets->labels[targets->partner[i]])
        *correct += 1.0 - lam;
}

static void softmax_head(const float *logits, int n, struct image *image, int head)
{
    double z[MAX_CLASSES] = { 0 };

    for (int c = 0; c < n; c++)
        z[c] = (double)logits[c];
    log_softmax(z, n, image->log_p[head], image->p[head]);
    image->top[head] = top_class(z, n);
}

/* CE and accuracy of softmax(mean of the experts' logits). */
static void add_ensemble(const struct fx_heads *heads, int i, int label, const double *target,
                         struct fx_losses *losses)
{
    int n = heads->n_classes;
    double mean[MAX_CLASSES] = { 0 }, log_p[MAX_CLASSES], p[MAX_CLASSES];

    for (int k = 0; k < heads->n_experts; k++)
        for (int c = 0; c < n; c++)
            mean[c] += (double)heads->experts[k][(size_t)i * (size_t)n + (size_t)c];
    for (int c = 0; c < n; c++)
        mean[c] /= heads->n_experts;
    log_softmax(mean, n, log_p, p);
    losses->ensemble += cross_entropy(target, log_p, n);
    losses->ensemble_correct += top_class(mean, n) == label;
}

/* The mean over the other experts of KL(stop_gradient(p_j) || p_k). */
static double distillation(const struct image *image, int k, int n_experts, int n_classes)
{
    double sum = 0;

    for (int j = 0; j < n_experts; j++)
        if (j != k)
            sum += divergence(image, j, k, n_classes);
    return n_experts > 1 ? sum / (n_experts - 1) : 0;
}

/* One image's losses; returns its part of the total. */
static double add_losses(const struct fx_heads *heads, const struct image *image, int label,
                         double alpha, double distill, struct fx_losses *losses)
{
    int n = heads->n_classes;
    double total = 0;

    if (heads->fused) {
        double ce = cross_entropy(image->target, image->log_p[FUSED], n);

        losses->fused += ce;
        losses->fused_correct += image->top[FUSED] == label;
        total += ce;
    }
    for (int k = 0; k < heads->n_experts; k++) {
        double ce = cross_entropy(image->target, image->log_p[k], n);
        double kl = distill != 0 ? distillation(image, k, heads->n_experts, n) : 0;

        losses->expert[k] += ce;
        losses->expert_correct[k] += image->top[k] == label;
        losses->distill[k] += kl;
        total += alpha * (ce + distill * kl);
    }
    return total;
}

/* d(CE)/dz = p - target;  d(KL(p_j || p_k))/dz_k = p_k - p_j. */
static void write_gradients(const struct fx_heads *heads, const struct image *image, int i,
                            double alpha, double distill)
{
    int n = heads->n_classes;
    size_t row = (size_t)i * (size_t)n;

    for (int c = 0; c < n; c++) {
        double mean_p = 0;

        if (heads->fused)
            heads->d_fused[row + (size_t)c] =
                (float)((image->p[FUSED][c] - image->target[c]) / heads->n);
        for (int k = 0; k < heads->n_experts; k++)
            mean_p += image->p[k][c];
        for (int k = 0; k < heads->n_experts; k++) {
            double p = image->p[k][c], d = p - image->target[c];

            if (heads->n_experts > 1)
                d += distill * (p - (mean_p - p) / (heads->n_experts - 1));
            heads->d_experts[k][row + (size_t)c] = (float)(alpha * d / heads->n);
        }
    }
}

void fx_loss_heads(const struct fx_heads *heads, const struct fx_targets *targets,
                   const struct fx_loss_config *config, struct fx_losses *losses)
{
    double alpha = heads->fused ? (double)config->alpha : 1.0;
    double distill = (double)config->distill;
    double correct = 0;
    int n = heads->n_classes;

    for (int i = 0; i < heads->n; i++) {
        size_t row = (size_t)i * (size_t)n;
        int label = targets->labels[i];
        struct image image;

        make_target(targets, i, n, (double)config->label_smoothing, image.target);
        if (heads->fused)
            softmax_head(heads->fused + row, n, &image, FUSED);
        for (int k = 0; k < heads->n_experts; k++)
            softmax_head(heads->experts[k] + row, n, &image, k);
        losses->total += add_losses(heads, &image, label, alpha, distill, losses);
        add_ensemble(heads, i, label, image.target, losses);
        add_correct(targets, i, image.top[heads->fused ? FUSED : 0], &correct);
        if (heads->d_experts[0])
            write_gradients(heads, &image, i, alpha, distill);
    }
    losses->n_images += heads->n;
    losses->correct += correct;
}
