/* oneDNN 2.6 and 3.x behind one set of functions: memory descriptors are structs by value in the
 * first and owned handles in the second, and primitive descriptors are made in two steps or one. */
#include "backend/cpu/dnnl_internal.h"

#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_debug.h>
#include <stdlib.h>
#include <string.h>

#if DNNL_VERSION_MAJOR >= 3
typedef const_dnnl_memory_desc_t md_ref;
#define MD_REF(md) ((md).desc)
#else
typedef const dnnl_memory_desc_t *md_ref;
#define MD_REF(md) (&(md).desc)
#endif

struct md {
    dnnl_memory_desc_t desc; /* 3.x: owned */
};

struct fx_dnnl {
    dnnl_engine_t engine; /* owned */
};
struct fx_dnnl_stream {
    dnnl_stream_t stream; /* owned */
};

/* The arguments of a convolution, in the order of struct fx_dnnl_conv.memory. */
enum { SRC, WEIGHTS, DST, SCRATCH, N_MEMORY };

struct fx_dnnl_conv {
    dnnl_primitive_t primitive;
    dnnl_memory_t memory[N_MEMORY];
    int args[N_MEMORY];
    size_t scratch_bytes;
    dnnl_primitive_t reorder; /* masters to the wanted layout, or back for gradients; NULL: none */
    dnnl_memory_t master;     /* the reorder's other side */
    size_t weights_bytes;     /* of the wanted layout when there is a reorder, else 0 */
    enum fx_conv_direction direction;
    char name[64];
};

static enum fx_status check(dnnl_status_t status, const char *call, int line, struct fx_err *err)
{
    if (status == dnnl_success)
        return FX_OK;
    return fx_fail(err, status == dnnl_out_of_memory ? FX_EFAIL : FX_EDEVICE,
                   "oneDNN: %s: %s (dnnl_wrap.c:%d)", call, dnnl_status2str(status), line);
}

/* Every status of oneDNN passes here. */
#define DNNL(call) check((call), #call, __LINE__, err)

enum fx_dnnl_isa fx_dnnl_isa(void)
{
#if defined(__x86_64__)
    unsigned isa = (unsigned)dnnl_get_effective_cpu_isa();
    unsigned bf16 = dnnl_cpu_isa_avx512_core_bf16, avx512 = dnnl_cpu_isa_avx512_core;
    unsigned avx2 = dnnl_cpu_isa_avx2, amx = dnnl_cpu_isa_avx512_core_amx;

    /* The enumerators are sets of bits, each containing those it builds on. */
    if ((isa & amx) == amx)
        return FX_DNNL_AMX;
    if ((isa & bf16) == bf16)
        return FX_DNNL_AVX512_BF16;
    if ((isa & avx512) == avx512)
        return FX_DNNL_AVX512;
    if ((isa & avx2) == avx2)
        return FX_DNNL_AVX2;
#endif
    return FX_DNNL_PLAIN;
}

enum fx_status fx_dnnl_open(struct fx_dnnl **dnnl, struct fx_err *err)
{
    enum fx_status status;

    *dnnl = calloc(1, sizeof **dnnl);
    if (!*dnnl)
        return fx_fail(err, FX_EFAIL, "oneDNN: out of memory");
    status = DNNL(dnnl_engine_create(&(*dnnl)->engine, dnnl_cpu, 0));
    if (status != FX_OK) {
        free(*dnnl);
        *dnnl = NULL;
    }
    return status;
}

void fx_dnnl_close(struct fx_dnnl *dnnl)
{
    if (!dnnl)
        return;
    dnnl_engine_destroy(dnnl->engine);
    free(dnnl);
}

enum fx_status fx_dnnl_stream_open(struct fx_dnnl_stream **stream, struct fx_dnnl *dnnl,
                                   struct fx_err *err)
{
    enum fx_status status;

    *stream = calloc(1, sizeof **stream);
    if (!*stream)
        return fx_fail(err, FX_EFAIL, "oneDNN: out of memory");
    status = DNNL(dnnl_stream_create(&(*stream)->stream, dnnl->engine, dnnl_stream_default_flags));
    if (status != FX_OK) {
        free(*stream);
        *stream = NULL;
    }
    return status;
}

void fx_dnnl_stream_close(struct fx_dnnl_stream *stream)
{
    if (!stream)
        return;
    dnnl_stream_destroy(stream->stream);
    free(stream);
}

/* ---- memory descriptors ---- */

static enum fx_status md_init(struct md *md, int n_dims, const dnnl_dims_t dims,
                              dnnl_data_type_t type, dnnl_format_tag_t tag, struct fx_err *err)
{
#if DNNL_VERSION_MAJOR >= 3
    return DNNL(dnnl_memory_desc_create_with_tag(&md->desc, n_dims, dims, type, tag));
#else
    return DNNL(dnnl_memory_desc_init_by_tag(&md->desc, n_dims, dims, type, tag));
#endif
}

