/* libfusion: a model file becomes an engine with programs for batches of a few sizes, and images
 * become logits (libfusion(3)). */
#include "predict/fusion.h"

#include "base/tool.h"
#include "base/words.h"
#include "checkpoint/model_source.h"
#include "data/dataset.h"
#include "data/image_facts.h"
#include "image/picture.h"
#include "run/engine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Programs take so many images, the largest --batch; what is to be done is cut into these pieces,
 * so that a single image costs one and a thousand are cheap. */
enum { N_SIZES = 3, BATCH_DEFAULT = 64, BATCH_MIDDLE = 8, BATCH_MAX = 65536 };
_Static_assert((int)FUSION_IMAGE_BYTES == (int)FX_IMAGE_BYTES, "one size of images");
_Static_assert((int)FUSION_ERROR_BYTES == (int)FX_ERR_MSG_BYTES, "messages fit");

struct fusion_model {
    struct fusion_info info;
    struct fx_model_source source; /* owned; without its files once the engine has the tensors */
    struct fx_engine engine;
    struct fx_program *programs[N_SIZES]; /* owned by the engine's model */
    int sizes[N_SIZES], n_sizes;          /* descending, to 1 */
    json_t *names;                        /* owned; NULL: not known */
    const char **class_names;             /* owned; into names */
    float *pixels, *logits;               /* owned: (batch, 3, 32, 32), (K + 1, batch, classes) */
    int64_t *numbers;                     /* owned: 0, 1, 2 ... */
    uint32_t *positions;                  /* owned; the same */
    uint8_t *labels;                      /* owned; all 0 */
};

/* ---- what the files say ---------------------------------------------------------------------- */

static enum fx_status read_facts(struct fusion_model *m, const struct fx_tensor_set *set,
                                 struct fx_err *err)
{
    if (!m->names)
        FX_TRY(fx_names_read(set, m->info.n_classes, &m->names, err));
    if (m->info.std[0] > 0 || !fx_tensor_set_meta(set, "mean") || !fx_tensor_set_meta(set, "std"))
        return FX_OK;
    return fx_image_facts_channels(set, m->info.mean, m->info.std, err);
}

static enum fx_status read_dataset(struct fusion_model *m, const char *path, struct fx_err *err)
{
    struct fx_dataset ds;
    enum fx_status status;

    FX_TRY(fx_dataset_open(&ds, path, err));
    if (ds.n_classes != m->info.n_classes)
        status = fx_fail(err, FX_EINPUT, "%s: the data set has %d classes, the model %d", path,
                         ds.n_classes, m->info.n_classes);
    else if ((status = read_facts(m, &ds.file.set, err)) != FX_OK)
        fx_err_prepend(err, "%s: ", path);
    fx_dataset_close(&ds);
    return status;
}

static enum fx_status settle_facts(struct fusion_model *m, const char *data, struct fx_err *err)
{
    const char *name = m->source.name;

    if (read_facts(m, m->source.set, err) != FX_OK)
        return fx_err_prepend(err, "%s: ", name);
    if (data)
        FX_TRY(read_dataset(m, data, err));
    if (!(m->info.std[0] > 0))
        return fx_fail(err, FX_EUSAGE,
                       "%s: does not say how images were normalised; name its data set (--data)",
                       name);
    if (!m->names)
        return FX_OK;
    m->class_names = calloc((size_t)m->info.n_classes, sizeof *m->class_names);
    if (!m->class_names)
        return fx_fail(err, FX_EFAIL, "out of memory");
    for (int i = 0; i < m->info.n_classes; i++)
        m->class_names[i] = json_string_value(json_array_get(m->names, (size_t)i));
    m->info.class_names = m->class_names;
    return FX_OK;
}

static enum fx_status read_model(struct fusion_model *m, const char *path, struct fx_err *err)
{
    const struct fx_model_source *source = &m->source;

    FX_TRY(fx_model_source_open(&m->source, path, err));
    m->info.n_classes = source->graph->n_classes;
    m->info.n_experts = source->graph->n_experts;
    m->info.has_fusion = source->graph->fused >= 0;
    m->info.arch = fx_tensor_set_meta(source->set, "arch");
    m->info.fusion = fx_tensor_set_meta(source->set, "fusion");
    return FX_OK;
}

/* ---- the engine ------------------------------------------------------------------------------ */

