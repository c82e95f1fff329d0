/* Adversarial images: each pixel changed by at most epsilon so that the loss grows
 * (fusion-eval --attack). */
#ifndef FX_RUN_ATTACK_H
#define FX_RUN_ATTACK_H

#include "run/evaluate.h"

/* FGSM is one step of epsilon; Goodfellow, Shlens, Szegedy, "Explaining and Harnessing Adversarial
 * Examples" (ICLR 2015).  PGD starts at a random place and takes smaller steps; Madry et al.,
 * "Towards Deep Learning Models Resistant to Adversarial Attacks" (ICLR 2018). */
#define FX_ATTACKS "fgsm|pgd"
enum fx_attack_kind { FX_ATTACK_FGSM, FX_ATTACK_PGD };

struct fx_attack {
    enum fx_attack_kind kind;
    double epsilon, step_size; /* in pixels from 0 to 1 */
    int64_t steps;
    uint64_t seed; /* of the starts of PGD */
};

/* As they are given; NULL or 0: not given. */
struct fx_attack_options {
    const char *kind;                /* of FX_ATTACKS */
    const char *epsilon, *step_size; /* "8/255" or "0.03" */
    int64_t steps;
};

/* fx_attack_parse: without a kind *attack stays as it is.  FX_EUSAGE names the option and what it
 * takes. */
enum fx_status fx_attack_parse(const struct fx_attack_options *options, uint64_t seed,
                               struct fx_attack *attack, struct fx_err *err) FX_MUST_CHECK;

/* fx_attack_event: changes the images of the subset, evaluates them, and makes the attack event of
 * fusion-metrics(5): one line, malloc'ed for the caller.  Only pixels' changes that raise the fused
 * head's cross-entropy are looked for; without one, the sum of the experts'.
 *   engine  of a model built for attacks (net/model.h), with a training program of eval_n images */
enum fx_status fx_attack_event(struct fx_engine *engine, const struct fx_dataset *dataset,
                               const struct fx_subset *subset, const struct fx_attack *attack,
                               char **line, struct fx_err *err) FX_MUST_CHECK;

#endif
