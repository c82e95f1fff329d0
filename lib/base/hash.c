/* SHA-256 through libmd. */
#include "base/hash.h"

void fx_sha256_init(struct fx_sha256 *hash)
{
    SHA256Init(&hash->context);
}

void fx_sha256_update(struct fx_sha256 *hash, const void *bytes, size_t n)
{
    SHA256Update(&hash->context, bytes, n);
}

void fx_sha256_text(struct fx_sha256 *hash, char text[FX_SHA256_TEXT_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t digest[SHA256_DIGEST_LENGTH];

    SHA256Final(digest, &hash->context);
    for (int i = 0; i < SHA256_DIGEST_LENGTH; i++) {
        text[2 * i] = digits[digest[i] >> 4];
        text[2 * i + 1] = digits[digest[i] & 15];
    }
    text[2 * SHA256_DIGEST_LENGTH] = '\0';
}
