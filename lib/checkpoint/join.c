/* Which file is which part, whether the parts are a whole, and what the whole says. */
#include "checkpoint/join.h"

#include "base/log.h"
#include "base/tool.h"
#include "checkpoint/checkpoint.h"
#include "data/image_facts.h"
#include "net/arch.h"
#include "net/fusion.h"
#include "net/model.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { ABSENT_BYTES = 256, KEY_BYTES = 64, PREFIX_BYTES = 48 };

/* ---- files ----------------------------------------------------------------------------------- */

/* The place of an expert that does not say which one it is: the first that is free. */
static int free_place(const struct fx_join *join)
{
    int k = 0;

    while (k < FX_GRAPH_MAX_EXPERTS - 1 && join->is_placed[k])
        k++;
    return k;
}

/* What file i is, by the names of its tensors: the prefix under which most of them are parameters
 * of the model.  Nothing known is taken for an expert, whose names will then be reported. */
static void recognise(struct fx_join *join, int i, char prefix[PREFIX_BYTES])
{
    static const char *const wholes[] = { "", "fusion_module.", "global_head." };
    const struct fx_tensor_file *file = &join->files[i];
    int place = join->number[i] >= 0 ? join->number[i] : free_place(join);
    char expert[PREFIX_BYTES];
    size_t best;

    snprintf(expert, sizeof expert, "expert_backbones.%d.", place);
    snprintf(prefix, PREFIX_BYTES, "%s", expert);
    best = fx_state_dict_count(&join->dict, &file->set, expert);
    for (size_t w = 0; w < sizeof wholes / sizeof *wholes; w++) {
        size_t n = fx_state_dict_count(&join->dict, &file->set, wholes[w]);
        if (n > best) {
            best = n;
            snprintf(prefix, PREFIX_BYTES, "%s", wholes[w]);
        }
    }
    if (strcmp(prefix, expert) == 0)
        join->is_placed[place] = true;
}

/* Asks file i which expert it is, before any other takes that place. */
static enum fx_status place_file(struct fx_join *join, int i, struct fx_err *err)
{
    int number = fx_component_expert(&join->files[i]), n_experts = (int)join->options.n_experts;

    join->number[i] = number;
    if (number >= n_experts)
        return fx_fail(err, FX_EINPUT, "%s: says that it is expert %d, the model has %d (--count)",
                       join->files[i].input.name, number, n_experts);
    if (number >= 0)
        join->is_placed[number] = true;
    return FX_OK;
}

static enum fx_status take_file(struct fx_join *join, int i, struct fx_err *err)
{
    struct fx_tensor_file *file = &join->files[i];
    struct fx_differences diffs = { 0 };
    char prefix[PREFIX_BYTES];

    recognise(join, i, prefix);
    fx_log_verbose("%s: is %s", file->input.name, prefix[0] ? prefix : "a whole model");
    fx_state_dict_add(&join->dict, file, prefix, &diffs);
    /* A component's file is complete; what a whole model lacks, another file may bring. */
    if (prefix[0])
        fx_state_dict_require(&join->dict, prefix, true, file->input.name, &diffs);
    return fx_state_dict_judge(&join->dict, &diffs, file->input.name, join->options.arch, NULL,
                               err);
}

/* Component i of the model: the experts, then fusion module and head. */
static void name_component(const struct fx_join *join, int i, char prefix[PREFIX_BYTES])
{
    int n_experts = (int)join->options.n_experts;

    if (i < n_experts)
        snprintf(prefix, PREFIX_BYTES, "expert_backbones.%d.", i);
    else
        snprintf(prefix, PREFIX_BYTES, "%s", i == n_experts ? "fusion_module." : "global_head.");
}

