/* Dtypes: their sizes, their safetensors names, and the way from each of them to f32. */
#include "tensor/tensor.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    size_t bytes;
} dtypes[FX_N_DTYPES] = {
    [FX_U64] = { "U64", 8 },         [FX_I64] = { "I64", 8 },   [FX_F64] = { "F64", 8 },
    [FX_C64] = { "C64", 8 },         [FX_F32] = { "F32", 4 },   [FX_U32] = { "U32", 4 },
    [FX_I32] = { "I32", 4 },         [FX_BF16] = { "BF16", 2 }, [FX_F16] = { "F16", 2 },
    [FX_U16] = { "U16", 2 },         [FX_I16] = { "I16", 2 },   [FX_F8_E4M3] = { "F8_E4M3", 1 },
    [FX_F8_E5M2] = { "F8_E5M2", 1 }, [FX_I8] = { "I8", 1 },     [FX_U8] = { "U8", 1 },
    [FX_BOOL] = { "BOOL", 1 },
};

size_t fx_dtype_bytes(enum fx_dtype dtype)
{
    return dtypes[dtype].bytes;
}

const char *fx_dtype_name(enum fx_dtype dtype)
{
    return dtypes[dtype].name;
}

bool fx_dtype_from_name(const char *name, size_t n, enum fx_dtype *dtype)
{
    for (int i = 0; i < FX_N_DTYPES; i++) {
        if (strlen(dtypes[i].name) == n && memcmp(dtypes[i].name, name, n) == 0) {
            *dtype = (enum fx_dtype)i;
            return true;
        }
    }
    return false;
}

char *fx_shape_text(int n_dims, const int64_t *shape, char *buf, size_t n)
{
    size_t used = (size_t)snprintf(buf, n, "(");

    for (int i = 0; i < n_dims && used < n; i++)
        used += (size_t)snprintf(buf + used, n - used, "%s%lld", i > 0 ? ", " : "",
                                 (long long)shape[i]);
    if (used < n)
        snprintf(buf + used, n - used, n_dims == 1 ? ",)" : ")");
    return buf;
}

/* ---- to f32 -----------------------------------------------------------------------------------
 */

/* binary16 by its fields: 1 sign, 5 exponent (bias 15), 10 fraction bits. */
float fx_f16_to_f32(uint16_t bits)
{
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    float magnitude;

    if (exponent == 31)
        magnitude = fraction != 0 ? NAN : INFINITY;
    else if (exponent == 0)
        magnitude = ldexpf((float)fraction, -24);
    else
        magnitude = ldexpf((float)(fraction + 1024), exponent - 25);
    return bits >> 15 ? -magnitude : magnitude;
}

static float f64_to_f32(double value, bool *inexact)
{
    float result = (float)value;

    if (!isnan(value) && (double)result != value)
        *inexact = true;
    return result;
}

static float int_to_f32(__int128 value, bool *inexact)
{
    float result = (float)value;

    if ((__int128)result != value)
        *inexact = true;
    return result;
}

static float element(enum fx_dtype dtype, const void *src, size_t i, bool *inexact)
{
    const char *at = (const char *)src + i * fx_dtype_bytes(dtype);
    union {
        uint64_t u64;
        int64_t i64;
        double f64;
        float f32;
        uint32_t u32;
        int32_t i32;
        uint16_t u16;
        int16_t i16;
        int8_t i8;
        uint8_t u8;
    } v = { 0 };

    memcpy(&v, at, fx_dtype_bytes(dtype));
    switch (dtype) {
    case FX_U64:
        return int_to_f32(v.u64, inexact);
    case FX_I64:
        return int_to_f32(v.i64, inexact);
    case FX_F64:
        return f64_to_f32(v.f64, inexact);
    case FX_U32:
        return int_to_f32(v.u32, inexact);
    case FX_I32:
        return int_to_f32(v.i32, inexact);
    case FX_BF16:
        return fx_bf16_to_f32(v.u16);
    case FX_F16:
        return fx_f16_to_f32(v.u16);
    case FX_U16:
        return v.u16;
    case FX_I16:
        return v.i16;
    case FX_I8:
        return v.i8;
    case FX_U8:
        return v.u8;
    case FX_BOOL:
        return v.u8 != 0;
    default:
        return v.f32;
    }
}

enum fx_status fx_convert_to_f32(enum fx_dtype dtype, const void *src, size_t n, float *dst,
                                 bool *inexact, struct fx_err *err)
{
    *inexact = false;
    if (dtype == FX_C64 || dtype == FX_F8_E4M3 || dtype == FX_F8_E5M2)
        return fx_fail(err, FX_EINPUT, "no conversion from %s to F32", fx_dtype_name(dtype));
    if (dtype == FX_F32) {
        memcpy(dst, src, n * sizeof *dst);
        return FX_OK;
    }
    for (size_t i = 0; i < n; i++)
        dst[i] = element(dtype, src, i, inexact);
    return FX_OK;
}

size_t fx_tensor_count_nonfinite(const struct fx_tensor *tensor)
{
    enum fx_dtype dtype = tensor->dtype;
    size_t n = tensor->n_bytes / fx_dtype_bytes(dtype), count = 0;
    bool inexact;

    if (dtype != FX_F64 && dtype != FX_F32 && dtype != FX_BF16 && dtype != FX_F16)
        return 0;
    for (size_t i = 0; i < n; i++)
        count += !isfinite(element(dtype, tensor->data, i, &inexact));
    return count;
}