static void md_fini(struct md *md)
{
#if DNNL_VERSION_MAJOR >= 3
    if (md->desc)
        dnnl_memory_desc_destroy(md->desc);
#else
    (void)md;
#endif
}

/* The descriptors of one convolution. */
struct conv_mds {
    struct md src, dst, any, master; /* any: weights as the primitive likes; master: ours, f32 */
    struct md any_hint;              /* as any, of the forward hint: never f32 beside bf16 */
};

static enum fx_status conv_mds_init(struct conv_mds *mds, const struct fx_conv_shape *s,
                                    enum fx_conv_direction direction, struct fx_err *err)
{
    dnnl_data_type_t type = s->bf16 ? dnnl_bf16 : dnnl_f32;
    dnnl_data_type_t weights_type = direction == FX_CONV_WEIGHTS ? dnnl_f32 : type;
    dnnl_format_tag_t value_tag = s->block == 16 ? dnnl_nChw16c : dnnl_nChw8c;
    dnnl_format_tag_t master_tag = s->block == 16 ? dnnl_OIhw16i16o : dnnl_OIhw8i8o;
    dnnl_dims_t src = { s->n, s->c_in, s->h_in, s->w_in };
    dnnl_dims_t dst = { s->n, s->c_out, s->h_out, s->w_out };
    dnnl_dims_t weights = { s->c_out, s->c_in, s->kernel, s->kernel };
    dnnl_dims_t grouped = { s->groups, s->c_out / s->groups, s->c_in / s->groups, s->kernel,
                            s->kernel };
    bool is_grouped = s->groups > 1;
    const dnnl_dim_t *w_dims = is_grouped ? grouped : weights;
    int w_n = is_grouped ? 5 : 4;

    if (is_grouped)
        master_tag = s->block == 16 ? dnnl_gOIhw16i16o : dnnl_gOIhw8i8o;
    FX_TRY(md_init(&mds->src, 4, src, type, value_tag, err));
    FX_TRY(md_init(&mds->dst, 4, dst, type, value_tag, err));
    FX_TRY(md_init(&mds->any, w_n, w_dims, weights_type, dnnl_format_tag_any, err));
    FX_TRY(md_init(&mds->any_hint, w_n, w_dims, type, dnnl_format_tag_any, err));
    return md_init(&mds->master, w_n, w_dims, dnnl_f32, master_tag, err);
}

static void conv_mds_fini(struct conv_mds *mds)
{
    md_fini(&mds->src);
    md_fini(&mds->dst);
    md_fini(&mds->any);
    md_fini(&mds->any_hint);
    md_fini(&mds->master);
}

/* ---- convolution ---- */

/* Not through DNNL(): "unimplemented" is an answer here. */
static dnnl_status_t conv_pd(dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
                             const struct fx_conv_shape *s, enum fx_conv_direction direction,
                             dnnl_alg_kind_t alg, const struct conv_mds *mds,
                             dnnl_primitive_attr_t attr, dnnl_primitive_desc_t hint)
{
    dnnl_dims_t strides = { s->stride, s->stride }, pads = { s->pad, s->pad };
    md_ref src = MD_REF(mds->src), dst = MD_REF(mds->dst);
    md_ref any = hint ? MD_REF(mds->any) : MD_REF(mds->any_hint);
#if DNNL_VERSION_MAJOR >= 3
    dnnl_dims_t dilates = { 0, 0 };

    switch (direction) {
    case FX_CONV_FORWARD:
        return dnnl_convolution_forward_primitive_desc_create(pd, engine, dnnl_forward_training,
                                                              alg, src, any, NULL, dst, strides,
                                                              dilates, pads, pads, attr);
    case FX_CONV_DATA:
        return dnnl_convolution_backward_data_primitive_desc_create(
            pd, engine, alg, src, any, dst, strides, dilates, pads, pads, hint, attr);
    case FX_CONV_WEIGHTS:
        return dnnl_convolution_backward_weights_primitive_desc_create(
            pd, engine, alg, src, any, NULL, dst, strides, dilates, pads, pads, hint, attr);
    case FX_N_CONV_DIRECTIONS:
        break;
    }
    return dnnl_invalid_arguments;
#else
    dnnl_convolution_desc_t desc;
    dnnl_status_t status = dnnl_invalid_arguments;

    switch (direction) {
    case FX_CONV_FORWARD:
        status = dnnl_convolution_forward_desc_init(&desc, dnnl_forward_training, alg, src, any,
                                                    NULL, dst, strides, pads, pads);
        break;
    case FX_CONV_DATA:
        status = dnnl_convolution_backward_data_desc_init(&desc, alg, src, any, dst, strides, pads,
                                                          pads);
        break;
    case FX_CONV_WEIGHTS:
        status = dnnl_convolution_backward_weights_desc_init(&desc, alg, src, any, NULL, dst,
                                                             strides, pads, pads);
        break;
    case FX_N_CONV_DIRECTIONS:
        break;
    }
    if (status != dnnl_success)
        return status;
    return dnnl_primitive_desc_create(pd, &desc, attr, engine, hint);
#endif
}

