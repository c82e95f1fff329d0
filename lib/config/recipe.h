/* Recipes: what a run uses unless the command line says otherwise (fusion-train(1), RECIPES). */
#ifndef FX_CONFIG_RECIPE_H
#define FX_CONFIG_RECIPE_H

#include "config/settings.h"

/* Which settings stood on the command line; the others are the recipe's. */
struct fx_given {
    bool of[FX_N_SETTINGS];
};

/* fx_recipe_fusion: completes the settings of a fusion run by the chosen recipe.
 *   settings  in, out  arch, fusion and recipe are set
 *   width     in       D of the experts: the mission's rates adapt to it, unless given */
void fx_recipe_fusion(struct fx_settings *settings, const struct fx_given *given, int width);

/* fx_recipe_expert: the same for the training of one expert, by the family of its architecture.
 * FX_EUSAGE on an unknown one. */
enum fx_status fx_recipe_expert(struct fx_settings *settings, const struct fx_given *given,
                                struct fx_err *err) FX_MUST_CHECK;

#endif