static void choose_sizes(struct fusion_model *m, int batch)
{
    const int wanted[N_SIZES] = { batch, BATCH_MIDDLE, 1 };

    for (int i = 0; i < N_SIZES; i++)
        if (m->n_sizes == 0 || wanted[i] < m->sizes[m->n_sizes - 1])
            m->sizes[m->n_sizes++] = wanted[i];
}

static enum fx_status allocate(struct fusion_model *m, struct fx_err *err)
{
    size_t n = (size_t)m->sizes[0], heads = (size_t)m->info.n_experts + 1;

    m->pixels = malloc(n * FX_IMAGE_BYTES * sizeof *m->pixels);
    m->logits = malloc(heads * n * (size_t)m->info.n_classes * sizeof *m->logits);
    m->numbers = malloc(n * sizeof *m->numbers);
    m->positions = malloc(n * sizeof *m->positions);
    m->labels = calloc(n, sizeof *m->labels);
    if (!m->pixels || !m->logits || !m->numbers || !m->positions || !m->labels)
        return fx_fail(err, FX_EFAIL, "out of memory for a batch of %zu images", n);
    for (size_t i = 0; i < n; i++) {
        m->numbers[i] = (int64_t)i;
        m->positions[i] = (uint32_t)i;
    }
    return FX_OK;
}

static enum fx_status open_engine(struct fusion_model *m, const struct fx_engine_options *options,
                                  struct fx_err *err)
{
    struct fx_engine *engine = &m->engine;
    struct fx_memory_plan plan = { .batches = (size_t)m->sizes[0] * FX_IMAGE_BYTES * sizeof(float),
                                   .experts = fx_model_source_bytes(&m->source) };

    FX_TRY(fx_engine_open(engine, m->source.graph, options, NULL, err));
    for (int i = 0; i < m->n_sizes; i++)
        FX_TRY(engine->backend->program_create(&m->programs[i], engine->model, FX_EVAL, m->sizes[i],
                                               err));
    FX_TRY(fx_engine_plan_memory(engine, &plan, err));
    FX_TRY(fx_memory_check(&plan, m->sizes[0], err));
    FX_TRY(fx_engine_allocate(engine, err));
    FX_TRY(fx_engine_load_source(engine, &m->source, err));
    fx_model_source_forget(&m->source);
    engine->backend->step_begin(engine->model);
    m->info.device = engine->choice.device;
    m->info.batch = m->sizes[0];
    return allocate(m, err);
}

static enum fx_status parse_options(const struct fusion_options *given,
                                    struct fx_engine_options *options, struct fx_err *err)
{
    int precision = given->precision ? fx_word_find(FX_PRECISIONS, given->precision) : 0;

    if (precision < 0)
        return fx_fail(err, FX_EUSAGE, "precision %s: must be one of " FX_PRECISIONS,
                       given->precision);
    if (given->batch < 0 || given->batch > BATCH_MAX)
        return fx_fail(err, FX_EUSAGE, "batch %d: must be between 1 and %d", given->batch,
                       BATCH_MAX);
    *options = (struct fx_engine_options){ .device = given->device ? given->device : "auto",
                                           .precision = (enum fx_precision)precision,
                                           .threads = given->threads };
    return FX_OK;
}

static enum fx_status open_model(struct fusion_model *m, const char *path,
                                 const struct fusion_options *given, struct fx_err *err)
{
    struct fx_engine_options options;

    FX_TRY(parse_options(given, &options, err));
    choose_sizes(m, given->batch > 0 ? given->batch : BATCH_DEFAULT);
    FX_TRY(read_model(m, path, err));
    FX_TRY(settle_facts(m, given->data, err));
    return open_engine(m, &options, err);
}

/* ---- a batch --------------------------------------------------------------------------------- */

/* The experts' logits stand one after the other; to the rows of images, and their mean. */
static void spread(const struct fusion_model *m, size_t n, float *fused, float *experts)
{
    size_t classes = (size_t)m->info.n_classes, n_experts = (size_t)m->info.n_experts;

    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < classes; c++) {
            double sum = 0;
            for (size_t k = 0; k < n_experts; k++) {
                float logit = m->logits[(k * n + i) * classes + c];
                sum += (double)logit;
                if (experts)
                    experts[(i * n_experts + k) * classes + c] = logit;
            }
            if (fused && !m->info.has_fusion)
                fused[i * classes + c] = (float)(sum / (double)n_experts);
        }
}

