#include "tensor/raw.h"

#include <string.h>

enum { RAW_F16, RAW_BF16, RAW_F32, RAW_F64, RAW_I8, RAW_I16, RAW_U16, RAW_I32, RAW_U32, RAW_I64, RAW_U8, RAW_BOOL, RAW_N };

static const kk_raw raws[RAW_N] = {
  [RAW_F16] = {"F16", "<f2", 2, KK_F32},  [RAW_BF16] = {"BF16", NULL, 2, KK_F32}, [RAW_F32] = {"F32", "<f4", 4, KK_F32},
  [RAW_F64] = {"F64", "<f8", 8, KK_F32},  [RAW_I8] = {"I8", "|i1", 1, KK_I32},    [RAW_I16] = {"I16", "<i2", 2, KK_I32},
  [RAW_U16] = {"U16", "<u2", 2, KK_I32},  [RAW_I32] = {"I32", "<i4", 4, KK_I32},  [RAW_U32] = {"U32", "<u4", 4, KK_I64},
  [RAW_I64] = {"I64", "<i8", 8, KK_I64},  [RAW_U8] = {"U8", "|u1", 1, KK_U8},     [RAW_BOOL] = {"BOOL", "|b1", 1, KK_U8},
};

const kk_raw *kk_raw_safetensors(const char *name, size_t n) {
  for (int i = 0; i < RAW_N; i++)
    if (strlen(raws[i].safetensors) == n && memcmp(raws[i].safetensors, name, n) == 0) return &raws[i];
  return NULL;
}

const kk_raw *kk_raw_npy(const char *name, size_t n) {
  for (int i = 0; i < RAW_N; i++)
    if (raws[i].npy && strlen(raws[i].npy) == n && memcmp(raws[i].npy, name, n) == 0) return &raws[i];
  return NULL;
}

const kk_raw *kk_raw_of(kk_dtype d) {
  switch (d) {
    case KK_F32: return &raws[sizeof(kk_real) == 8 ? RAW_F64 : RAW_F32];
    case KK_I32: return &raws[RAW_I32];
    case KK_I64: return &raws[RAW_I64];
    default: return &raws[RAW_U8];
  }
}

/* IEEE 754 binary16: sign, 5 bits of exponent, 10 of fraction. */
static float raw_half(uint16_t h) {
  uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 0x3FF, bits;
  float v;
  if (exponent == 0) {
    v = (float)fraction * 0x1p-24f;
    return sign ? -v : v;
  }
  bits = sign | (exponent == 31 ? 0xFFu << 23 : (exponent + 112) << 23) | fraction << 13;
  memcpy(&v, &bits, 4);
  return v;
}

#define RAW_EACH(from, to, value)             \
  for (int64_t i = 0; i < n; i++) {           \
    from v;                                   \
    memcpy(&v, p + (size_t)i * sizeof v, sizeof v); \
    ((to *)dst)[i] = (to)(value);             \
  }                                           \
  break

void kk_raw_read(const kk_raw *r, const void *src, int64_t n, void *dst) {
  const char *p = src;
  if (r == kk_raw_of(r->as) && n) {
    memcpy(dst, src, (size_t)n * r->size);
    return;
  }
  switch ((int)(r - raws)) {
    case RAW_F16: RAW_EACH(uint16_t, kk_real, raw_half(v));
    case RAW_BF16:
      for (int64_t i = 0; i < n; i++) {
        uint32_t bits = (uint32_t)(uint8_t)p[2 * i] << 16 | (uint32_t)(uint8_t)p[2 * i + 1] << 24;
        float v;
        memcpy(&v, &bits, 4);
        ((kk_real *)dst)[i] = (kk_real)v;
      }
      break;
    case RAW_F32: RAW_EACH(float, kk_real, v);
    case RAW_F64: RAW_EACH(double, kk_real, v);
    case RAW_I8: RAW_EACH(int8_t, int32_t, v);
    case RAW_I16: RAW_EACH(int16_t, int32_t, v);
    case RAW_U16: RAW_EACH(uint16_t, int32_t, v);
    case RAW_U32: RAW_EACH(uint32_t, int64_t, v);
    case RAW_BOOL: RAW_EACH(uint8_t, uint8_t, v != 0);
    default: break;
  }
}

bool kk_raw_bytes(const kk_shape *s, size_t size, uint64_t *bytes) {
  uint64_t n = size;
  bool empty = false;
  for (int d = 0; d < s->ndim; d++) {
    if (s->n[d] < 0) return false;
    if (s->n[d] == 0) empty = true;
  }
  for (int d = 0; d < s->ndim && !empty; d++)
    if (__builtin_mul_overflow(n, (uint64_t)s->n[d], &n) || n > (uint64_t)1 << 62) return false;
  *bytes = empty ? 0 : n;
  return true;
}
