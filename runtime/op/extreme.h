/* extreme.h -- the place of the largest or smallest element of a line, shared by max, min, argmax, argmin. */
#ifndef KK_EXTREME_H
#define KK_EXTREME_H

#include "op/axis.h"

/* The first of equals; the first nan where there is one. */
#define KK_EXTREME(name, T, op)                                                     \
  static int64_t name(const T *x, int64_t n, int64_t stride) {                      \
    int64_t best = 0;                                                               \
    if (x[0] != x[0]) return 0;                                                     \
    for (int64_t i = 1; i < n; i++) {                                               \
      T v = x[i * stride];                                                          \
      if (v != v) return i;                                                         \
      if (v op x[best * stride]) best = i;                                          \
    }                                                                               \
    return best;                                                                    \
  }
#define KK_EXTREMES(name, op)                                                       \
  KK_EXTREME(name##_f, kk_real, op)                                                 \
  KK_EXTREME(name##_i, int32_t, op)                                                 \
  KK_EXTREME(name##_l, int64_t, op)                                                 \
  KK_EXTREME(name##_u, uint8_t, op)                                                 \
  static int64_t name(const kk_tensor *t, int64_t base, int64_t n, int64_t stride) { \
    switch (kk_type(t)) {                                                           \
      case KK_F32: return name##_f(kk_real_data(t) + base, n, stride);              \
      case KK_I32: return name##_i(kk_i32_data(t) + base, n, stride);               \
      case KK_I64: return name##_l((const int64_t *)kk_data(t) + base, n, stride);  \
      default: return name##_u((const uint8_t *)kk_data(t) + base, n, stride);      \
    }                                                                               \
  }

/* Copies one element between tensors of the same type. */
static inline void kk_extreme_copy(kk_tensor *to, int64_t i, const kk_tensor *from, int64_t k) {
  switch (kk_type(to)) {
    case KK_F32: kk_real_data(to)[i] = kk_real_data(from)[k]; break;
    case KK_I32: kk_i32_data(to)[i] = kk_i32_data(from)[k]; break;
    case KK_I64: ((int64_t *)kk_data(to))[i] = ((const int64_t *)kk_data(from))[k]; break;
    default: ((uint8_t *)kk_data(to))[i] = ((const uint8_t *)kk_data(from))[k];
  }
}

#endif
