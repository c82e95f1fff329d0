/* Sets of cuDNN's descriptors: created, filled, read and destroyed together. */
#include "backend/cuda/vendor/cudnn_descriptor_internal.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Keeps the first failure, with the last line of cuDNN's own account of it. */
static void note(struct fx_descriptors *set, cudnnStatus_t status)
{
    char text[1024] = "";

    if (status == CUDNN_STATUS_SUCCESS || set->status != CUDNN_STATUS_SUCCESS)
        return;
    set->status = status;
    cudnnGetLastErrorString(text, sizeof text);
    size_t n = strcspn(text, "\n");
    snprintf(set->why, sizeof set->why, "%s%s%.*s", cudnnGetErrorString(status), n > 0 ? ": " : "",
             (int)n, text);
}

void fx_descriptors_cut(struct fx_descriptors *set, int n)
{
    /* Backwards: a descriptor refers to earlier ones. */
    while (set->n > n)
        cudnnBackendDestroyDescriptor(set->items[--set->n]);
    set->status = CUDNN_STATUS_SUCCESS;
}

void fx_descriptors_fini(struct fx_descriptors *set)
{
    fx_descriptors_cut(set, 0);
    free(set->items);
    *set = (struct fx_descriptors){ 0 };
}

static bool has_room(struct fx_descriptors *set)
{
    if (set->n < set->cap)
        return true;
    int cap = set->cap > 0 ? 2 * set->cap : 16;
    void *items = realloc(set->items, (size_t)cap * sizeof *set->items);
    if (!items) {
        note(set, CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED);
        return false;
    }
    set->items = items;
    set->cap = cap;
    return true;
}

cudnnBackendDescriptor_t fx_descriptor_begin(struct fx_descriptors *set,
                                             cudnnBackendDescriptorType_t type)
{
    cudnnBackendDescriptor_t descriptor = NULL;

    if (set->status != CUDNN_STATUS_SUCCESS || !has_room(set))
        return NULL;
    note(set, cudnnBackendCreateDescriptor(type, &descriptor));
    if (set->status == CUDNN_STATUS_SUCCESS)
        set->items[set->n++] = descriptor;
    return descriptor;
}

void fx_descriptor_end(struct fx_descriptors *set, cudnnBackendDescriptor_t descriptor)
{
    if (set->status == CUDNN_STATUS_SUCCESS)
        note(set, cudnnBackendFinalize(descriptor));
}

void fx_descriptor_put(struct fx_descriptors *set, cudnnBackendDescriptor_t descriptor,
                       cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                       int64_t n, const void *values)
{
    if (set->status == CUDNN_STATUS_SUCCESS)
        note(set, cudnnBackendSetAttribute(descriptor, name, type, n, values));
}

void fx_descriptor_put_integer(struct fx_descriptors *set, cudnnBackendDescriptor_t descriptor,
                               cudnnBackendAttributeName_t name, int64_t value)
{
    fx_descriptor_put(set, descriptor, name, CUDNN_TYPE_INT64, 1, &value);
}

void fx_descriptor_put_other(struct fx_descriptors *set, cudnnBackendDescriptor_t descriptor,
                             cudnnBackendAttributeName_t name, cudnnBackendDescriptor_t other)
{
    fx_descriptor_put(set, descriptor, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &other);
}

int64_t fx_descriptor_get(struct fx_descriptors *set, cudnnBackendDescriptor_t descriptor,
                          cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                          int64_t max, void *values)
{
    int64_t n = 0;

    if (set->status == CUDNN_STATUS_SUCCESS)
        note(set, cudnnBackendGetAttribute(descriptor, name, type, max, &n, values));
    if (set->status != CUDNN_STATUS_SUCCESS)
        return 0;
    return max > 0 && n > max ? max : n; /* a newer library may have more than its header knew */
}
