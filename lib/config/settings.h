/* The settings of a run: every value that determines its result, after recipe and defaults.
 *
 * A setting is a field here and a row in settings.def, from which everything else follows.  Options
 * fill the record (train_options.h), recipe.h completes what was not given, the loop reads it.  It
 * is written into the checkpoint, so that a resumed run can name the setting that was changed. */
#ifndef FX_CONFIG_SETTINGS_H
#define FX_CONFIG_SETTINGS_H

#include "backend/backend.h"
#include "base/words.h"
#include "config/schedule.h"
#include "net/model.h"

#include <stdio.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Which images choose the best checkpoint. */
#define FX_VALS "holdout|test"
enum fx_val { FX_VAL_HOLDOUT, FX_VAL_TEST };

/* Where the values come from that are not given (recipe.h). */
#define FX_RECIPES "mission|reported|ensemble"
enum fx_recipe {
    FX_RECIPE_NONE = -1,
    FX_RECIPE_MISSION,
    FX_RECIPE_REPORTED,
    FX_RECIPE_ENSEMBLE,
};

/* Which images train a fusion: the holdout, or all but those that choose. */
#define FX_TRAINS "holdout|all"
enum fx_train_images { FX_TRAIN_HOLDOUT, FX_TRAIN_ALL };

/* Which images train expert K: its own share (data/shares.h), the whole pool of the experts, or all
 * but those that choose.  Experts of the latter two differ by their random numbers. */
#define FX_SHARES "own|pool|all"
enum fx_share { FX_SHARE_OWN, FX_SHARE_POOL, FX_SHARE_ALL };

/* Which epoch best.safetensors is of: the most accurate on the images that choose, or the last. */
#define FX_CHOICES "accuracy|last"
enum fx_choose { FX_CHOOSE_ACCURACY, FX_CHOOSE_LAST };

/* Whose images train: the share of an expert, by its number, or all. */
#define FX_EXPERTS "0|1|2|3|4|5|6|7|all"
enum { FX_EXPERT_ALL = 8 };

/* Which of fusion-train and expert-train have an option. */
enum fx_owner { FX_OF_NONE = 0, FX_OF_FUSION = 1, FX_OF_EXPERT = 2, FX_OF_BOTH = 3 };

/* The numbers of the settings: FX_SET_arch, ... */
enum fx_setting {
#define FX_SETTING(field, name, owner, kind, help) FX_SET_##field,
#define FX_QUIET FX_SETTING
#define FX_FREE FX_SETTING
#include "config/settings.def"
#undef FX_SETTING
#undef FX_QUIET
#undef FX_FREE
    FX_N_SETTINGS
};

/* A choice that a tool does not have, or that is required and was not made. */
enum { FX_NONE = -1 };

/* Plain data; strings borrowed from argv, the experts' metadata or constants. */
struct fx_settings {
    const char *tool;      /* "fusion-train", "expert-train" */
    const char *arch;      /* of the experts; one for each, separated by ';', where they differ */
    int fusion;            /* row of fx_fusions; FX_NONE: one expert alone */
    int expert;            /* of expert-train: 0 .. 7 or FX_EXPERT_ALL; else FX_NONE */
    enum fx_recipe recipe; /* of fusion-train; else FX_RECIPE_NONE */
    const char *data_digest;
    enum fx_precision precision;
    enum fx_val val;
    enum fx_augment_policy augment;
    enum fx_mix_kind mix;
    enum fx_schedule_kind schedule;
    enum fx_fused_form fused;
    enum fx_norm_start norms;
    enum fx_train_images train;
    enum fx_share share;
    enum fx_choose choose;
    int64_t epochs, batch, seed;
    int64_t accumulate; /* micro-batches of an optimiser step */
    int64_t patience;   /* epochs without gain before the run ends early; 0: never */
    int64_t val_limit;  /* images of every measurement; 0: all */
    double alpha, label_smoothing, distill;
    double kd, kd_experts; /* part of the heads' losses that is distillation from the ensemble */
    double kd_temperature;
    double cutmix_alpha, mixup_alpha;
    double dropout, expert_dropout;   /* < 0: the architecture's default */
    double clip;                      /* over all parameters; 0: none */
    double clip_experts, clip_fusion; /* > 0: clips of the groups, in place of the common one */
    double lr_experts;                /* before experts_lr_scale */
    double lr_fusion, lr_head, experts_lr_scale, weight_decay;
    bool shuffle, log_steps;
    bool freeze; /* the experts stay as they are */
    double ema;  /* decay of the moving averages of weights and statistics; 0: none */

