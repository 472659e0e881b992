#include "base/sha256.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/stop.h"

/* FIPS 180-4, 4.2.2: the first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const uint32_t sha_k[64] = {
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t sha_turn(uint32_t x, int n) { return x >> n | x << (32 - n); }

/* FIPS 180-4, 6.2.2: one block of 64 bytes. */
static void sha_block(uint32_t h[8], const unsigned char *p) {
  uint32_t w[64], v[8];
  for (int t = 0; t < 16; t++)
    w[t] = (uint32_t)p[4 * t] << 24 | (uint32_t)p[4 * t + 1] << 16 | (uint32_t)p[4 * t + 2] << 8 | p[4 * t + 3];
  for (int t = 16; t < 64; t++) {
    uint32_t a = w[t - 15], b = w[t - 2];
    w[t] = w[t - 16] + w[t - 7] + (sha_turn(a, 7) ^ sha_turn(a, 18) ^ a >> 3) + (sha_turn(b, 17) ^ sha_turn(b,
        19) ^ b >> 10);
  }
  memcpy(v, h, sizeof v);
  for (int t = 0; t < 64; t++) {
    uint32_t a = v[0], e = v[4];
    uint32_t t1 = v[7] + (sha_turn(e, 6) ^ sha_turn(e, 11) ^ sha_turn(e,
        25)) + ((e & v[5]) ^ (~e & v[6])) + sha_k[t] + w[t];
    uint32_t t2 = (sha_turn(a, 2) ^ sha_turn(a, 13) ^ sha_turn(a, 22)) + ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
    memmove(v + 1, v, 7 * sizeof *v);
    v[4] += t1;
    v[0] = t1 + t2;
  }
  for (int i = 0; i < 8; i++) h[i] += v[i];
}

void kk_sha256_start(kk_sha256 *s) {
  static const uint32_t first[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c,
      0x1f83d9ab, 0x5be0cd19};
  memcpy(s->h, first, sizeof first);
  s->n = 0;
}

void kk_sha256_add(kk_sha256 *s, const void *data, size_t n) {
  const unsigned char *p = data;
  size_t used = (size_t)(s->n % 64);
  s->n += n;
  while (n) {
    size_t take = 64 - used < n ? 64 - used : n;
    memcpy(s->block + used, p, take);
    p += take;
    n -= take;
    used += take;
    if (used < 64) return;
    sha_block(s->h, s->block);
    used = 0;
  }
}

void kk_sha256_hex(kk_sha256 *s, char hex[65]) {
  uint64_t bits = s->n * 8;
  unsigned char pad[72] = {0x80};
  size_t zeros = (size_t)((119 - s->n % 64) % 64);      /* 0x80 and zeros up to 56 mod 64 */
  for (int i = 0; i < 8; i++) pad[zeros + 1 + (size_t)i] = (unsigned char)(bits >> (56 - 8 * i));
  kk_sha256_add(s, pad, zeros + 9);
  for (int i = 0; i < 8; i++) snprintf(hex + 8 * i, 9, "%08x", (unsigned)s->h[i]);
}

kk_status kk_sha256_file(const char *path, char hex[65], kk_err *e) {
  unsigned char block[65536];
  kk_sha256 s;
  kk_status st = KK_OK;
  size_t n;
  FILE *f = fopen(path, "rb");
  if (!f) return kk_fail_errno(e, errno, "%s", path);
  kk_sha256_start(&s);
  while (!st && (n = fread(block, 1, sizeof block, f)) > 0) {
    kk_sha256_add(&s, block, n);
    st = kk_stop_check(e, path);
  }
  if (!st && ferror(f)) st = kk_fail_errno(e, errno, "%s", path);
  fclose(f);
  if (!st) kk_sha256_hex(&s, hex);
  return st;
}
