/* extreme.h -- the largest or smallest elements of lines, shared by max, min, argmax, argmin. */
#ifndef KK_EXTREME_H
#define KK_EXTREME_H

#include "op/axis.h"

/* For every line of input 0 along option 0: the place of its extreme in at and kept, its value in y. Any of the
** three may be NULL. The first of equals; the first nan where there is one. */
void kk_extreme_lines(kk_call *c, bool largest, kk_tensor *y, kk_tensor *at, kk_tensor *kept);

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
