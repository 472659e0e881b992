/* sample_classes.c -- which words a sampled softmax looks at, and what makes up for the others. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "op/op.h"

enum { CLASSES, SAMPLES };

/* Classes come in order of falling frequency, so that q_c = log((c+2)/(c+1)) / log(C+1), c from 0, is close to theirs
** (Zipf's law). Drawn by inverting its distribution function log(c+1) / log(C+1). */
static int64_t sample_draw(const kk_call *c, int64_t i) {
  const double C = c->opt[CLASSES];
  int64_t k = (int64_t)exp(kk_random_uniform(c->key, (uint64_t)i) * log(C + 1)) - 1;
  return k < 0 ? 0 : k < (int64_t)C ? k : (int64_t)C - 1;
}

static double sample_probability(const kk_call *c, int64_t k) {
  return log1p(1 / (double)(k + 1)) / log(c->opt[CLASSES] + 1);
}

/* mark[k]: 2 for targets, 1 for others drawn. Answers how many classes have a mark. */
static int64_t sample_mark(const kk_call *c, uint8_t *mark) {
  const int32_t *y = kk_idx(c, 0);
  int64_t found = 0;
  memset(mark, 0, (size_t)c->opt[CLASSES]);
  for (int64_t n = 0; n < kk_rows(c); n++) {
    if (y[n] < 0) continue;
    found += !mark[y[n]];
    mark[y[n]] = 2;
  }
  for (int64_t i = 0; i < (int64_t)c->opt[SAMPLES]; i++) {
    uint8_t *m = &mark[sample_draw(c, i)];
    found += !*m;
    *m |= 1;
  }
  return found;
}

static kk_status sample_classes_shape(kk_call *c, kk_shape *out, kk_err *e) {
  const size_t size = (size_t)c->opt[CLASSES];
  uint8_t *mark = kk_alloc(size);
  if (!mark) return kk_fail(e, KK_ENOMEM, "sample_classes: out of memory for %zu bytes", size);
  out[0] = out[1] = (kk_shape){1, {sample_mark(c, mark)}};
  kk_free(mark, size);
  return KK_OK;
}

static kk_status sample_classes_check(const kk_call *c, kk_err *e) {
  const int32_t *y = kk_idx(c, 0);
  for (int64_t n = 0, N = kk_rows(c); n < N; n++)
    if (y[n] < -1 || y[n] >= (int64_t)c->opt[CLASSES])
      return kk_fail(e, KK_EARG, "sample_classes: target %lld is %d, expected 1..%lld, or 0 to ignore the row",
                     (long long)n + 1, y[n] + 1, (long long)c->opt[CLASSES]);
  return KK_OK;
}

static size_t sample_classes_scratch(const kk_call *c, bool backward) {
  const size_t C = (size_t)c->opt[CLASSES];
  return backward ? 0 : ((C + 3) & ~(size_t)3) + C * sizeof(int32_t);
}

static void sample_classes_forward(kk_call *c) {
  const int64_t C = (int64_t)c->opt[CLASSES];
  const int32_t *y = kk_idx(c, 0);
  uint8_t *mark = c->scratch;
  int32_t *at = (int32_t *)(void *)(mark + ((C + 3) & ~(int64_t)3));
  int32_t *ids = kk_i32_data(c->out[0]), *place = kk_i32_data(c->out[2]);
  kk_real *correction = kk_out(c, 1);
  int64_t n = 0;
  sample_mark(c, mark);
  for (int64_t k = 0; k < C; k++) {
    if (!mark[k]) continue;
    ids[n] = (int32_t)k;
    correction[n] = mark[k] & 2 ? 0 : (kk_real)-log(-expm1(c->opt[SAMPLES] * log1p(-sample_probability(c, k))));
    at[k] = (int32_t)n++;
  }
  for (int64_t i = 0; i < kk_rows(c); i++) place[i] = y[i] < 0 ? -1 : at[y[i]];
}

static bool sample_classes_sample(int variant, kk_sample *s) {
  s->index[0] = 9;
  s->opt[CLASSES] = variant ? 9 : 1000;
  s->opt[SAMPLES] = variant ? 30 : 10;
  return variant < 2;
}

const kk_op kk_op_sample_classes = {
  .name = "sample_classes",
  .sig = "target:i[...] -> ids:i[?] correction[?] place:i[...]",
  .about = "ids = the targets and classes drawn `samples` times with q_c = log(1+1/c)/log(C+1), ascending; correction = -log P(c in ids), "
           "0 for targets, so that sum e^(logit + correction) over ids expects the sum over all (Horvitz & Thompson 1952; Jean et al. "
           "2015, sec. 3); place of each target in ids, 0 for 0. Classes in order of falling frequency",
  .opts = {{"classes", 1, 1, 2147483646, "number of classes C", NULL},
           {"samples", 0, 0, 2147483646, "draws, with replacement", NULL}},
  .random = true,
  .shape = sample_classes_shape,
  .check = sample_classes_check,
  .scratch = sample_classes_scratch,
  .forward = sample_classes_forward,
  .sample = sample_classes_sample,
};
