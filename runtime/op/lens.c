#include "op/lens.h"

kk_status kk_lens_check(const char *op, const int32_t *lens, int64_t T, int64_t B, kk_err *e) {
  for (int64_t b = 0; lens && b < B; b++) {
    if (lens[b] < 1 || lens[b] > T)
      return kk_fail(e, KK_EARG, "%s: length %lld is %d, expected 1..%lld", op, (long long)b + 1, lens[b],
                     (long long)T);
    if (b && lens[b] > lens[b - 1])
      return kk_fail(e, KK_EARG, "%s: lengths must fall from row to row, but row %lld has %d after %d; sort the rows",
                     op, (long long)b + 1, lens[b], lens[b - 1]);
  }
  return KK_OK;
}

int64_t kk_lens_total(const int32_t *lens, int64_t T, int64_t B) {
  int64_t n = 0;
  if (!lens) return T * B;
  for (int64_t b = 0; b < B; b++) n += lens[b];
  return n;
}

void kk_lens_first(const int32_t *lens, int64_t T, int64_t B, int64_t *first) {
  int64_t n = B;
  first[0] = 0;
  for (int64_t t = 0; t < T; t++) {
    while (lens && n > 0 && lens[n - 1] <= t) n--;
    first[t + 1] = first[t] + n;
  }
}