    /* Without an option: the recipe alone decides. */
    double patience_above; /* percent: early stopping only above this accuracy */
    double lr_floor;       /* the schedule ends at this part of a group's rate */
    bool sgd;              /* else AdamW */

    /* Not part of the state: a resumed run may change them. */
    int64_t steps; /* optimiser steps of the run; < 1: all epochs */
    bool initial;  /* measure once before the first step */
};

/* fx_settings_init: the defaults of settings.def; owner is the tool's: a choice that only the other
 * has is FX_NONE. */
void fx_settings_init(struct fx_settings *settings, const char *tool, enum fx_owner owner);

/* fx_setting_put: sets a setting that is no text: a whole number, a real one, an enumeration's
 * value, or 0 and 1. */
void fx_setting_put(struct fx_settings *settings, enum fx_setting setting, double value);

/* fx_setting_word: the word of a choice into buf: "mission"; NULL where it is FX_NONE. */
const char *fx_setting_word(const struct fx_settings *settings, enum fx_setting setting,
                            char buf[FX_WORD_BYTES]);

/* The rates that the schedule starts from: final, with experts_lr_scale. */
void fx_settings_rates(const struct fx_settings *settings, double lr[FX_N_GROUPS]);

/* The alpha of the Beta distribution that cutmix or mixup draws lam from. */
static inline double fx_settings_mix_alpha(const struct fx_settings *settings)
{
    return settings->mix == FX_MIX_MIXUP ? settings->mixup_alpha : settings->cutmix_alpha;
}

/* "cosine over 100 epochs of batches of 128, augment strong, mix cutmix", for the log. */
enum { FX_SETTINGS_SUMMARY_BYTES = 192 };
const char *fx_settings_summary(const struct fx_settings *settings,
                                char buf[FX_SETTINGS_SUMMARY_BYTES]);

/* How the images that select the best checkpoint are used, for the log. */
const char *fx_settings_choice(const struct fx_settings *settings);

/* The key of the random numbers: the seed; with an expert's number K it is seed + (K + 1) * 2^32,
 * so that experts of one seed differ in everything. */
uint64_t fx_settings_key(const struct fx_settings *settings);

/* fx_setting_applies: whether the tool has the setting, and, of one that is written only where it
 * is not its default, whether it differs. */
bool fx_setting_applies(const struct fx_settings *settings, enum fx_setting setting);
/* fx_setting_value: as a new JSON value, owned by the caller: null where it is not set.  NULL when
 * memory is short. */
json_t *fx_setting_value(const struct fx_settings *settings, enum fx_setting setting);
/* fx_setting_name: of the option and of the member in a checkpoint: "label-smoothing". */
const char *fx_setting_name(enum fx_setting setting);

/* fx_settings_json: a new object (owned by the caller) with one member per setting that decides the
 * result, named as its option.  NULL when out of memory. */
json_t *fx_settings_json(const struct fx_settings *settings);

/* fx_settings_check: compares the settings with those a run was started with.  FX_EUSAGE names the
 * first one that differs: "alpha: the run was started with 1, not 0.5; ..." and what to do.  A
 * setting that `started` lacks had its default. */
enum fx_status fx_settings_check(const struct fx_settings *settings, const json_t *started,
                                 struct fx_err *err) FX_MUST_CHECK;

/* fx_settings_check_length: FX_EUSAGE where a run that has done so many epochs and steps is asked
 * for fewer. */
enum fx_status fx_settings_check_length(const struct fx_settings *settings, int64_t epochs_done,
                                        int64_t steps_done, struct fx_err *err) FX_MUST_CHECK;

/* fx_settings_started: for fx_settings_check, what a run was started with, by the start event of
 * its metrics; a new object (owned by the caller), NULL when out of memory.  What that does not
 * tell, the digest too where settings has none, is taken to be as in settings. */
json_t *fx_settings_started(const struct fx_settings *settings, const json_t *start);

/* fx_settings_command: the command line that makes the run again, every setting spelled out; paths
 * and settings without influence on the result are left out.  malloc'ed; NULL: out of memory. */
char *fx_settings_command(const struct fx_settings *settings);

/* fx_print_schedule: a line of names, then one an epoch, separated by tabs: the epoch, and the rate
 * of each group while it is trained; where the number of images to train on is known, not 0, also
 * how many have been seen by its end.  The settings are complete. */
void fx_print_schedule(const struct fx_settings *settings, int64_t n_images, FILE *out);

#endif