static enum fx_status predict_batch(struct fusion_model *m, const uint8_t *images, int size,
                                    float *fused, float *experts, struct fx_err *err)
{
    const struct fx_backend *backend = m->engine.backend;
    struct fx_image_set set = { .images = images, .n = m->sizes[size] };
    struct fx_program *program = m->programs[size];
    struct fx_batch batch = {
        .n = m->sizes[size], .pixels = m->pixels, .numbers = m->positions, .labels = m->labels
    };
    size_t n_logits = (size_t)batch.n * (size_t)m->info.n_classes;

    fx_normalize_batch(&set, m->info.mean, m->info.std, m->numbers, batch.n, m->pixels);
    FX_TRY(backend->input(program, &batch, err));
    FX_TRY(backend->forward(program, err));
    for (int k = 0; k < m->info.n_experts; k++)
        FX_TRY(backend->value_read(program, m->source.graph->logits[k], false,
                                   m->logits + (size_t)k * n_logits, err));
    if (fused && m->info.has_fusion)
        FX_TRY(backend->value_read(program, m->source.graph->fused, false, fused, err));
    spread(m, (size_t)batch.n, fused, experts);
    return FX_OK;
}

/* ---- the interface --------------------------------------------------------------------------- */

static enum fusion_status answer(enum fx_status status, const struct fx_err *err,
                                 struct fusion_error *error)
{
    if (error && status != FX_OK) {
        error->status = (enum fusion_status)status;
        snprintf(error->text, sizeof error->text, "%s", err->msg);
    }
    return (enum fusion_status)status;
}

enum fusion_status fusion_open(struct fusion_model **model, const char *path,
                               const struct fusion_options *options, struct fusion_error *error)
{
    static const struct fusion_options none;
    struct fx_err err = { 0 };
    enum fx_status status;

    *model = calloc(1, sizeof **model);
    if (!*model)
        return answer(fx_fail(&err, FX_EFAIL, "%s: out of memory", path), &err, error);
    status = open_model(*model, path, options ? options : &none, &err);
    if (status != FX_OK) {
        fusion_close(*model);
        *model = NULL;
    }
    return answer(status, &err, error);
}

const struct fusion_info *fusion_describe(const struct fusion_model *model)
{
    return &model->info;
}

enum fusion_status fusion_predict(struct fusion_model *model, const uint8_t *images, size_t n,
                                  float *fused, float *experts, struct fusion_error *error)
{
    size_t classes = (size_t)model->info.n_classes;
    struct fx_err err = { 0 };

    while (n > 0) {
        int size = 0;
        while ((size_t)model->sizes[size] > n)
            size++;
        size_t done = (size_t)model->sizes[size];
        enum fx_status status = predict_batch(model, images, size, fused, experts, &err);
        if (status != FX_OK)
            return answer(status, &err, error);
        images += done * FX_IMAGE_BYTES;
        fused = fused ? fused + done * classes : NULL;
        experts = experts ? experts + done * classes * (size_t)model->info.n_experts : NULL;
        n -= done;
    }
    return FUSION_OK;
}

void fusion_probabilities(const float *logits, int n_classes, float *probabilities)
{
    float top = logits[0];
    double sum = 0;

    for (int i = 1; i < n_classes; i++)
        top = fmaxf(top, logits[i]);
    for (int i = 0; i < n_classes; i++)
        sum += exp((double)logits[i] - (double)top);
    for (int i = 0; i < n_classes; i++)
        probabilities[i] = (float)(exp((double)logits[i] - (double)top) / sum);
}

enum fusion_status fusion_read_image(const uint8_t *bytes, size_t n, const char *name,
                                     uint8_t image[FUSION_IMAGE_BYTES], size_t *n_read,
                                     struct fusion_error *error)
{
    struct fx_picture picture;
    struct fx_err err = { 0 };
    enum fx_status status = fx_picture_decode(&picture, bytes, n, name, &err);

    if (status != FX_OK)
        return answer(status, &err, error);
    if (n_read)
        *n_read = picture.n_read;
    status = fx_picture_fit(&picture, image, &err);
    fx_picture_fini(&picture);
    return answer(status, &err, error);
}

void fusion_close(struct fusion_model *model)
{
    if (!model)
        return;
    fx_engine_close(&model->engine);
    fx_model_source_close(&model->source);
    json_decref(model->names);
    free(model->class_names);
    free(model->pixels);
    free(model->logits);
    free(model->numbers);
    free(model->positions);
    free(model->labels);
    free(model);
}

const char *fusion_version(void)
{
    return fx_version;
}
