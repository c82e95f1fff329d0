/* The plan against the machine. */
#include "run/memory.h"

#include "base/log.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

size_t fx_memory_plan_model(const struct fx_memory_plan *plan)
{
    const struct fx_memory *m = &plan->model;

    return m->parameters + m->gradients + m->optimizer + m->activations + m->workspace +
           plan->images;
}

size_t fx_memory_plan_total(const struct fx_memory_plan *plan)
{
    return fx_memory_plan_model(plan) + plan->batches + plan->experts;
}

/* The number after `key` in a file of "key number" lines (key "": the first number); SIZE_MAX when
 * there is none ("max", no such file). */
static size_t read_number(const char *path, const char *key)
{
    FILE *in = fopen(path, "r");
    char line[256];
    size_t n_key = strlen(key), value = SIZE_MAX;

    while (in && fgets(line, sizeof line, in)) {
        char *end;
        if (strncmp(line, key, n_key) != 0)
            continue;
        unsigned long long number = strtoull(line + n_key, &end, 10);
        if (end != line + n_key)
            value = (size_t)number;
        break;
    }
    if (in)
        fclose(in);
    return value;
}

/* What one control group leaves: its limit less its use, not counting file pages it can drop. */
static size_t group_left(const char *group, const char *limit_name, const char *use_name,
                         const char *inactive_key)
{
    char path[1024];

    snprintf(path, sizeof path, "%s/%s", group, limit_name);
    size_t limit = read_number(path, "");
    if (limit == SIZE_MAX || limit > (size_t)INT64_MAX / 2)
        return SIZE_MAX;
    snprintf(path, sizeof path, "%s/%s", group, use_name);
    size_t use = read_number(path, "");
    snprintf(path, sizeof path, "%s/memory.stat", group);
    size_t inactive = read_number(path, inactive_key);
    use = use == SIZE_MAX ? 0 : use;
    inactive = inactive == SIZE_MAX || inactive > use ? 0 : inactive;
    return limit > use - inactive ? limit - (use - inactive) : 0;
}

/* The least that the groups from `path` up to the root leave. */
static size_t groups_left(const char *root, char *path, const char *limit_name,
                          const char *use_name, const char *inactive_key)
{
    char group[768];
    size_t least = SIZE_MAX;

    for (;;) {
        snprintf(group, sizeof group, "%s%s", root, path);
        size_t left = group_left(group, limit_name, use_name, inactive_key);
        least = left < least ? left : least;
        char *slash = strrchr(path, '/');
        if (!slash)
            return least;
        *slash = '\0';
    }
}

/* Both generations of control groups, as /proc/self/cgroup names them. */
static size_t cgroup_left(void)
{
    FILE *in = fopen("/proc/self/cgroup", "r");
    char line[512];
    size_t least = SIZE_MAX;

    while (in && fgets(line, sizeof line, in)) {
        size_t left = SIZE_MAX;
        char *path = strchr(line, '/');
        line[strcspn(line, "\n")] = '\0';
        if (!path)
            continue;
        if (strncmp(line, "0::", 3) == 0)
            left = groups_left("/sys/fs/cgroup", path, "memory.max", "memory.current",
                               "inactive_file ");
        else if (strstr(line, ":memory:"))
            left = groups_left("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes",
                               "memory.usage_in_bytes", "total_inactive_file ");
        least = left < least ? left : least;
    }
    if (in)
        fclose(in);
    return least;
}

static size_t address_space_left(void)
{
    struct rlimit limit;
    size_t used_kib = read_number("/proc/self/status", "VmSize:");

    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return SIZE_MAX;
    size_t used = used_kib == SIZE_MAX ? 0 : used_kib * 1024;
    return limit.rlim_cur > used ? limit.rlim_cur - used : 0;
}

/* What nobody plans: libraries that are loaded later, code that oneDNN makes, what they do not look
 * for and crash without.  Of address space, a stack of 8 MiB and an arena of 64 MiB of malloc for
 * the first thread as well. */
enum { THREAD_SPACE_BYTES = 72 << 20 };
enum { RESERVE_BYTES = 32 << 20, RESERVE_SPACE_BYTES = RESERVE_BYTES + THREAD_SPACE_BYTES };

size_t fx_memory_available(const char **limit)
{
    size_t reserve = RESERVE_BYTES;
    size_t kib = read_number("/proc/meminfo", "MemAvailable:");
    size_t least = kib == SIZE_MAX ? SIZE_MAX : kib * 1024;
    size_t group = cgroup_left(), space = address_space_left();

    *limit = "free memory";
    if (group < least) {
        least = group;
        *limit = "the control group's limit";
    }
    if (space < least) {
        least = space;
        reserve = RESERVE_SPACE_BYTES;
        *limit = "the address space limit (ulimit -v)";
    }
    return least > reserve ? least - reserve : 0;
}

/* "51 MiB", "1.52 GiB". */
struct size_text {
    char text[24];
};

static struct size_text size_text(size_t bytes)
{
    struct size_text size;

    if (bytes < (size_t)1 << 30)
        snprintf(size.text, sizeof size.text, "%.0f MiB", (double)bytes / (1 << 20));
    else
        snprintf(size.text, sizeof size.text, "%.2f GiB", (double)bytes / (1 << 30));
    return size;
}

static void log_plan(const struct fx_memory_plan *plan)
{
    const struct fx_memory *m = &plan->model;

    fx_log_info("memory: %s planned: parameters %s, gradients %s, optimizer %s, activations %s, "
                "workspace %s, batches %s, experts' stream %s",
                size_text(fx_memory_plan_total(plan)).text, size_text(m->parameters).text,
                size_text(m->gradients).text, size_text(m->optimizer).text,
                size_text(m->activations).text, size_text(m->workspace).text,
                size_text(plan->batches).text, size_text(plan->experts).text);
    if (plan->on_device)
        fx_log_info("memory: of it %s on the device, with the images (%s); %s are free there",
                    size_text(fx_memory_plan_model(plan)).text, size_text(plan->images).text,
                    size_text(plan->device_left).text);
}

static enum fx_status refuse(size_t needed, const char *limit, size_t available, int64_t batch,
                             struct fx_err *err)
{
    return fx_fail(err, FX_EFAIL,
                   "memory: the run needs %s and %s is %s: reduce --batch (now %lld)",
                   size_text(needed).text, limit, size_text(available).text, (long long)batch);
}

enum fx_status fx_memory_check(const struct fx_memory_plan *plan, int64_t batch, struct fx_err *err)
{
    const char *limit;
    size_t available = fx_memory_available(&limit), host = fx_memory_plan_total(plan);

    log_plan(plan);
    if (plan->on_device) {
        size_t device = fx_memory_plan_model(plan);

        if (device > plan->device_left)
            return refuse(device, "free memory of the device", plan->device_left, batch, err);
        host -= device;
    }
    return host <= available ? FX_OK : refuse(host, limit, available, batch, err);
}

enum fx_status fx_memory_check_threads(int n, struct fx_err *err)
{
    size_t left = address_space_left();
    size_t needed = RESERVE_SPACE_BYTES + (size_t)n * THREAD_SPACE_BYTES;

    if (left >= needed)
        return FX_OK;
    return fx_fail(err, FX_EFAIL,
                   "memory: %d threads need %s before the run does and the address space limit "
                   "(ulimit -v) leaves %s: raise it",
                   n, size_text(needed).text, size_text(left).text);
}
