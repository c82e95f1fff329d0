/* Cells are made first, then ordered, measured and printed. */
#include "track/top.h"

#include "base/utf8.h"
#include "track/run_scores_internal.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CELL_BYTES = 128, GAP = 2, NAME_COLUMNS_MIN = 12, COURSE_COLUMNS = 12 };

enum column { NAME, STATE, EPOCH, LOSS, FUSED, BEST, EXPERTS, ENSEMBLE, COURSE, RATE, ETA, SEEN };
enum { N_COLUMNS = SEEN + 1 };

static const struct {
    const char *title;
    const char *key; /* to order by it; NULL: not possible */
    bool is_left;
    bool is_falling; /* the highest value is the best */
    int rank;        /* the highest goes first where there is no room; 0: stays */
} columns[N_COLUMNS] = {
    [NAME] = { "RUN", "name", true, false, 0 },
    [STATE] = { "STATE", "state", true, false, 0 },
    [EPOCH] = { "EPOCH", "epoch", false, true, 0 },
    [LOSS] = { "LOSS", "loss", false, false, 4 },
    [FUSED] = { "FUSED", "fused", false, true, 0 },
    [BEST] = { "BEST", "best", false, true, 3 },
    [EXPERTS] = { "EXPERTS", "experts", true, true, 2 },
    [ENSEMBLE] = { "ENS", "ensemble", false, true, 5 },
    [COURSE] = { "COURSE", NULL, true, false, 7 },
    [RATE] = { "IMG/S", "rate", false, true, 6 },
    [ETA] = { "ETA", "eta", false, false, 1 },
    [SEEN] = { "SEEN", "seen", false, false, 8 },
};

struct row {
    const struct fx_run *run;
    char cell[N_COLUMNS][CELL_BYTES];
    double value[N_COLUMNS]; /* to order by; NaN: unknown, and last */
};

/* ---- cells ----------------------------------------------------------------------------------- */

static void put_number(char cell[CELL_BYTES], const char *format, double value)
{
    if (isfinite(value))
        snprintf(cell, CELL_BYTES, format, value); /* formats below hold one %f or %g */
    else
        snprintf(cell, CELL_BYTES, "-");
}

