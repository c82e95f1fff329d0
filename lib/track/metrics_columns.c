/* The tables; columns are added behind the others, so that a spreadsheet finds what it found. */
#include "track/metrics_columns_internal.h"

#include <stddef.h>

/* A number of every head. */
#define HEADS(name)                                                                                \
    { name, FX_CSV_OPTIONAL, name },                                                               \
        { "expert_%d_" name, FX_CSV_OPTIONAL_EXPERT, "expert_" name },                             \
    {                                                                                              \
        "ensemble_" name, FX_CSV_OPTIONAL, "ensemble_" name                                        \
    }

/* The original's columns in the original's order, then ours. */
static const struct fx_csv_column epoch_columns[] = {
    { "run", FX_CSV_RUN_OF_MANY, NULL },
    { "epoch", FX_CSV_EVENT, "epoch" },
    { "train_loss", FX_CSV_EVENT, "train_loss" },
    { "val_loss", FX_CSV_EVENT, "val_loss" },
    { "val_accuracy", FX_CSV_EVENT, "val_accuracy" },
    { "experts_lr", FX_CSV_EVENT, "lr_experts" },
    { "fusion_lr", FX_CSV_EVENT, "lr_fusion" },
    { "global_head_lr", FX_CSV_EVENT, "lr_global_head" },
    { "loss_global", FX_CSV_EVENT, "loss_global" },
    { "loss_individual", FX_CSV_EVENT, "loss_individual" },
    { "loss_total", FX_CSV_EVENT, "loss_total" },
    { "expert_%d_accuracy", FX_CSV_EVENT_EXPERT, "expert_accuracy" },
    { "expert_%d_loss", FX_CSV_EVENT_EXPERT, "expert_loss" },
    { "alpha", FX_CSV_START, "alpha" },
    { "fusion_type", FX_CSV_START, "fusion" },
    { "model_architecture", FX_CSV_START, "arch" },
    { "timestamp", FX_CSV_EVENT, "timestamp" },
    { "step", FX_CSV_EVENT, "step" },
    { "train_accuracy", FX_CSV_EVENT, "train_accuracy" },
    { "ensemble_accuracy", FX_CSV_EVENT, "ensemble_accuracy" },
    { "val_loss_global", FX_CSV_EVENT, "val_loss_global" },
    { "images_per_second", FX_CSV_EVENT, "images_per_second" },
    { "seconds", FX_CSV_EVENT, "seconds" },
    { "val", FX_CSV_START, "val" },
    { "ensemble_loss", FX_CSV_OPTIONAL, "ensemble_loss" },
    { "val_ece", FX_CSV_OPTIONAL, "val_ece" },
    { NULL, FX_CSV_EVENT, NULL },
};

static const struct fx_csv_column step_columns[] = {
    { "run", FX_CSV_RUN_OF_MANY, NULL },
    { "epoch", FX_CSV_EVENT, "epoch" },
    { "step", FX_CSV_EVENT, "step" },
    { "experts_lr", FX_CSV_EVENT, "lr_experts" },
    { "fusion_lr", FX_CSV_EVENT, "lr_fusion" },
    { "loss_global", FX_CSV_EVENT, "loss_global" },
    { "loss_individual", FX_CSV_EVENT, "loss_individual" },
    { "loss_total", FX_CSV_EVENT, "loss_total" },
    { "grad_norm", FX_CSV_EVENT, "grad_norm" },
    { "alpha", FX_CSV_START, "alpha" },
    { "fusion_type", FX_CSV_START, "fusion" },
    { "model_architecture", FX_CSV_START, "arch" },
    { NULL, FX_CSV_EVENT, NULL },
};

