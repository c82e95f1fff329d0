/* Bit by bit: the records are short and few, a table would be longer than they are. */
#include "track/crc32c_internal.h"

static const uint32_t polynomial = 0x82f63b78; /* reflected */

uint32_t fx_crc32c(const void *bytes, size_t n)
{
    const uint8_t *at = bytes;
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < n; i++) {
        crc ^= at[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? polynomial : 0);
    }
    return ~crc;
}
