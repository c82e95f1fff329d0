/* Little-endian fields and signatures of the zip format, shared by its reader and its writer. */
#ifndef FX_ARCHIVE_ZIP_BYTES_INTERNAL_H
#define FX_ARCHIVE_ZIP_BYTES_INTERNAL_H

#include <stdint.h>

enum {
    FX_ZIP_LOCAL = 0x04034b50,
    FX_ZIP_CENTRAL = 0x02014b50,
    FX_ZIP_END = 0x06054b50,
    FX_ZIP_END64 = 0x06064b50,
    FX_ZIP_LOCATOR64 = 0x07064b50,
    FX_ZIP_DESCRIPTOR = 0x08074b50,
};

static inline uint16_t fx_zip_u16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

static inline uint32_t fx_zip_u32(const uint8_t *at)
{
    return fx_zip_u16(at) | (uint32_t)fx_zip_u16(at + 2) << 16;
}

static inline uint64_t fx_zip_u64(const uint8_t *at)
{
    return fx_zip_u32(at) | (uint64_t)fx_zip_u32(at + 4) << 32;
}

#endif
