/* CRC-32C (Castagnoli), which zlib does not have; for the records of TensorBoard. */
#ifndef FX_TRACK_CRC32C_INTERNAL_H
#define FX_TRACK_CRC32C_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

/* fx_crc32c: the checksum of n bytes; of "123456789" it is 0xe3069283.  Source: RFC 3720, B.4. */
uint32_t fx_crc32c(const void *bytes, size_t n);

#endif
