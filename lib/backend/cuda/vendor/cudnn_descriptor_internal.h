/* Private to the cuDNN door: sets of cuDNN's descriptors, the objects its graph API is made of.
 *
 * A set owns every descriptor begun in it.  Failure is sticky: after the first one every call does
 * nothing, so that a graph reads as a drawing; `status` is looked at once, at the end. */
#ifndef FX_BACKEND_CUDA_VENDOR_CUDNN_DESCRIPTOR_INTERNAL_H
#define FX_BACKEND_CUDA_VENDOR_CUDNN_DESCRIPTOR_INTERNAL_H

#include "backend/cuda/vendor/cudnn_api_internal.h"
#include <stdint.h>

enum { FX_DESCRIPTORS_WHY_BYTES = 256 };

/* Zeroed: empty. */
struct fx_descriptors {
    cudnnBackendDescriptor_t *items; /* owned, and what they refer to */
    int n, cap;
    cudnnStatus_t status;               /* of the first failure */
    char why[FX_DESCRIPTORS_WHY_BYTES]; /* cuDNN's words for it, one line */
};

/* fx_descriptors_cut: destroys all but the first n, and forgets a failure. */
void fx_descriptors_cut(struct fx_descriptors *set, int n);
void fx_descriptors_fini(struct fx_descriptors *set);

/* fx_descriptor_begin: a new descriptor, to be given attributes and then ended; NULL after a
 * failure. */
cudnnBackendDescriptor_t fx_descriptor_begin(struct fx_descriptors *set,
                                             cudnnBackendDescriptorType_t type);
void fx_descriptor_end(struct fx_descriptors *set, cudnnBackendDescriptor_t descriptor);

/* Setting attributes: n values of the type that `type` names; one integer; one other descriptor. */
void fx_descriptor_put(struct fx_descriptors *set, cudnnBackendDescriptor_t descriptor,
                       cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                       int64_t n, const void *values);
void fx_descriptor_put_integer(struct fx_descriptors *set, cudnnBackendDescriptor_t descriptor,
                               cudnnBackendAttributeName_t name, int64_t value);
void fx_descriptor_put_other(struct fx_descriptors *set, cudnnBackendDescriptor_t descriptor,
                             cudnnBackendAttributeName_t name, cudnnBackendDescriptor_t other);

/* fx_descriptor_get: up to max values of an attribute; returns how many were written, or with a max
 * of 0 how many there are; 0 after a failure.  Descriptors are copied into ones that were begun
 * before. */
int64_t fx_descriptor_get(struct fx_descriptors *set, cudnnBackendDescriptor_t descriptor,
                          cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                          int64_t max, void *values);

#endif
