/* Identifiers and projects. */
#include "track/wandb_internal.h"

#include "base/hash.h"
#include "base/utf8.h"
#include "net/arch.h"
#include "track/events.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ID_CHARS = 8, PROJECT_CHARS_MAX = 128, ID_CHARS_MAX = 64 };

/* The project of the architecture; experts of several, or of one unknown here, share one. */
static const char *project_of(const char *archs)
{
    const char *project = NULL;

    for (; archs; archs = fx_arch_next(archs)) {
        const struct fx_arch *arch = fx_arch_find(archs);
        if (!arch || (project && arch->network->wandb_project != project))
            return "MCN_Fusion";
        project = arch->network->wandb_project;
    }
    return project ? project : "MCN_Fusion";
}

/* Eight of [a-z0-9], as W&B makes them. */
static void id_of(const char *line, char id[FX_WANDB_TEXT_BYTES])
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    struct fx_sha256 hash;
    char text[FX_SHA256_TEXT_BYTES];

    fx_sha256_init(&hash);
    fx_sha256_update(&hash, line, strlen(line));
    fx_sha256_text(&hash, text);
    text[12] = '\0'; /* 48 bits make more than nine digits of base 36 */
    unsigned long long number = strtoull(text, NULL, 16);
    for (int i = 0; i < ID_CHARS; i++, number /= 36)
        id[i] = digits[number % 36];
    id[ID_CHARS] = '\0';
}

/* W&B refuses them only when the run is synced, days later: refuse them now. */
static enum fx_status check(const char *what, const char *text, size_t n_max, const char *forbidden,
                            struct fx_err *err)
{
    if (strlen(text) > n_max)
        return fx_fail(err, FX_EUSAGE, "%s '%s': more than %zu characters", what, text, n_max);
    if (text[strcspn(text, forbidden)] != '\0')
        return fx_fail(err, FX_EUSAGE, "%s '%s': must not contain any of %s", what, text,
                       forbidden);
    for (const char *c = text; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || *c == '\177')
            return fx_fail(err, FX_EUSAGE, "%s '%s': control characters", what, text);
    return FX_OK;
}

static void copy(char to[FX_WANDB_TEXT_BYTES], const char *from)
{
    snprintf(to, FX_WANDB_TEXT_BYTES, "%s", from);
    fx_utf8_trim(to);
}

static void name_of(const json_t *start, char name[FX_WANDB_TEXT_BYTES])
{
    const char *task = fx_event_text(start, "task"), *arch = fx_event_text(start, "arch");
    const char *fusion = fx_event_text(start, "fusion"), *expert = fx_event_text(start, "expert");
    const char *what = fusion ? fusion : expert;

    if (task)
        copy(name, task);
    else
        snprintf(name, FX_WANDB_TEXT_BYTES, "%s%s%s%s", arch ? arch : "run", what ? "-" : "",
                 !fusion && expert ? "expert-" : "", what ? what : "");
    fx_utf8_trim(name);
}

enum fx_status fx_wandb_identify(struct fx_wandb_identity *identity,
                                 const struct fx_wandb_options *options, const json_t *start,
                                 const char *start_line, struct fx_err *err)
{
    const char *project = options->project;

    *identity = (struct fx_wandb_identity){ 0 };
    project = project ? project : project_of(fx_event_text(start, "arch"));
    FX_TRY(check("project", project, PROJECT_CHARS_MAX, "/\\#?%:", err));
    copy(identity->project, project);
    if (options->run_id) {
        FX_TRY(check("run id", options->run_id, ID_CHARS_MAX, ":;,#?/'", err));
        copy(identity->id, options->run_id);
    } else {
        id_of(start_line, identity->id);
    }
    if (options->name)
        copy(identity->name, options->name);
    else
        name_of(start, identity->name);
    if (gethostname(identity->host, sizeof identity->host - 1) != 0)
        identity->host[0] = '\0';
    return FX_OK;
}