static void put_duration(char cell[CELL_BYTES], double seconds)
{
    long s = isfinite(seconds) ? lround(seconds) : -1;

    if (s < 0)
        snprintf(cell, CELL_BYTES, "-");
    else if (s >= 3600)
        snprintf(cell, CELL_BYTES, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(cell, CELL_BYTES, "%ld:%02ld", s / 60, s % 60);
}

/* How long ago the run said something: "5s", "3m", "2h", "4d". */
static void put_age(char cell[CELL_BYTES], double seconds)
{
    long s = seconds > 0 ? lround(seconds) : 0;

    if (s < 60)
        snprintf(cell, CELL_BYTES, "%lds", s);
    else if (s < 3600)
        snprintf(cell, CELL_BYTES, "%ldm", s / 60);
    else if (s < 48 * 3600)
        snprintf(cell, CELL_BYTES, "%ldh", s / 3600);
    else
        snprintf(cell, CELL_BYTES, "%ldd", s / 86400);
}

static void put_experts(char cell[CELL_BYTES], const struct fx_run *run, const json_t *last)
{
    size_t n = 0;

    cell[0] = '\0';
    if (!last || !fx_run_is_fusion(run))
        snprintf(cell, CELL_BYTES, "-");
    else
        for (int k = 0; k < run->n_experts && n < CELL_BYTES - 8; k++)
            n += (size_t)snprintf(cell + n, CELL_BYTES - n, "%s%.1f", k > 0 ? " " : "",
                                  fx_event_number_at(last, "expert_accuracy", (size_t)k));
}

/* The validation accuracy over the run, from its lowest to its highest value. */
static void put_course(char cell[CELL_BYTES], const struct fx_run *run)
{
    static const char *const blocks[] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
    size_t n = json_array_size(run->epochs), n_shown = n < COURSE_COLUMNS ? n : COURSE_COLUMNS;
    double low = INFINITY, high = -INFINITY, value[COURSE_COLUMNS];
    size_t at = 0;

    cell[0] = '\0';
    for (size_t i = 0; i < n_shown; i++) { /* the last of each equal part */
        const json_t *epoch = json_array_get(run->epochs, (i + 1) * n / n_shown - 1);
        value[i] = fx_event_number(epoch, "val_accuracy");
        low = fmin(low, value[i]);
        high = fmax(high, value[i]);
    }
    for (size_t i = 0; i < n_shown; i++) {
        double height = high > low ? (value[i] - low) / (high - low) : 0;
        at += (size_t)snprintf(cell + at, CELL_BYTES - at, "%s",
                               isfinite(height) ? blocks[lround(7 * height)] : " ");
    }
}

static double newest_loss(const struct fx_run *run, const json_t *last)
{
    bool is_newer =
        run->step && (!last || fx_event_number(run->step, "step") > fx_event_number(last, "step"));

    return is_newer ? fx_event_number(run->step, "loss_total")
                    : fx_event_number(last, "train_loss");
}

/* The values that rows are ordered by. */
static void fill_values(struct row *row, const struct fx_run *run, const json_t *last, double now)
{
    double *value = row->value;
    struct fx_scores best;

    fx_scores_best_epoch(run, &best);
    value[NAME] = 0; /* what decides where the other values are equal */
    value[STATE] = run->state != FX_RUN_RUNNING;
    value[EPOCH] = fx_event_number(last, "epoch");
    value[LOSS] = newest_loss(run, last);
    value[FUSED] = fx_event_number(last, "val_accuracy");
    value[BEST] = best.fused;
    value[EXPERTS] = 0;
    for (int k = 0; k < run->n_experts; k++)
        value[EXPERTS] += fx_event_number_at(last, "expert_accuracy", (size_t)k) / run->n_experts;
    value[ENSEMBLE] = fx_event_number(last, "ensemble_accuracy");
    if (!fx_run_is_fusion(run) || !last)
        value[EXPERTS] = value[ENSEMBLE] = NAN;
    value[RATE] = fx_event_number(last, "images_per_second");
    value[ETA] = fx_run_eta(run, now);
    value[SEEN] = now - (double)run->changed.tv_sec;
}

static void fill_row(struct row *row, const struct fx_run *run, double now)
{
    const json_t *last = fx_run_last_epoch(run);
    long long done = (long long)json_integer_value(json_object_get(last, "epoch"));

    row->run = run;
    fill_values(row, run, last, now);
    fx_quote(row->cell[NAME], CELL_BYTES, run->name);
    snprintf(row->cell[STATE], CELL_BYTES, "%s", fx_run_state_name(run->state));
    snprintf(row->cell[EPOCH], CELL_BYTES, "-");
    if (run->start && fx_run_n_epochs(run) > 0)
        snprintf(row->cell[EPOCH], CELL_BYTES, "%lld/%lld", done, (long long)fx_run_n_epochs(run));
    put_number(row->cell[LOSS], "%.3f", row->value[LOSS]);
    put_number(row->cell[FUSED], "%.2f", row->value[FUSED]);
    put_number(row->cell[BEST], "%.2f", row->value[BEST]);
    put_experts(row->cell[EXPERTS], run, last);
    put_number(row->cell[ENSEMBLE], "%.2f", row->value[ENSEMBLE]);
    put_course(row->cell[COURSE], run);
    put_number(row->cell[RATE], "%.1f", row->value[RATE]);
    put_duration(row->cell[ETA], row->value[ETA]);
    put_age(row->cell[SEEN], row->value[SEEN]);
}

/* ---- order ----------------------------------------------------------------------------------- */

static enum column column_of(const char *key)
{
    int c = 0;

    while (!columns[c].key || strcmp(columns[c].key, key) != 0)
        c++;
    assert(c < N_COLUMNS);
    return (enum column)c;
}

const char *fx_top_next_key(const char *key)
{
    static const char keys[] = FX_TOP_KEYS;
    const char *at = strstr(keys, key), *next = strchr(at, '|');
    size_t n = strcspn(next ? next + 1 : keys, "|");

    for (int c = 0; c < N_COLUMNS; c++)
        if (columns[c].key && strlen(columns[c].key) == n &&
            memcmp(columns[c].key, next ? next + 1 : keys, n) == 0)
            return columns[c].key;
    return key;
}

/* What is unknown is last either way; equal ones are in the order of their names. */
static int compare(const void *a, const void *b, void *view_)
{
    const struct row *x = a, *y = b;
    const struct fx_top_view *view = view_;
    enum column by = column_of(view->key);
    bool is_falling = columns[by].is_falling != view->is_reversed;
    double u = x->value[by], v = y->value[by];

    if (isnan(u) != isnan(v))
        return isnan(u) ? 1 : -1;
    if (u < v || u > v)
        return (u < v) != is_falling ? -1 : 1;
    int names = strverscmp(x->run->name, y->run->name);
    return by == NAME && view->is_reversed ? -names : names;
}

/* ---- layout ---------------------------------------------------------------------------------- */

/* Columns on the screen: every byte but those that continue a character. */
static int width_of(const char *text)
{
    int n = 0;

    for (; *text != '\0'; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static int total_width(const int *width)
{
    int total = -GAP;

    for (int c = 0; c < N_COLUMNS; c++)
        if (width[c] > 0)
            total += width[c] + GAP;
    return total;
}

/* Leaves out columns by rank until names have room, but not the one that decides the order, then
 * shortens names. */
static void lay_out(int *width, const struct row *rows, size_t n, const struct fx_top_view *view)
{
    for (int c = 0; c < N_COLUMNS; c++) {
        width[c] = width_of(columns[c].title);
        for (size_t i = 0; i < n; i++)
            if (width_of(rows[i].cell[c]) > width[c])
                width[c] = width_of(rows[i].cell[c]);
    }
    if (!view->unicode)
        width[COURSE] = 0;
    if (view->n_columns == 0)
        return;
    for (int rank = N_COLUMNS; rank > 0 && total_width(width) > view->n_columns; rank--)
        for (int c = 0; c < N_COLUMNS; c++)
            if (columns[c].rank == rank && c != (int)column_of(view->key))
                width[c] = 0;
    int over = total_width(width) - view->n_columns;
    if (over > 0)
        width[NAME] = width[NAME] - over > NAME_COLUMNS_MIN ? width[NAME] - over : NAME_COLUMNS_MIN;
}

static const char *colour_of(const struct fx_run *run)
{
    switch (run->state) {
    case FX_RUN_RUNNING:
        return "\033[1;36m";
    case FX_RUN_DONE:
        return "\033[32m";
    case FX_RUN_STOPPED:
        return "\033[33m";
    default:
        return "\033[31m";
    }
}

/* Prints at most `width` columns of the text, filled up with spaces. */
static void put_cell(FILE *out, const char *text, int width, bool is_left, bool is_last)
{
    int fill = width - width_of(text), n = 0;

    for (int i = 0; !is_left && i < fill; i++)
        fputc(' ', out);
    for (; *text != '\0'; text++) {
        n += ((unsigned char)*text & 0xc0) != 0x80;
        if (n > width)
            break;
        fputc(*text, out);
    }
    for (int i = 0; is_left && !is_last && i < fill; i++)
        fputc(' ', out);
}

/* A line of titles (row NULL) or of a run. */
static void put_line(FILE *out, const struct row *row, const int *width,
                     const struct fx_top_view *view)
{
    int last = N_COLUMNS - 1;

    while (width[last] == 0)
        last--;
    for (int c = 0; c <= last; c++) {
        bool is_ordered = c == (int)column_of(view->key);
        bool is_coloured = view->colour && (!row || c == STATE);
        if (width[c] == 0)
            continue;
        if (is_coloured)
            fputs(row ? colour_of(row->run) : is_ordered ? "\033[1;4m" : "\033[1m", out);
        put_cell(out, row ? row->cell[c] : columns[c].title, width[c], columns[c].is_left,
                 c == last);
        if (is_coloured)
            fputs("\033[0m", out);
        if (c < last)
            fprintf(out, "%*s", GAP, "");
    }
    fputc('\n', out);
}

/* ---- the table ------------------------------------------------------------------------------- */

static size_t fill_rows(struct row *rows, const struct fx_runs *runs,
                        const struct fx_top_view *view, double now)
{
    size_t n = 0;

    for (size_t i = 0; i < runs->n; i++)
        if (strcasestr(runs->run[i].name, view->filter))
            fill_row(&rows[n++], &runs->run[i], now);
    return n;
}

void fx_top_write(FILE *out, const struct fx_runs *runs, struct fx_top_view *view, double now)
{
    struct row *rows = calloc(runs->n + 1, sizeof *rows);
    int width[N_COLUMNS];

    if (!rows) {
        fputs("out of memory\n", out);
        return;
    }
    size_t n = fill_rows(rows, runs, view, now), n_room = n;
    qsort_r(rows, n, sizeof *rows, compare, view);
    lay_out(width, rows, n, view);
    if (view->n_lines > 0)
        n_room = view->n_lines > 1 ? (size_t)view->n_lines - 1 : 0;
    view->n_matching = n;
    view->n_shown = n < n_room ? n : n_room;
    if (view->first > n - view->n_shown)
        view->first = n - view->n_shown;
    put_line(out, NULL, width, view);
    for (size_t i = 0; i < view->n_shown; i++)
        put_line(out, &rows[view->first + i], width, view);
    free(rows);
}

void fx_top_count(FILE *out, const struct fx_runs *runs)
{
    const char *mark = ": ";

    fprintf(out, "%zu %s", runs->n, runs->n == 1 ? "run" : "runs");
    for (int state = FX_RUN_RUNNING; state <= FX_RUN_BROKEN; state++) {
        size_t n = 0;
        for (size_t i = 0; i < runs->n; i++)
            n += runs->run[i].state == (enum fx_run_state)state;
        if (n == 0)
            continue;
        fprintf(out, "%s%zu %s", mark, n, fx_run_state_name((enum fx_run_state)state));
        mark = ", ";
    }
}