static const struct fx_csv_column eval_columns[] = {
    { "run", FX_CSV_RUN, NULL },
    { "epoch", FX_CSV_OPTIONAL, "epoch" },
    { "split", FX_CSV_EVENT, "split" },
    { "images", FX_CSV_EVENT, "images" },
    { "loss", FX_CSV_OPTIONAL, "loss" },
    { "accuracy", FX_CSV_OPTIONAL, "accuracy" },
    { "ece", FX_CSV_OPTIONAL, "ece" },
    { "expert_%d_accuracy", FX_CSV_EVENT_EXPERT, "expert_accuracy" },
    { "expert_%d_loss", FX_CSV_EVENT_EXPERT, "expert_loss" },
    { "expert_%d_ece", FX_CSV_OPTIONAL_EXPERT, "expert_ece" },
    { "ensemble_accuracy", FX_CSV_EVENT, "ensemble_accuracy" },
    { "ensemble_loss", FX_CSV_OPTIONAL, "ensemble_loss" },
    { "ensemble_ece", FX_CSV_OPTIONAL, "ensemble_ece" },
    { "images_per_second", FX_CSV_EVENT, "images_per_second" },
    { "seconds", FX_CSV_EVENT, "seconds" },
    { "fusion_type", FX_CSV_START, "fusion" },
    { "model_architecture", FX_CSV_START, "arch" },
    { "task", FX_CSV_START, "task" },
    { "timestamp", FX_CSV_EVENT, "timestamp" },
    { "fused_only", FX_CSV_OPTIONAL, "fused_only" },
    { "ensemble_only", FX_CSV_OPTIONAL, "ensemble_only" },
    HEADS("top5"),
    HEADS("superclass_accuracy"),
    HEADS("brier"),
    HEADS("ece_mass"),
    HEADS("accuracy_low"),
    HEADS("accuracy_high"),
    HEADS("loss_low"),
    HEADS("loss_high"),
    HEADS("temperature"),
    HEADS("scaled_loss"),
    HEADS("scaled_brier"),
    HEADS("scaled_ece"),
    HEADS("scaled_ece_mass"),
    { "mean_disagreement", FX_CSV_OPTIONAL, "mean_disagreement" },
    { "gain", FX_CSV_OPTIONAL, "gain" },
    { "gain_low", FX_CSV_OPTIONAL, "gain_low" },
    { "gain_high", FX_CSV_OPTIONAL, "gain_high" },
    { "mcnemar_p", FX_CSV_OPTIONAL, "mcnemar_p" },
    { "bootstrap", FX_CSV_OPTIONAL, "bootstrap" },
    { "temperature_images", FX_CSV_OPTIONAL, "temperature_images" },
    { NULL, FX_CSV_EVENT, NULL },
};

static const struct fx_csv_column class_columns[] = {
    { "run", FX_CSV_RUN, NULL },
    { "split", FX_CSV_EVENT, "split" },
    { "class", FX_CSV_EVENT, "class" },
    { "name", FX_CSV_EVENT, "name" },
    { "superclass", FX_CSV_OPTIONAL, "superclass" },
    { "images", FX_CSV_EVENT, "images" },
    HEADS("accuracy"),
    { NULL, FX_CSV_EVENT, NULL },
};

static const struct fx_csv_column superclass_columns[] = {
    { "run", FX_CSV_RUN, NULL },
    { "split", FX_CSV_EVENT, "split" },
    { "superclass", FX_CSV_EVENT, "superclass" },
    { "name", FX_CSV_EVENT, "name" },
    { "images", FX_CSV_EVENT, "images" },
    HEADS("accuracy"),
    HEADS("superclass_accuracy"),
    { NULL, FX_CSV_EVENT, NULL },
};

static const struct fx_csv_column bin_columns[] = {
    { "run", FX_CSV_RUN, NULL },    { "split", FX_CSV_EVENT, "split" },
    { "bin", FX_CSV_EVENT, "bin" }, HEADS("images"),
    HEADS("probability"),           HEADS("accuracy"),
    HEADS("scaled_images"),         HEADS("scaled_probability"),
    HEADS("scaled_accuracy"),       { NULL, FX_CSV_EVENT, NULL },
};

static const struct fx_csv_column ood_columns[] = {
    { "run", FX_CSV_RUN, NULL },
    { "images", FX_CSV_EVENT, "images" },
    { "ood_images", FX_CSV_EVENT, "ood_images" },
    HEADS("msp_auroc"),
    HEADS("msp_aupr_in"),
    HEADS("msp_aupr_out"),
    HEADS("msp_fpr95"),
    HEADS("energy_auroc"),
    HEADS("energy_aupr_in"),
    HEADS("energy_aupr_out"),
    HEADS("energy_fpr95"),
    { "disagreement_auroc", FX_CSV_OPTIONAL, "disagreement_auroc" },
    { "disagreement_aupr_in", FX_CSV_OPTIONAL, "disagreement_aupr_in" },
    { "disagreement_aupr_out", FX_CSV_OPTIONAL, "disagreement_aupr_out" },
    { "disagreement_fpr95", FX_CSV_OPTIONAL, "disagreement_fpr95" },
    { NULL, FX_CSV_EVENT, NULL },
};