/* Tries Winograd if wanted, then direct, then whatever oneDNN offers. */
static dnnl_status_t conv_pd_best(dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
                                  const struct fx_conv_shape *s, enum fx_conv_direction direction,
                                  bool winograd, const struct conv_mds *mds,
                                  dnnl_primitive_attr_t attr, dnnl_primitive_desc_t hint)
{
    const dnnl_alg_kind_t algs[] = { dnnl_convolution_winograd, dnnl_convolution_direct,
                                     dnnl_convolution_auto };
    dnnl_status_t status = dnnl_unimplemented;

    for (int i = winograd ? 0 : 1; i < 3; i++) {
        status = conv_pd(pd, engine, s, direction, algs[i], mds, attr, hint);
        if (status == dnnl_success)
            return status;
    }
    return status;
}

/* The reorder between masters and the layout that the primitive wants. */
static enum fx_status make_reorder(struct fx_dnnl_conv *conv, dnnl_engine_t engine, md_ref wanted,
                                   md_ref master, struct fx_err *err)
{
    bool back = conv->direction == FX_CONV_WEIGHTS;
    dnnl_primitive_desc_t pd;
    enum fx_status status;

    conv->weights_bytes = dnnl_memory_desc_get_size(wanted);
    FX_TRY(DNNL(dnnl_memory_create(&conv->master, master, engine, DNNL_MEMORY_NONE)));
    FX_TRY(DNNL(dnnl_reorder_primitive_desc_create(&pd, back ? wanted : master, engine,
                                                   back ? master : wanted, engine, NULL)));
    status = DNNL(dnnl_primitive_create(&conv->reorder, pd));
    dnnl_primitive_desc_destroy(pd);
    return status;
}

/* Memory objects, scratchpad and reorder of a chosen primitive descriptor. */
static enum fx_status conv_from_pd(struct fx_dnnl_conv *conv, dnnl_engine_t engine,
                                   dnnl_primitive_desc_t pd, const struct conv_mds *mds,
                                   struct fx_err *err)
{
    bool gradient = conv->direction == FX_CONV_WEIGHTS;
    md_ref wanted = dnnl_primitive_desc_query_md(
        pd, gradient ? dnnl_query_diff_weights_md : dnnl_query_weights_md, 0);
    md_ref scratch = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    const char *name = NULL;

    if (dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, (void *)&name) == dnnl_success) {
        strncpy(conv->name, name, sizeof conv->name - 1);
    }
    FX_TRY(DNNL(dnnl_primitive_create(&conv->primitive, pd)));
    conv->scratch_bytes = dnnl_memory_desc_get_size(scratch);
    FX_TRY(
        DNNL(dnnl_memory_create(&conv->memory[SRC], MD_REF(mds->src), engine, DNNL_MEMORY_NONE)));
    FX_TRY(
        DNNL(dnnl_memory_create(&conv->memory[DST], MD_REF(mds->dst), engine, DNNL_MEMORY_NONE)));
    FX_TRY(DNNL(dnnl_memory_create(&conv->memory[WEIGHTS], wanted, engine, DNNL_MEMORY_NONE)));
    FX_TRY(DNNL(dnnl_memory_create(&conv->memory[SCRATCH], scratch, engine, DNNL_MEMORY_NONE)));
    conv->args[SRC] = conv->direction == FX_CONV_DATA ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC;
    conv->args[DST] = conv->direction == FX_CONV_FORWARD ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST;
    conv->args[WEIGHTS] = gradient ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS;
    conv->args[SCRATCH] = DNNL_ARG_SCRATCHPAD;
    if (dnnl_memory_desc_equal(wanted, MD_REF(mds->master)))
        return FX_OK;
    return make_reorder(conv, engine, wanted, MD_REF(mds->master), err);
}

enum fx_status fx_dnnl_conv_create(struct fx_dnnl_conv **out, struct fx_dnnl *dnnl,
                                   const struct fx_conv_shape *shape,
                                   enum fx_conv_direction direction, bool winograd,
                                   struct fx_err *err)
{
    struct fx_dnnl_conv *conv = calloc(1, sizeof *conv);
    struct conv_mds mds;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL, hint = NULL;
    enum fx_status status;

