/* Sums over images. */
#include "score/summary.h"

enum fx_status fx_summarise(const struct fx_verdict *verdicts, int64_t n,
                            struct fx_summary *summary, struct fx_err *err)
{
    struct fx_bin wide[FX_ECE_BINS] = { 0 }, heavy[FX_ECE_BINS];
    int64_t n_right = 0, n_top5 = 0;
    double loss = 0, brier = 0;

    for (int64_t i = 0; i < n; i++) {
        bool is_right = verdicts[i].rank == 0;
        n_right += is_right;
        n_top5 += verdicts[i].rank < 5;
        loss += verdicts[i].loss;
        brier += verdicts[i].brier;
        fx_bin_add(wide, verdicts[i].probability, is_right);
    }
    FX_TRY(fx_bins_equal_mass(verdicts, n, heavy, err));
    *summary = (struct fx_summary){ .accuracy = 100.0 * (double)n_right / (double)n,
                                    .top5 = 100.0 * (double)n_top5 / (double)n,
                                    .loss = loss / (double)n,
                                    .brier = brier / (double)n,
                                    .ece = fx_ece(wide),
                                    .ece_mass = fx_ece(heavy) };
    return FX_OK;
}

void fx_confusion_add(const struct fx_verdict *verdicts, const uint8_t *labels, int64_t n,
                      int classes, int64_t *counts)
{
    for (int64_t i = 0; i < n; i++)
        counts[labels[i] * classes + verdicts[i].predicted]++;
}

double fx_disagreement(const struct fx_verdict *a, const struct fx_verdict *b, int64_t n)
{
    int64_t n_different = 0;

    for (int64_t i = 0; i < n; i++)
        n_different += a[i].predicted != b[i].predicted;
    return 100.0 * (double)n_different / (double)n;
}