static const struct fx_csv_column corruption_columns[] = {
    { "run", FX_CSV_RUN, NULL },
    { "corruption", FX_CSV_EVENT, "corruption" },
    { "severity", FX_CSV_EVENT, "severity" },
    { "images", FX_CSV_EVENT, "images" },
    HEADS("error"),
    { NULL, FX_CSV_EVENT, NULL },
};

static const struct fx_csv_column robustness_columns[] = {
    { "run", FX_CSV_RUN, NULL },
    { "corruptions", FX_CSV_EVENT, "corruptions" },
    { "images", FX_CSV_EVENT, "images" },
    HEADS("mean_error"),
    HEADS("mce"),
    { NULL, FX_CSV_EVENT, NULL },
};

static const struct fx_csv_column attack_columns[] = {
    { "run", FX_CSV_RUN, NULL },
    { "split", FX_CSV_EVENT, "split" },
    { "images", FX_CSV_EVENT, "images" },
    { "attack", FX_CSV_EVENT, "attack" },
    { "epsilon", FX_CSV_EVENT, "epsilon" },
    { "steps", FX_CSV_EVENT, "steps" },
    { "step_size", FX_CSV_EVENT, "step_size" },
    HEADS("accuracy"),
    HEADS("loss"),
    { NULL, FX_CSV_EVENT, NULL },
};

static const struct fx_csv_column end_columns[] = {
    { "run", FX_CSV_RUN, NULL },
    { "status", FX_CSV_EVENT, "status" },
    { "epoch", FX_CSV_OPTIONAL, "epoch" },
    { "step", FX_CSV_OPTIONAL, "step" },
    { "best_epoch", FX_CSV_OPTIONAL, "best_epoch" },
    { "best_val_accuracy", FX_CSV_OPTIONAL, "best_val_accuracy" },
    { "test_images", FX_CSV_OPTIONAL, "test_images" },
    { "test_loss", FX_CSV_OPTIONAL, "test_loss" },
    { "test_accuracy", FX_CSV_OPTIONAL, "test_accuracy" },
    { "test_ece", FX_CSV_OPTIONAL, "test_ece" },
    { "test_expert_%d_accuracy", FX_CSV_OPTIONAL_EXPERT, "test_expert_accuracy" },
    { "test_ensemble_accuracy", FX_CSV_OPTIONAL, "test_ensemble_accuracy" },
    { "test_fused_only", FX_CSV_OPTIONAL, "test_fused_only" },
    { "test_ensemble_only", FX_CSV_OPTIONAL, "test_ensemble_only" },
    { "test_expert_mean", FX_CSV_SCORE, "test_expert_mean" },
    { "test_expert_best", FX_CSV_SCORE, "test_expert_best" },
    { "test_gain", FX_CSV_SCORE, "test_gain" },
    { "test_gain_95", FX_CSV_SCORE, "test_gain_95" },
    { "images_seen", FX_CSV_SCORE, "images_seen" },
    { "train_images", FX_CSV_START, "train_images" },
    { "seed", FX_CSV_START, "seed" },
    { "recipe", FX_CSV_START, "recipe" },
    { "train", FX_CSV_START, "train" },
    { "val", FX_CSV_START, "val" },
    { "alpha", FX_CSV_START, "alpha" },
    { "fusion_type", FX_CSV_START, "fusion" },
    { "model_architecture", FX_CSV_START, "arch" },
    { "task", FX_CSV_START, "task" },
    { "seconds", FX_CSV_OPTIONAL, "seconds" },
    { "timestamp", FX_CSV_OPTIONAL, "timestamp" },
    { NULL, FX_CSV_EVENT, NULL },
};

const struct fx_csv_kind fx_csv_kinds[] = {
    { "epoch", "epoch", epoch_columns },
    { "step", "step", step_columns },
    { "eval", NULL, eval_columns },
    { "class", NULL, class_columns },
    { "superclass", NULL, superclass_columns },
    { "bin", NULL, bin_columns },
    { "ood", NULL, ood_columns },
    { "corruption", NULL, corruption_columns },
    { "robustness", NULL, robustness_columns },
    { "attack", NULL, attack_columns },
    { "end", NULL, end_columns },
};