    *out = conv;
    if (!conv)
        return fx_fail(err, FX_EFAIL, "oneDNN: out of memory");
    memset(&mds, 0, sizeof mds);
    conv->direction = direction;
    FX_TRY_OUT(conv_mds_init(&mds, shape, direction, err));
    FX_TRY_OUT(DNNL(dnnl_primitive_attr_create(&attr)));
    FX_TRY_OUT(DNNL(dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user)));
    if (direction != FX_CONV_FORWARD)
        FX_TRY_OUT(DNNL(
            conv_pd_best(&hint, dnnl->engine, shape, FX_CONV_FORWARD, false, &mds, attr, NULL)));
    FX_TRY_OUT(DNNL(conv_pd_best(&pd, dnnl->engine, shape, direction, winograd, &mds, attr, hint)));
    FX_TRY_OUT(conv_from_pd(conv, dnnl->engine, pd, &mds, err));
out:
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    if (hint)
        dnnl_primitive_desc_destroy(hint);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    conv_mds_fini(&mds);
    if (status != FX_OK) {
        fx_dnnl_conv_destroy(conv);
        *out = NULL;
    }
    return status;
}

void fx_dnnl_conv_destroy(struct fx_dnnl_conv *conv)
{
    if (!conv)
        return;
    for (int i = 0; i < N_MEMORY; i++)
        if (conv->memory[i])
            dnnl_memory_destroy(conv->memory[i]);
    if (conv->master)
        dnnl_memory_destroy(conv->master);
    if (conv->primitive)
        dnnl_primitive_destroy(conv->primitive);
    if (conv->reorder)
        dnnl_primitive_destroy(conv->reorder);
    free(conv);
}

enum { WORKSPACE_ALIGN = 4096 };

static size_t round_up(size_t n)
{
    return (n + WORKSPACE_ALIGN - 1) / WORKSPACE_ALIGN * WORKSPACE_ALIGN;
}

size_t fx_dnnl_conv_workspace(const struct fx_dnnl_conv *conv)
{
    return round_up(conv->weights_bytes) + conv->scratch_bytes;
}

const char *fx_dnnl_conv_name(const struct fx_dnnl_conv *conv)
{
    return conv->name;
}

static enum fx_status run_reorder(const struct fx_dnnl_conv *conv, dnnl_stream_t stream,
                                  struct fx_err *err)
{
    bool back = conv->direction == FX_CONV_WEIGHTS;
    dnnl_exec_arg_t args[2] = {
        { DNNL_ARG_FROM, back ? conv->memory[WEIGHTS] : conv->master },
        { DNNL_ARG_TO, back ? conv->master : conv->memory[WEIGHTS] },
    };

    return DNNL(dnnl_primitive_execute(conv->reorder, stream, 2, args));
}

enum fx_status fx_dnnl_conv_run(const struct fx_dnnl_conv *conv, struct fx_dnnl_stream *stream,
                                void *src, float *weights, void *dst, void *workspace,
                                struct fx_err *err)
{
    void *data[N_MEMORY] = {
        [SRC] = src,
        [WEIGHTS] = conv->reorder ? workspace : (void *)weights,
        [DST] = dst,
        [SCRATCH] = (char *)workspace + round_up(conv->weights_bytes),
    };
    dnnl_exec_arg_t args[N_MEMORY];

    for (int i = 0; i < N_MEMORY; i++) {
        FX_TRY(DNNL(dnnl_memory_set_data_handle(conv->memory[i], data[i])));
        args[i] = (dnnl_exec_arg_t){ conv->args[i], conv->memory[i] };
    }
    if (conv->reorder) {
        FX_TRY(DNNL(dnnl_memory_set_data_handle(conv->master, weights)));
        if (conv->direction != FX_CONV_WEIGHTS)
            FX_TRY(run_reorder(conv, stream->stream, err));
    }
    FX_TRY(DNNL(dnnl_primitive_execute(conv->primitive, stream->stream, N_MEMORY, args)));
    if (conv->reorder && conv->direction == FX_CONV_WEIGHTS)
        FX_TRY(run_reorder(conv, stream->stream, err));
    return DNNL(dnnl_stream_wait(stream->stream));
}

enum fx_status fx_dnnl_gemm(const struct fx_dnnl_gemm *g, struct fx_err *err)
{
    return DNNL(dnnl_sgemm(g->trans_a ? 'T' : 'N', g->trans_b ? 'T' : 'N', g->m, g->n, g->k, 1.0f,
                           g->a, g->lda, g->b, g->ldb, g->beta, g->c, g->ldc));
}