/* Components that no file brings are named as such, what else is missing tensor by tensor. */
static enum fx_status require_all(struct fx_join *join, struct fx_err *err)
{
    const char *file =
        join->options.n_files == 1 ? join->files[0].input.name : "the files together";
    struct fx_differences diffs = { 0 };
    char prefix[PREFIX_BYTES], absent[ABSENT_BYTES] = "";
    int n_parts = (int)join->options.n_experts + (join->options.is_experts ? 0 : 2);

    for (int i = 0; i < n_parts; i++) {
        size_t at = strlen(absent);
        name_component(join, i, prefix);
        if (fx_state_dict_has(&join->dict, prefix))
            fx_state_dict_require(&join->dict, prefix, false, file, &diffs);
        else
            snprintf(absent + at, sizeof absent - at, "%s%.*s", at > 0 ? ", " : "",
                     (int)strlen(prefix) - 1, prefix);
    }
    FX_TRY(fx_state_dict_judge(&join->dict, &diffs, file, join->options.arch, NULL, err));
    if (absent[0])
        return fx_fail(err, FX_EINPUT, "%s: no tensors of %s", file, absent);
    return FX_OK;
}

static enum fx_status open_file(struct fx_join *join, int i, struct fx_err *err)
{
    FX_TRY(fx_component_open(&join->files[i], join->options.files[i], FX_WANTED_COMPONENTS, err));
    FX_TRY(fx_component_read_beside(&join->files[i], err));
    join->is_usable[i] = true;
    return FX_OK;
}

/* Calls step for every file, also after a failure: one run says all that is wrong, file by file, so
 * nothing is left for the error record.  Unless it stops. */
static enum fx_status each_file(struct fx_join *join,
                                enum fx_status (*step)(struct fx_join *, int, struct fx_err *),
                                struct fx_err *err)
{
    enum fx_status status = FX_OK;

    for (int i = 0; i < join->options.n_files; i++) {
        struct fx_err why = { 0 };
        if ((step != open_file && !join->is_usable[i]) || step(join, i, &why) == FX_OK)
            continue;
        status = why.status;
        join->is_usable[i] = false;
        if (join->options.stops) {
            *err = why;
            return status;
        }
        fx_log_error("%s", why.msg);
    }
    return status;
}

/* ---- the model ------------------------------------------------------------------------------- */

/* What was not given, the files say. */
static enum fx_status settle(struct fx_join *join, struct fx_err *err)
{
    struct fx_component_list list = { join->files, join->options.n_files };
    struct fx_join_options *args = &join->options;

    if (!args->arch) {
        FX_TRY(fx_facts_arch(list, join->arch, sizeof join->arch, err));
        if (!join->arch[0])
            return fx_fail(err, FX_EUSAGE, "--arch: which architecture? no file says it");
    } else {
        FX_TRY(fx_arch_list_read(args->arch, join->arch, err));
    }
    args->arch = join->arch;
    if (!args->fusion && !args->is_experts) {
        FX_TRY(fx_facts_fusion(list, &args->fusion, err));
        if (!args->fusion)
            return fx_fail(err, FX_EUSAGE, "--fusion: which fusion module? no file says it");
    }
    if (!args->fused && !args->is_experts)
        FX_TRY(fx_facts_fused(list, &args->fused, err));
    FX_TRY(fx_fused_form_parse(args->fused, &join->fused, err));
    if (!args->has_classes)
        FX_TRY(fx_facts_classes(list, &args->n_classes, err));
    if (!args->has_experts && fx_arch_count(args->arch) > 1)
        args->n_experts = fx_arch_count(args->arch);
    else if (!args->has_experts)
        FX_TRY(fx_facts_experts(list, &args->n_experts, err));
    if (args->n_files > args->n_experts + 2)
        return fx_fail(err, FX_EUSAGE,
                       "%d files given, %" PRId64 " experts, fusion and head wanted (--count)",
                       args->n_files, args->n_experts);
    return FX_OK;
}

