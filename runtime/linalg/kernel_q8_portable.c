/* kernel_q8_portable.c -- the product of bytes as plain loops. */
#include "linalg/q8.h"

static bool portable_have(void) { return true; }

static void portable_tile(int rows, int64_t groups, const uint8_t *a, int64_t lda, const int8_t *b,
                          int32_t c[][KK_Q8_PANEL]) {
  for (int r = 0; r < rows; r++) {
    int32_t sum[KK_Q8_PANEL] = {0};
    for (int64_t g = 0; g < groups; g++) {
      const uint8_t *u = a + r * lda + g * KK_Q8_GROUP;
      const int8_t *w = b + g * KK_Q8_PANEL * KK_Q8_GROUP;
      for (int j = 0; j < KK_Q8_PANEL; j++)
        sum[j] += u[0] * w[4 * j] + u[1] * w[4 * j + 1] + u[2] * w[4 * j + 2] + u[3] * w[4 * j + 3];
    }
    for (int j = 0; j < KK_Q8_PANEL; j++) c[r][j] = sum[j];
  }
}

const kk_q8_kernel kk_q8_portable = {"portable", portable_have, portable_tile};
