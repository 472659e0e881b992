/* ce_rows.c -- the loops over one row of logits, and what rows add up to. */
#include "op/ce_rows.h"

#include "base/clones.h"
#include "op/vmath.h"

/* Sixteen lanes, said outright: of arrays and loops over them the compiler makes scalars. */
enum { LANES = 16, PIECE = 64 * LANES };
typedef kk_real lanes __attribute__((vector_size(LANES * sizeof(kk_real)), aligned(sizeof(kk_real)), may_alias));
typedef __typeof__((lanes){0} > (lanes){0}) choice;

/* Eight independent ones would be faster still; rows are seldom long and always in cache. nan is skipped. */
static inline __attribute__((always_inline)) kk_real ce_most(const kk_real *x, int64_t C, kk_real most) {
  lanes m = most - (lanes){0};
  int64_t k = 0;
  for (; k + LANES <= C; k += LANES) {
    lanes v = *(const lanes *)(x + k);
    choice larger = v > m;
    m = (lanes)(((choice)v & larger) | ((choice)m & ~larger));
  }
  for (int i = 0; i < LANES; i++) most = m[i] > most ? m[i] : most;
  for (; k < C; k++) most = x[k] > most ? x[k] : most;
  return most;
}

/* e^(x + b - shift) to y, a piece at a time, in plain loops that vectorise; the sum in kk_reals over a piece, in
** double between pieces. */
static inline __attribute__((always_inline)) double ce_exp(const kk_real *x, kk_real *y, int64_t C, kk_real shift) {
  lanes s = {0};
  double total = 0;
  int64_t k = 0;
  for (int64_t i = 0; i < C; i++) y[i] = kk_exp(x[i] - shift);
  for (; k + LANES <= C; k += LANES) s += *(const lanes *)(y + k);
  for (int i = 0; i < LANES; i++) total += (double)s[i];
  for (; k < C; k++) total += (double)y[k];
  return total;
}

KK_CLONES kk_real kk_ce_most(const kk_real *x, int64_t C) { return ce_most(x, C, x[0]); }

KK_CLONES double kk_ce_sum_exp(const kk_real *x, int64_t C, kk_real shift) {
  double total = 0;
  kk_real y[PIECE];
  for (int64_t k = 0; k < C; k += PIECE) total += ce_exp(x + k, y, C - k < PIECE ? C - k : PIECE, shift);
  return total;
}

KK_CLONES double kk_ce_exp(kk_real *restrict x, const kk_real *restrict b, int64_t C, kk_real shift, kk_real *most) {
  double total = 0;
  for (int64_t k = 0; k < C; k += PIECE) {
    const int64_t n = C - k < PIECE ? C - k : PIECE;
    for (int64_t i = 0; i < n && b; i++) x[k + i] += b[k + i];
    *most = ce_most(x + k, n, *most);
    total += ce_exp(x + k, x + k, n, shift);
  }
  return total;
}

KK_CLONES void kk_ce_add_exp(kk_real *restrict dx, const kk_real *restrict x, int64_t C, kk_real lse, kk_real m) {
  for (int64_t k = 0; k < C; k++) dx[k] += m * kk_exp(x[k] - lse);
}

void kk_ce_hard(kk_ce_row *r, double smoothing, int64_t C, kk_real xy, kk_real most, double wy, double flat) {
  r->counted = 1;
  r->norm = wy;
  r->nll = r->lse - (double)xy;
  r->hit = xy >= most;
  r->loss = (1 - smoothing) * wy * r->nll;
  if (smoothing > 0) r->loss += smoothing / (double)C * flat;
}

void kk_ce_add(kk_ce_sums *s, const kk_ce_row *r) {
  s->loss += r->loss;
  s->norm += r->norm;
  s->nll += r->nll;
  s->hits += r->hit;
  s->counted += r->counted;
}

double kk_ce_answer(const kk_call *c, const kk_ce_sums *s) {
  double norm = s->norm > 0 ? s->norm : 1;             /* every row ignored: the loss is 0 */
  kk_out(c, 0)[0] = (kk_real)(s->loss / norm);
  kk_out(c, 1)[0] = (kk_real)s->nll;
  kk_out(c, 1)[1] = (kk_real)s->counted;
  kk_out(c, 1)[2] = (kk_real)s->hits;
  return norm;
}

kk_status kk_ce_targets(const char *op, const int32_t *y, int64_t N, int64_t C, kk_err *e) {
  if (C < 1) return kk_fail(e, KK_EARG, "%s: no classes", op);
  for (int64_t n = 0; y && n < N; n++)
    if (y[n] < -1 || y[n] >= C)
      return kk_fail(e, KK_EARG, "%s: target %lld is %d, expected 1..%lld, or 0 to ignore the row", op,
                     (long long)n + 1, y[n] + 1, (long long)C);
  return KK_OK;
}