static enum fx_status build_model(struct fx_join *join, struct fx_err *err)
{
    struct fx_model_config config = { .arch = join->options.arch,
                                      .fusion = join->options.fusion,
                                      .fused = join->fused,
                                      .n_experts = (int)join->options.n_experts,
                                      .n_classes = (int)join->options.n_classes,
                                      .expert_dropout = -1,
                                      .fusion_dropout = -1 };

    FX_TRY(fx_model_build(&join->graph, &config, err));
    return fx_state_dict_init(&join->dict, &join->graph, err);
}

enum fx_status fx_join_open(struct fx_join *join, const struct fx_join_options *options,
                            struct fx_err *err)
{
    *join = (struct fx_join){ .options = *options };
    if (options->n_files == 0)
        return fx_fail(err, FX_EUSAGE, "no files given");
    if (options->n_files > FX_JOIN_FILES_MAX)
        return fx_fail(err, FX_EUSAGE, "%d files given, a model has at most %d parts",
                       options->n_files, FX_JOIN_FILES_MAX);
    join->opened = each_file(join, open_file, err);
    /* What cannot be read is no reason not to compare the rest, if it is known with what. */
    if (join->opened != FX_OK && (options->stops || !(options->arch && options->fusion)))
        return join->opened;
    FX_TRY(settle(join, err));
    return build_model(join, err);
}

enum fx_status fx_join_take(struct fx_join *join, struct fx_err *err)
{
    enum fx_status placed = each_file(join, place_file, err);

    if (join->options.stops)
        FX_TRY(placed);
    enum fx_status taken = each_file(join, take_file, err);
    FX_TRY(join->opened);
    FX_TRY(placed);
    FX_TRY(taken);
    return require_all(join, err);
}

/* ---- what the whole says --------------------------------------------------------------------- */

static enum fx_status put_number(struct fx_tensor_set *set, const char *key, int64_t value,
                                 struct fx_err *err)
{
    char text[32];

    snprintf(text, sizeof text, "%" PRId64, value);
    return fx_tensor_set_put_meta(set, key, text, err);
}

static enum fx_status put_metadata(const struct fx_join *join, struct fx_tensor_set *set,
                                   struct fx_err *err)
{
    static const char *const agreed[] = { "epoch", "step", "seed", "data_digest", "val_accuracy" };
    struct fx_component_list list = { join->files, join->options.n_files };
    char key[KEY_BYTES];

    FX_TRY(fx_tensor_set_put_meta(set, "arch", join->options.arch, err));
    if (!join->options.is_experts)
        FX_TRY(fx_tensor_set_put_meta(set, "fusion", join->options.fusion, err));
    if (join->fused != FX_FUSED_HEAD)
        FX_TRY(fx_tensor_set_put_meta(set, "fused", join->options.fused, err));
    FX_TRY(put_number(set, "experts", join->options.n_experts, err));
    FX_TRY(put_number(set, "classes", join->options.n_classes, err));
    for (size_t i = 0; i < sizeof agreed / sizeof *agreed; i++)
        FX_TRY(fx_facts_put_agreed(list, agreed[i], set, err));
    FX_TRY(fx_facts_put_image_facts(list, set, err));
    for (int i = 0; i < join->options.n_files; i++) {
        snprintf(key, sizeof key, "source.%d", i);
        FX_TRY(fx_tensor_set_put_meta(set, key, join->files[i].input.name, err));
    }
    return FX_OK;
}

enum fx_status fx_join_describe(const struct fx_join *join, struct fx_tensor_set *set,
                                struct fx_err *err)
{
    FX_TRY(fx_state_dict_describe(&join->dict, set, err));
    return put_metadata(join, set, err);
}

void fx_join_close(struct fx_join *join)
{
    fx_state_dict_fini(&join->dict);
    for (int i = 0; i < FX_JOIN_FILES_MAX; i++)
        fx_tensor_file_close(&join->files[i]);
    fx_graph_fini(&join->graph);
}
