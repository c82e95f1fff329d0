/* Reading a .pth: container, object, state dict, names. */
#include "archive/pth.h"

#include "archive/pth_file_internal.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

enum { WRAPPERS_MAX = 4 };

/* Keys under which training scripts keep the state dict, the averaged weights (timm, YOLO, BasicSR)
 * last, and what wrappers of a model put before its names: DataParallel, Opacus, torch.compile, a
 * model kept in another one (Lightning). */
static const char *const wrapper_keys[] = {
    "model_state_dict", "state_dict",     "net",       "model", "weights",   "params",
    "state_dict_ema",   "ema_state_dict", "model_ema", "ema",   "params_ema"
};
static const char *const prefixes[] = { "module.", "_module.", "_orig_mod.", "model.", "net." };

enum {
    N_WRAPPER_KEYS = sizeof wrapper_keys / sizeof *wrapper_keys,
    N_PREFIXES = sizeof prefixes / sizeof *prefixes,
};

bool fx_pth_is_pth(const uint8_t *bytes, size_t n_bytes)
{
    return fx_zip_is_zip(bytes, n_bytes) || fx_pth_is_legacy(bytes, n_bytes);
}

/* What stands under the first of wrapper_keys from *i on; NULL: nothing, under none of them. */
static struct fx_pickle_value *find_wrapped(const struct fx_pickle_value *wrapper, size_t *i)
{
    for (; *i < N_WRAPPER_KEYS; ++*i) {
        struct fx_pickle_value *inner = fx_pickle_get(wrapper, wrapper_keys[*i]);

        if (inner && (inner->kind == FX_PICKLE_DICT || fx_pth_is_module(inner)))
            return inner;
    }
    return NULL;
}

/* Goes down to the state dict; the plain values beside it become metadata. */
static enum fx_status unwrap(struct fx_pth_file *file, struct fx_pickle_value **value,
                             struct fx_err *err)
{
    for (int depth = 0; depth < WRAPPERS_MAX; depth++) {
        size_t i = 0, other;
        struct fx_pickle_value *inner = find_wrapped(*value, &i);

        if (!inner)
            break;
        other = i + 1;
        if (find_wrapped(*value, &other))
            fx_log_info("%s: takes the tensors under '%s', not those under '%s'", file->in->name,
                        wrapper_keys[i], wrapper_keys[other]);
        else
            fx_log_verbose("%s: takes the tensors under '%s'", file->in->name, wrapper_keys[i]);
        FX_TRY(fx_pth_put_scalars(file, *value, err));
        *value = inner;
    }
    return FX_OK;
}

/* Whether every name begins with the prefix and has something behind it. */
static bool all_have(const struct fx_tensor_set *set, const char *prefix)
{
    for (size_t i = 0; i < set->n_tensors; i++)
        if (strncmp(set->tensors[i].name, prefix, strlen(prefix)) != 0 ||
            set->tensors[i].name[strlen(prefix)] == '\0')
            return false;
    return set->n_tensors > 0;
}

static int by_length(const void *a, const void *b)
{
    const char *x = *(const char *const *)a, *y = *(const char *const *)b;
    size_t n_x = strlen(x), n_y = strlen(y);

    return (n_x > n_y) - (n_x < n_y);
}

/* Takes the prefix off every name, shorter names first: a name can only become one that was shorter
 * than itself, and that one has made room by then. */
static enum fx_status strip_prefix(struct fx_tensor_set *set, const char *prefix,
                                   struct fx_err *err)
{
    char **names = calloc(set->n_tensors + 1, sizeof *names);
    enum fx_status status = FX_OK;
    size_t n = 0;

    for (; names && n < set->n_tensors; n++)
        if (!(names[n] = strdup(set->tensors[n].name)))
            break;
    if (n < set->n_tensors)
        status = fx_fail(err, FX_EFAIL, "out of memory");
    else
        qsort(names, n, sizeof *names, by_length);
    for (size_t i = 0; status == FX_OK && i < n; i++) {
        const struct fx_tensor *tensor = fx_tensor_set_find(set, names[i]);
        status = fx_tensor_set_rename(set, (size_t)(tensor - set->tensors),
                                      names[i] + strlen(prefix), err);
    }
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
    return status;
}

static enum fx_status strip_prefixes(struct fx_tensor_set *set, const char *name,
                                     struct fx_err *err)
{
    for (size_t p = 0; p < N_PREFIXES;) {
        if (!all_have(set, prefixes[p])) {
            p++;
            continue;
        }
        fx_log_verbose("%s: strips '%s' from all names", name, prefixes[p]);
        if (strip_prefix(set, prefixes[p], err) != FX_OK)
            return fx_err_prepend(err, "%s: ", name);
        p = 0; /* prefixes stack: module._orig_mod. */
    }
    return FX_OK;
}

static enum fx_status read_file(struct fx_pth_file *file, struct fx_err *err)
{
    const struct fx_input *in = file->in;
    struct fx_pickle_value *object;

    if (fx_zip_is_zip(in->bytes, in->n_bytes))
        FX_TRY(fx_pth_open_zip(file, err));
    else if (fx_pth_is_legacy(in->bytes, in->n_bytes))
        FX_TRY(fx_pth_open_legacy(file, err));
    else
        return fx_fail(err, FX_EINPUT,
                       "%s: is no PyTorch checkpoint: neither a zip nor a stream "
                       "of torch.save",
                       in->name);
    object = file->pickle.root;
    FX_TRY(unwrap(file, &object, err));
    FX_TRY(fx_pth_walk(file, object, err));
    if (file->set->n_tensors == 0)
        return fx_fail(err, FX_EINPUT, "%s: holds no tensors", in->name);
    return strip_prefixes(file->set, in->name, err);
}

enum fx_status fx_pth_read(struct fx_tensor_set *set, const struct fx_input *in, struct fx_err *err)
{
    struct fx_pth_file file = { .in = in, .set = set };
    enum fx_status status;

    fx_tensor_set_init(set);
    file.n_copy_left = FX_PTH_COPY_BYTES;
    if (in->n_bytes < (SIZE_MAX - file.n_copy_left) / FX_PTH_COPY_FACTOR)
        file.n_copy_left += in->n_bytes * FX_PTH_COPY_FACTOR;
    status = read_file(&file, err);
    free(file.storages);
    fx_pickle_fini(&file.pickle);
    fx_pickle_fini(&file.keys);
    fx_zip_close(&file.zip);
    return status;
}
