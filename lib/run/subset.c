/* Which images: the parts of a data set that can be measured or trained on. */
#include "run/evaluate.h"

#include <stdlib.h>
#include <string.h>

enum fx_status fx_index_difference(struct fx_index_list from, struct fx_index_list drop,
                                   int64_t **numbers, int64_t *n, struct fx_err *err)
{
    int64_t *left = malloc((size_t)(from.n > 0 ? from.n : 1) * sizeof *left);
    int64_t n_left = 0;

    if (!left)
        return fx_fail(err, FX_EFAIL, "out of memory for the list of images");
    for (int64_t i = 0, j = 0; i < from.n; i++) {
        while (j < drop.n && drop.values[j] < from.values[i])
            j++;
        if (j == drop.n || drop.values[j] != from.values[i])
            left[n_left++] = from.values[i];
    }
    *numbers = left;
    *n = n_left;
    return FX_OK;
}

enum fx_status fx_index_but(const struct fx_dataset *dataset, struct fx_index_list drop,
                            int64_t **numbers, int64_t *n, struct fx_err *err)
{
    int64_t n_all = dataset->train.n;
    int64_t *all = malloc((size_t)n_all * sizeof *all);

    if (!all)
        return fx_fail(err, FX_EFAIL, "out of memory for the list of images");
    for (int64_t i = 0; i < n_all; i++)
        all[i] = i;
    enum fx_status status = fx_index_difference((struct fx_index_list){ .values = all, .n = n_all },
                                                drop, numbers, n, err);
    free(all);
    return status;
}

enum fx_status fx_subset_find(const struct fx_dataset *dataset, const char *name, int64_t limit,
                              struct fx_subset *subset, struct fx_err *err)
{
    bool is_test = strcmp(name, "test") == 0, is_val = strcmp(name, "val") == 0;
    bool is_holdout = strcmp(name, "holdout") == 0;
    const struct fx_index_list *list = is_val       ? &dataset->val
                                       : is_holdout ? &dataset->fusion_holdout
                                                    : NULL;

    *subset =
        (struct fx_subset){ .name = name, .images = is_test ? &dataset->test : &dataset->train };
    subset->numbers = list ? list->values : NULL;
    subset->n = list ? list->n : subset->images->n;
    if (limit > 0 && subset->n > limit)
        subset->n = limit;
    if (subset->n == 0)
        return fx_fail(err, FX_EUSAGE, "the data set has no %s images", name);
    return FX_OK;
}
