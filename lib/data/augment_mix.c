/* CutMix and Mixup: one lam, one box and one permutation per batch. */
#include "data/augment.h"

#include "data/draws_internal.h"

#include <math.h>

/* The two streams of FX_RNG_MIX: image = batch number in the epoch. */
enum { DRAWS_LAM = 0, DRAWS_PARTNER = 1 };

/* ---- Beta(alpha, alpha) -----------------------------------------------------------------------
 */

static double draw_beta(struct fx_draws *draws, double alpha)
{
    if (alpha == 1.0)
        return fx_draws_open(draws);
    double log_x = fx_draws_log_gamma(draws, alpha), log_y = fx_draws_log_gamma(draws, alpha);

    return 1.0 / (1.0 + exp(log_y - log_x));
}

/* ---- the decisions ----------------------------------------------------------------------------
 */

/* The box reaches side/2 to each side of a uniform centre, side = int(32 sqrt(1 - lam)), clipped to
 * the image; lam becomes the share of the image outside the clipped box. */
static void draw_cutmix_box(struct fx_draws *draws, double lam, struct fx_mix *mix)
{
    const int side = FX_IMAGE_SIDE, reach = (int)(side * sqrt(1.0 - lam)) / 2;
    int x = (int)fx_draws_below(draws, (uint32_t)side);
    int y = (int)fx_draws_below(draws, (uint32_t)side);

    mix->x0 = x - reach > 0 ? x - reach : 0;
    mix->y0 = y - reach > 0 ? y - reach : 0;
    mix->x1 = x + reach < side ? x + reach : side;
    mix->y1 = y + reach < side ? y + reach : side;
    int area = (mix->x1 - mix->x0) * (mix->y1 - mix->y0);
    mix->lam = (float)(1.0 - (double)area / FX_IMAGE_PIXELS);
}

/* Fisher and Yates. */
static void draw_permutation(struct fx_draws *draws, int n, uint32_t *partner)
{
    for (int i = n - 1; i > 0; i--) {
        uint32_t j = fx_draws_below(draws, (uint32_t)i + 1), kept = partner[i];
        partner[i] = partner[j];
        partner[j] = kept;
    }
}

void fx_augment_mix(const struct fx_augment_config *config, uint32_t epoch, uint32_t batch, int n,
                    struct fx_mix *mix, uint32_t *partner)
{
    *mix = (struct fx_mix){ .kind = (uint8_t)config->mix, .lam = 1.0f };
    for (int i = 0; i < n; i++)
        partner[i] = (uint32_t)i;
    if (config->mix == FX_MIX_NONE)
        return;

    struct fx_draws draws = fx_draws_begin(config->seed, FX_RNG_MIX, DRAWS_LAM, epoch, batch);
    double lam = draw_beta(&draws, config->mix_alpha);
    if (config->mix == FX_MIX_CUTMIX)
        draw_cutmix_box(&draws, lam, mix);
    else
        mix->lam = (float)lam;
    draws = fx_draws_begin(config->seed, FX_RNG_MIX, DRAWS_PARTNER, epoch, batch);
    draw_permutation(&draws, n, partner);
}
