/* The cache of plans on disk: read leniently, written atomically. */
#include "backend/cuda/plan_cache.h"

#include "base/env.h"
#include "base/io.h"
#include "base/jsonl.h"
#include "base/log.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char kind[] = "cudnn-plans";
enum { VERSION = 1 };

/* ---- where ------------------------------------------------------------------------------------
 */

/* Owned; NULL where the environment names no place. */
static char *cache_path(void)
{
    const char *own = fx_env("FUSION_CACHE_DIR"), *xdg = fx_env("XDG_CACHE_HOME");
    const char *home = fx_env("HOME");
    char *path = NULL;
    int n = -1;

    if (own)
        n = asprintf(&path, "%s/cudnn-plans.json", own);
    else if (xdg)
        n = asprintf(&path, "%s/fusion-tools/cudnn-plans.json", xdg);
    else if (home)
        n = asprintf(&path, "%s/.cache/fusion-tools/cudnn-plans.json", home);
    return n < 0 ? NULL : path;
}

/* ---- reading ----------------------------------------------------------------------------------
 */

static bool is_ours(const json_t *root)
{
    const char *name = json_string_value(json_object_get(root, "fusion-tools"));

    return name && strcmp(name, kind) == 0 &&
           json_integer_value(json_object_get(root, "version")) == VERSION &&
           json_is_object(json_object_get(root, "devices"));
}

static json_t *empty_file(void)
{
    return json_pack("{s:s, s:i, s:{}}", "fusion-tools", kind, "version", VERSION, "devices");
}

static void complain(const char *path, const json_t *root, const json_error_t *why)
{
    if (!root)
        fx_log_info("%s: damaged (line %d: %s); cuDNN plans are chosen anew", path, why->line,
                    why->text);
    else
        fx_log_info("%s: not a cache of this version; cuDNN plans are chosen anew", path);
}

/* The content of the file, or an empty one; NULL when memory is short.  again: before it is
 * written, when what is wrong with it has been said. */
static json_t *read_file(const char *path, bool again)
{
    struct fx_input in;
    struct fx_err err = { 0 };
    json_t *root;
    json_error_t why;

    if (access(path, F_OK) != 0 && errno == ENOENT)
        return empty_file();
    if (fx_input_open(&in, path, &err) != FX_OK) {
        if (!again)
            fx_log_verbose("%s; cuDNN plans are chosen anew", err.msg);
        return empty_file();
    }
    enum fx_status status =
        fx_json_parse((const char *)in.bytes, in.n_bytes, JSON_REJECT_DUPLICATES, &root, &why);
    fx_input_close(&in);
    if (status == FX_EFAIL || (root && is_ours(root)))
        return root;
    if (!again)
        complain(path, root, &why);
    json_decref(root);
    return empty_file();
}

void fx_plan_cache_open(struct fx_plan_cache *cache, const char *device)
{
    *cache = (struct fx_plan_cache){ .path = cache_path(), .device = strdup(device) };
    if (!cache->path)
        fx_log_verbose("no FUSION_CACHE_DIR, XDG_CACHE_HOME or HOME: cuDNN plans are not kept");
    json_t *root = cache->path ? read_file(cache->path, false) : NULL;
    json_t *known = json_object_get(json_object_get(root, "devices"), device);
    cache->known = json_is_object(known) ? json_incref(known) : json_object();
    cache->fresh = json_object();
    json_decref(root);
}

void fx_plan_cache_close(struct fx_plan_cache *cache)
{
    json_decref(cache->known);
    json_decref(cache->fresh);
    free(cache->device);
    free(cache->path);
    *cache = (struct fx_plan_cache){ 0 };
}

/* ---- plans ------------------------------------------------------------------------------------
 */

const json_t *fx_plan_cache_find(const struct fx_plan_cache *cache, const char *plan)
{
    const json_t *fresh = json_object_get(cache->fresh, plan);

    return fresh ? fresh : json_object_get(cache->known, plan);
}

void fx_plan_cache_complain(const struct fx_plan_cache *cache, const char *plan)
{
    fx_log_info("%s: %s: damaged; the plan is chosen anew", cache->path, plan);
}

void fx_plan_cache_add(struct fx_plan_cache *cache, const char *plan, json_t *entry)
{
    json_object_set_new(cache->fresh, plan, entry);
}

/* ---- writing ----------------------------------------------------------------------------------
 */

/* The file's content with the fresh plans in it; owned, NULL when memory is short. */
static char *merged_text(const struct fx_plan_cache *cache)
{
    json_t *root = read_file(cache->path, true);
    json_t *devices = json_object_get(root, "devices");

    if (!json_is_object(json_object_get(devices, cache->device)))
        json_object_set_new(devices, cache->device, json_object());
    int failed = json_object_update(json_object_get(devices, cache->device), cache->fresh);
    char *text = failed ? NULL : fx_json_dump(root, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(root);
    return text;
}

static enum fx_status write_file(const char *path, const char *text, struct fx_err *err)
{
    struct fx_output out;
    char *copy = strdup(path);
    enum fx_status status = !copy ? fx_fail(err, FX_EFAIL, "%s: out of memory", path)
                                  : fx_make_dirs(dirname(copy), err);

    free(copy);
    if (status != FX_OK)
        return status;
    FX_TRY(fx_output_open(&out, path, false, err));
    status = fx_write_full(out.fd, text, strlen(text), path, err);
    if (status == FX_OK)
        return fx_output_commit(&out, err);
    fx_output_abandon(&out);
    return status;
}

void fx_plan_cache_save(struct fx_plan_cache *cache)
{
    struct fx_err err = { 0 };

    if (!cache->path || json_object_size(cache->fresh) == 0)
        return;
    char *text = merged_text(cache);
    if (!text)
        fx_log_verbose("%s: out of memory; cuDNN plans are not kept", cache->path);
    else if (write_file(cache->path, text, &err) != FX_OK)
        fx_log_verbose("%s; cuDNN plans are not kept", err.msg);
    json_object_update(cache->known, cache->fresh);
    json_object_clear(cache->fresh);
    free(text);
}
