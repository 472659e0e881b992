/* sha256.h -- SHA-256 (FIPS 180-4) of bytes and files. For naming things, not for secrets. */
#ifndef KK_SHA256_H
#define KK_SHA256_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct kk_sha256 {
  uint32_t h[8];
  uint64_t n;               /* bytes seen so far */
  unsigned char block[64];
} kk_sha256;

void kk_sha256_start(kk_sha256 *s);
void kk_sha256_add(kk_sha256 *s, const void *p, size_t n);
void kk_sha256_hex(kk_sha256 *s, char hex[65]);   /* ends it: 64 lower-case digits and a NUL */

kk_status kk_sha256_file(const char *path, char hex[65], kk_err *e);

#endif
