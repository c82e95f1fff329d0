/* The policies' decisions for one image: private to lib/data. */
#ifndef FX_DATA_AUGMENT_POLICY_INTERNAL_H
#define FX_DATA_AUGMENT_POLICY_INTERNAL_H

#include "data/augment.h"

/* fx_augment_decide: fills ops and erase box of a row whose image is set and that has none yet. */
void fx_augment_decide(enum fx_augment_policy policy, uint64_t seed, uint32_t epoch,
                       struct fx_augment_row *row);

#endif
