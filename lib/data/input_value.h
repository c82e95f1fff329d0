/* From a byte of an augmented image to the number that the network sees; shared by the host and the
 * CUDA kernels. */
#ifndef FX_DATA_INPUT_VALUE_H
#define FX_DATA_INPUT_VALUE_H

#include "base/host_device.h"

#include <stdint.h>

/* Rounded as PyTorch's ToTensor and Normalize round. */
static inline FX_HD float fx_input_normalized(uint8_t value, float mean, float std)
{
    return ((float)value / 255.0f - mean) / std;
}

/* Mixup: lam * x + (1 - lam) * the partner's. */
static inline FX_HD float fx_input_mixup(float lam, float own, float partner)
{
    return lam * own + (1.0f - lam) * partner;
}

#endif
