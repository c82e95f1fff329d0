/* Lines for people; every number in them is in the metrics too. */
#include "run/progress.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/number.h"

#include <math.h>
#include <stdio.h>

enum { SECONDS_BETWEEN_LINES = 30 };

void fx_progress_begin(struct fx_progress *progress)
{
    progress->start = fx_seconds();
    progress->next_line = progress->start + SECONDS_BETWEEN_LINES;
    progress->n_images = 0;
}

void fx_progress_begin_epoch(struct fx_progress *progress)
{
    progress->fused_correct = progress->expert_correct = progress->n_counted = 0;
}

/* "1:02:03" or "2:03". */
static const char *duration(double seconds, char *buf, size_t n)
{
    long s = (long)(seconds + 0.5);

    if (s >= 3600)
        snprintf(buf, n, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(buf, n, "%ld:%02ld", s / 60, s % 60);
    return buf;
}

static void count(struct fx_progress *progress, const struct fx_losses *losses)
{
    progress->n_images += losses->n_images;
    progress->n_counted += (double)losses->n_images;
    progress->fused_correct += (double)losses->fused_correct;
    for (int k = 0; k < progress->n_experts; k++)
        progress->expert_correct += (double)losses->expert_correct[k] / progress->n_experts;
}

void fx_progress_step(struct fx_progress *progress, const struct fx_state *state,
                      const struct fx_losses *losses)
{
    char line[256], eta[32], speed[FX_NUMBER_BYTES], fused[48] = "";
    double now = fx_seconds();
    bool on_terminal = fx_log_progress_wanted();

    count(progress, losses);
    if (!on_terminal && now < progress->next_line)
        return;
    double rate = (double)progress->n_images / (now - progress->start);
    int64_t done = (state->epoch - 1) * progress->train_images + state->sums.n_images;
    int64_t left = progress->end_images - done;
    /* What matters first: 80 columns hold all but the experts' accuracy. */
    if (progress->has_fused)
        snprintf(fused, sizeof fused, "fused %.1f %%, experts ",
                 100 * progress->fused_correct / progress->n_counted);
    snprintf(line, sizeof line,
             "epoch %lld/%lld, step %lld/%lld, %s left, %s img/s: loss %.2f, %s%.1f %%",
             (long long)state->epoch, (long long)progress->epochs, (long long)state->step,
             (long long)progress->steps, duration((double)left / rate, eta, sizeof eta),
             fx_number_rate(rate, speed, sizeof speed),
             state->sums.total / (double)state->sums.n_images, fused,
             100 * progress->expert_correct / progress->n_counted);
    if (on_terminal) {
        fx_log_progress("%s", line);
        return;
    }
    fx_log_info("%s", line);
    progress->next_line = now + SECONDS_BETWEEN_LINES;
}

/* "fused 80.10 %, experts 75.00 74.90, ensemble 78.30". */
static const char *describe(const struct fx_measure *m, char *buf, size_t n_buf)
{
    size_t n = 0;

    if (m->has_fused)
        n += (size_t)snprintf(buf, n_buf, "fused %.2f %%, ", m->fused.accuracy);
    n += (size_t)snprintf(buf + n, n_buf - n, m->n_experts > 1 ? "experts" : "expert");
    for (int k = 0; k < m->n_experts && n < n_buf; k++)
        n += (size_t)snprintf(buf + n, n_buf - n, " %.2f", m->expert[k].accuracy);
    if (m->n_experts > 1 && n < n_buf)
        snprintf(buf + n, n_buf - n, ", ensemble %.2f", m->ensemble.accuracy);
    return buf;
}

/* ", ended by --steps at step 3" of an epoch that is not whole. */
static const char *cut_short(int64_t last_step, char *buf, size_t n)
{
    buf[0] = '\0';
    if (last_step > 0)
        snprintf(buf, n, ", ended by --steps at step %lld", (long long)last_step);
    return buf;
}

void fx_progress_epoch(const struct fx_progress *progress, const struct fx_state *state,
                       int64_t last_step, const struct fx_measure *val, bool is_best,
                       double seconds)
{
    double train_loss = state->sums.total / (double)state->sums.n_images;
    char scores[192], took[32], cut_text[64];

    fx_log_info("epoch %lld/%lld%s: loss %.4f; validation: %s%s; %s", (long long)state->epoch,
                (long long)progress->epochs, cut_short(last_step, cut_text, sizeof cut_text),
                train_loss, describe(val, scores, sizeof scores), is_best ? " (best so far)" : "",
                duration(seconds, took, sizeof took));
}

void fx_progress_initial(const struct fx_measure *measure)
{
    char scores[192];

    fx_log_info("before training: %s", describe(measure, scores, sizeof scores));
}

void fx_progress_test(const struct fx_measure *measure, int64_t best_epoch, int64_t last_step)
{
    char scores[192], cut_text[64];

    fx_log_info("best checkpoint (epoch %lld%s), %lld test images: %s", (long long)best_epoch,
                cut_short(last_step, cut_text, sizeof cut_text), (long long)measure->n,
                describe(measure, scores, sizeof scores));
}

/* Finite weights can overflow all the same; the accuracy of such logits means nothing. */
static void warn_of_overflow(const struct fx_measure *measure)
{
    if (measure->has_fused && !isfinite(measure->fused.loss))
        fx_log_warn("the fused logits are not finite: their loss is null");
    for (int k = 0; k < measure->n_experts; k++)
        if (!isfinite(measure->expert[k].loss))
            fx_log_warn("the logits of expert %d are not finite: their loss is null", k);
}

void fx_progress_measure(const char *subset, const struct fx_measure *measure)
{
    char scores[192];

    fx_log_info("%lld %s images: %s", (long long)measure->n, subset,
                describe(measure, scores, sizeof scores));
    warn_of_overflow(measure);
}
