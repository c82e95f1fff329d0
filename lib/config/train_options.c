/* One row an option; --help and the man pages say the same. */
#include "config/train_options.h"

#include "base/env.h"

void fx_train_args_init(struct fx_train_args *args, const char *tool)
{
    *args = (struct fx_train_args){
        .settings = { .tool = tool,
                      .precision = FX_PRECISION_FP32,
                      .seed = 42,
                      .accumulate = 1,
                      .patience_above = -1,
                      .alpha = 1,
                      .dropout = 0.2,
                      .expert_dropout = -1,
                      .clip = 1,
                      .shuffle = true },
        .run = { .device = "auto", .task = fx_env("FUSION_TASK"), .checkpoint_minutes = 10 },
    };
}

/* Copies a group of rows to rows[n..]; the end mark always fits. */
static int append(struct fx_option *rows, int n, const struct fx_option *group, size_t n_group)
{
    for (size_t i = 0; i < n_group && n < FX_TRAIN_ROWS_MAX - 1; i++)
        rows[n++] = group[i];
    rows[n] = (struct fx_option){ .type = FX_OPT_END };
    return n;
}

/* Where a run reads, writes and computes. */
static int place_rows(struct fx_option *rows, int n, struct fx_train_args *args)
{
    struct fx_settings *s = &args->settings;
    struct fx_run_options *r = &args->run;
    const struct fx_option group[] = {
        { "data", 0, "FILE", FX_OPT_STRING, &args->data, 0, 0, NULL,
          "data set of cifar-prep (required)", NULL },
        { "checkpoint-dir", 0, "DIR", FX_OPT_STRING, &r->checkpoint_dir, 0, 0, NULL,
          "directory of the run: best and last checkpoint, history (required)", NULL },
        { "resume", 0, NULL, FX_OPT_FLAG, &r->resume, 0, 0, NULL,
          "go on where the run in DIR stands; start it when there is none", NULL },
        { "finished", 0, NULL, FX_OPT_FLAG, &args->finished, 0, 0, NULL,
          "train nothing: exit 0 if the run in DIR is finished with these settings, else 1 or 2",
          NULL },
        { "checkpoint-minutes", 0, "N", FX_OPT_REAL, &r->checkpoint_minutes, 0, 1e6, NULL,
          "longest time between two checkpoints in minutes (default: 10)", NULL },
        { "task", 0, "NAME", FX_OPT_STRING, &r->task, 0, 0, NULL,
          "put [NAME] before every line of the log (default: $FUSION_TASK)", NULL },
        { "device", 0, "NAME", FX_OPT_STRING, &r->device, 0, 0, NULL,
          "auto|cpu|ref|cuda or auto:N, cuda:N with a GPU's number (default: auto)", NULL },
        { "threads", 0, "N", FX_OPT_INT, &r->threads, 1, 1024, NULL,
          "CPU threads (default: as many as the process may use)", NULL },
        { "precision", 0, "NAME", FX_OPT_ENUM, &s->precision, 0, 0, FX_PRECISIONS,
          "arithmetic of the experts (default: fp32)", NULL },
    };

    return append(rows, n, group, sizeof group / sizeof *group);
}

/* When it ends, and what it says. */
static int length_rows(struct fx_option *rows, int n, struct fx_train_args *args)
{
    struct fx_settings *s = &args->settings;
    struct fx_given *g = &args->given;
    const struct fx_option group[] = {
        { "epochs", 0, "N", FX_OPT_INT, &s->epochs, 1, 1e6, NULL,
          "epochs to train (default: the recipe's)", &g->epochs },
        { "steps", 0, "N", FX_OPT_INT, &s->steps, 1, 1e9, NULL,
          "end the run after N optimiser steps, validate and write both checkpoints", &g->steps },
        { "patience", 0, "N", FX_OPT_INT, &s->patience, 0, 1e6, NULL,
          "end after N epochs without a better validation; 0: never", &g->patience },
        { "log-steps", 0, NULL, FX_OPT_FLAG, &s->log_steps, 0, 0, NULL,
          "write a step event for every optimiser step", NULL },
        { "print-schedule", 0, NULL, FX_OPT_FLAG, &args->print_schedule, 0, 0, NULL,
          "print the learning rates of every epoch and exit", NULL },
    };

    return append(rows, n, group, sizeof group / sizeof *group);
}

