/* Cross-entropy with soft targets for every head, distillation from the ensemble and between
 * experts, and the gradients of the logits.  One image at a time, in double. */
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
    double mean[MAX_CLASSES]; /* of the experts' logits */
    /* At the temperature: the ensemble's (log-)probabilities, and those of heads that learn from it
     */
    double teacher_log_p[MAX_CLASSES], teacher_p[MAX_CLASSES];
    double soft_p[N_HEADS][MAX_CLASSES];
    double soft_kl[N_HEADS];
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

static void find_mean(const struct fx_heads *heads, int i, double *mean)
{
    int n = heads->n_classes;

    for (int c = 0; c < n; c++) {
        mean[c] = 0;
        for (int k = 0; k < heads->n_experts; k++)
            mean[c] += (double)heads->experts[k][(size_t)i * (size_t)n + (size_t)c];
        mean[c] /= heads->n_experts;
    }
}

/* CE and accuracy of softmax(mean of the experts' logits). */
static void add_ensemble(const struct image *image, int n, int label, struct fx_losses *losses)
{
    double log_p[MAX_CLASSES], p[MAX_CLASSES];

    log_softmax(image->mean, n, log_p, p);
    losses->ensemble += cross_entropy(image->target, log_p, n);
    losses->ensemble_correct += top_class(image->mean, n) == label;
}

/* ---- distillation from the ensemble ---- */

static void soften_teacher(struct image *image, int n, double temperature)
{
    double z[MAX_CLASSES];

    for (int c = 0; c < n; c++)
        z[c] = image->mean[c] / temperature;
    log_softmax(z, n, image->teacher_log_p, image->teacher_p);
}

/* KL(teacher || head) at the temperature, and the head's probabilities there. */
static void soften_head(const float *logits, int n, double temperature, struct image *image,
                        int head)
{
    double z[MAX_CLASSES] = { 0 }, log_p[MAX_CLASSES], sum = 0;

    for (int c = 0; c < n; c++)
        z[c] = (double)logits[c] / temperature;
    log_softmax(z, n, log_p, image->soft_p[head]);
    for (int c = 0; c < n; c++)
        sum += image->teacher_p[c] * (image->teacher_log_p[c] - log_p[c]);
    image->soft_kl[head] = sum;
}

static double head_kd(const struct fx_loss_config *config, int head)
{
    return (double)(head == FUSED ? config->kd : config->kd_experts);
}

static void soften(const struct fx_heads *heads, const struct fx_loss_config *config, int i,
                   struct image *image)
{
    int n = heads->n_classes;
    size_t row = (size_t)i * (size_t)n;

    if (config->kd == 0 && config->kd_experts == 0)
        return;
    soften_teacher(image, n, (double)config->kd_temperature);
    if (heads->fused)
        soften_head(heads->fused + row, n, (double)config->kd_temperature, image, FUSED);
    for (int k = 0; k < heads->n_experts; k++)
        soften_head(heads->experts[k] + row, n, (double)config->kd_temperature, image, k);
}

/* L(z, w) of a head; without distillation CE itself, to the last bit. */
static double head_loss(const struct image *image, const struct fx_loss_config *config, int head,
                        double ce)
{
    double w = head_kd(config, head), t = (double)config->kd_temperature;

    return w == 0 ? ce : (1 - w) * ce + w * t * t * image->soft_kl[head];
}

/* dL/dz:  d(CE)/dz = p - target;  d(KL(q || softmax(z / T)))/dz = (softmax(z / T) - q) / T */
static double head_slope(const struct image *image, const struct fx_loss_config *config, int head,
                         int c)
{
    double w = head_kd(config, head), t = (double)config->kd_temperature;
    double slope = image->p[head][c] - image->target[c];

    return w == 0 ? slope
                  : (1 - w) * slope + w * t * (image->soft_p[head][c] - image->teacher_p[c]);
}

/* ---- all of it ---- */

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
                         const struct fx_loss_config *config, struct fx_losses *losses)
{
    int n = heads->n_classes;
    double alpha = heads->fused ? (double)config->alpha : 1.0, distill = (double)config->distill;
    double total = 0;

    if (heads->fused) {
        double ce = cross_entropy(image->target, image->log_p[FUSED], n);

        losses->fused += ce;
        losses->fused_correct += image->top[FUSED] == label;
        total += head_loss(image, config, FUSED, ce);
    }
    for (int k = 0; k < heads->n_experts; k++) {
        double ce = cross_entropy(image->target, image->log_p[k], n);
        double kl = distill != 0 ? distillation(image, k, heads->n_experts, n) : 0;

        losses->expert[k] += ce;
        losses->expert_correct[k] += image->top[k] == label;
        losses->distill[k] += kl;
        total += alpha * (head_loss(image, config, k, ce) + distill * kl);
    }
    return total;
}

/* With d(KL(p_j || p_k))/dz_k = p_k - p_j. */
static void write_gradients(const struct fx_heads *heads, const struct image *image, int i,
                            const struct fx_loss_config *config)
{
    int n = heads->n_classes;
    double alpha = heads->fused ? (double)config->alpha : 1.0, distill = (double)config->distill;
    size_t row = (size_t)i * (size_t)n;

    for (int c = 0; c < n; c++) {
        double mean_p = 0;

        if (heads->d_fused)
            heads->d_fused[row + (size_t)c] =
                (float)(head_slope(image, config, FUSED, c) / heads->n);
        for (int k = 0; k < heads->n_experts; k++)
            mean_p += image->p[k][c];
        for (int k = 0; k < heads->n_experts && heads->d_experts[k]; k++) {
            double p = image->p[k][c], d = head_slope(image, config, k, c);

            if (heads->n_experts > 1)
                d += distill * (p - (mean_p - p) / (heads->n_experts - 1));
            heads->d_experts[k][row + (size_t)c] = (float)(alpha * d / heads->n);
        }
    }
}

void fx_loss_heads(const struct fx_heads *heads, const struct fx_targets *targets,
                   const struct fx_loss_config *config, struct fx_losses *losses)
{
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
        find_mean(heads, i, image.mean);
        soften(heads, config, i, &image);
        losses->total += add_losses(heads, &image, label, config, losses);
        add_ensemble(&image, n, label, losses);
        add_correct(targets, i, image.top[heads->fused ? FUSED : 0], &correct);
        if (heads->d_fused || heads->d_experts[0])
            write_gradients(heads, &image, i, config);
    }
    losses->n_images += heads->n;
    losses->correct += correct;
}
