/* SHA-256 as text: digests of data sets and checkpoints. */
#ifndef FX_BASE_HASH_H
#define FX_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sha2.h> /* libmd */

enum { FX_SHA256_TEXT_BYTES = 65 };

struct fx_sha256 {
    SHA2_CTX context;
};

void fx_sha256_init(struct fx_sha256 *hash);
void fx_sha256_update(struct fx_sha256 *hash, const void *bytes, size_t n);
/* 64 lower-case hexadecimal digits and a NUL. */
void fx_sha256_text(struct fx_sha256 *hash, char text[FX_SHA256_TEXT_BYTES]);

#endif