/* Which images, and what is done to them. */
static int image_rows(struct fx_option *rows, int n, struct fx_train_args *args)
{
    struct fx_settings *s = &args->settings;
    struct fx_given *g = &args->given;
    const struct fx_option group[] = {
        { "batch", 0, "N", FX_OPT_INT, &s->batch, 1, 1e6, NULL,
          "images of a batch (default: the recipe's)", &g->batch },
        { "accumulate", 0, "N", FX_OPT_INT, &s->accumulate, 1, 1e6, NULL,
          "batches whose gradients are averaged for one step (default: 1)", NULL },
        { "seed", 0, "N", FX_OPT_INT, &s->seed, 0, UINT32_MAX, NULL,
          "seed of every random decision (default: 42)", NULL },
        { "shuffle", 0, NULL, FX_OPT_FLAG, &s->shuffle, 0, 0, NULL,
          "draw the order of the images anew each epoch (default)", NULL },
        { "no-shuffle", 0, NULL, FX_OPT_CLEAR, &s->shuffle, 0, 0, NULL, "ascending image number",
          NULL },
        { "val", 0, "WHICH", FX_OPT_ENUM, &s->val, 0, 0, FX_VALS,
          "images that choose the best checkpoint (default: the recipe's)", &g->val },
        { "val-limit", 0, "N", FX_OPT_INT, &s->val_limit, 0, 1e9, NULL,
          "measure at most N images, in validation and in the final test; 0: all", NULL },
        { "initial", 0, NULL, FX_OPT_FLAG, &s->initial, 0, 0, NULL,
          "validate once before training (default, unless --steps is given)", &g->initial },
        { "no-initial", 0, NULL, FX_OPT_CLEAR, &s->initial, 0, 0, NULL,
          "no validation before training", &g->initial },
        { "augment", 0, "NAME", FX_OPT_ENUM, &s->augment, 0, 0, FX_AUGMENT_POLICIES,
          "augmentation of the training images (default: the recipe's)", &g->augment },
        { "mix", 0, "NAME", FX_OPT_ENUM, &s->mix, 0, 0, FX_MIX_KINDS,
          "mixing within a batch (default: cutmix)", &g->mix },
        { "cutmix-alpha", 0, "X", FX_OPT_REAL, &s->cutmix_alpha, 1e-3, 1e3, NULL,
          "cutmix draws lam from Beta(X, X) (default: the recipe's)", &g->cutmix_alpha },
        { "mixup-alpha", 0, "X", FX_OPT_REAL, &s->mixup_alpha, 1e-3, 1e3, NULL,
          "mixup draws lam from Beta(X, X) (default: the recipe's)", &g->mixup_alpha },
    };

    return append(rows, n, group, sizeof group / sizeof *group);
}

/* Loss and optimiser. */
static int optimizer_rows(struct fx_option *rows, int n, struct fx_train_args *args)
{
    struct fx_settings *s = &args->settings;
    struct fx_given *g = &args->given;
    const struct fx_option group[] = {
        { "label-smoothing", 0, "X", FX_OPT_REAL, &s->label_smoothing, 0, 1, NULL,
          "part of a target spread over all classes (default: the recipe's)", &g->label_smoothing },
        { "expert-dropout", 0, "P", FX_OPT_REAL, &s->expert_dropout, 0, 0.99, NULL,
          "dropout in the experts (default: the architecture's)", &g->expert_dropout },
        { "clip", 0, "X", FX_OPT_REAL, &s->clip, 0, 1e9, NULL,
          "limit of the norm of all gradients together; 0: none (default: 1)", NULL },
        { "lr-experts", 0, "X", FX_OPT_REAL, &s->lr_experts, 0, 1e3, NULL,
          "learning rate of the experts (default: the recipe's)", &g->lr_experts },
        { "weight-decay", 0, "X", FX_OPT_REAL, &s->weight_decay, 0, 1e3, NULL,
          "weight decay (default: the recipe's)", &g->weight_decay },
        { "schedule", 0, "NAME", FX_OPT_ENUM, &s->schedule, 0, 0, FX_SCHEDULE_KINDS,
          "learning rates from epoch to epoch (default: the recipe's)", &g->schedule },
    };

    return append(rows, n, group, sizeof group / sizeof *group);
}

int fx_train_rows(struct fx_option *rows, int n, struct fx_train_args *args)
{
    n = place_rows(rows, n, args);
    n = length_rows(rows, n, args);
    n = image_rows(rows, n, args);
    return optimizer_rows(rows, n, args);
}

enum fx_status fx_train_check(const struct fx_train_args *args, struct fx_err *err)
{
    if (args->print_schedule)
        return FX_OK;
    if (!args->data && !args->finished)
        return fx_fail(err, FX_EUSAGE, "--data FILE is required");
    if (!args->run.checkpoint_dir)
        return fx_fail(err, FX_EUSAGE, "--checkpoint-dir DIR is required");
    return FX_OK;
}
