/* person.c -- a person's rows in scratch memory, their inner products, and products with them. Features are float32, as
** they came; everything that adds over rows or features in a solver is double. */
#include "users/person.h"

#include <math.h>
#include <string.h>

#include "base/clones.h"

enum { LANES = 16, BLOCK = 4 };

static int64_t person_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }
static int64_t person_most(int64_t a, int64_t b) { return a > b ? a : b; }

/* Inner products when they are fewer than the features themselves. */
static int person_wants_gram(int64_t m, int64_t d) { return d > 0 && 2 * d > m; }

enum { VECTORS = 15 };

size_t kk_person_bytes(const kk_users *u, int64_t d) {
  int64_t wide = person_up(u->widest, LANES), dp = person_up(d + 1, LANES);
  int64_t grams = wide < 2 * d + LANES ? wide : 2 * d + LANES;
  int64_t k = person_most(grams * grams, (d + BLOCK) * wide);
  int64_t system = u->rung == KK_RUNG_FIRTH || u->rung == KK_RUNG_FLIC ? (d + 1) * (d + 4) : 0;
  size_t floats = (size_t)(wide * dp + (d ? k : 0)), doubles = (size_t)(VECTORS * wide + 2 * dp + system);
  return floats * sizeof(float) + doubles * sizeof(double) + 256;
}

/* out [wide] = sum over rows j of v[j] k[j, .]; rows is a multiple of BLOCK. */
KK_CLONES static void person_combine(const float *restrict k, int64_t rows, int64_t wide, const double *restrict v,
                                     double *restrict out) {
  memset(out, 0, (size_t)wide * sizeof *out);
  for (int64_t j = 0; j < rows; j += BLOCK) {
    const float *k0 = k + j * wide, *k1 = k0 + wide, *k2 = k1 + wide, *k3 = k2 + wide;
    double v0 = v[j], v1 = v[j + 1], v2 = v[j + 2], v3 = v[j + 3];
    for (int64_t i = 0; i < wide; i++)
      out[i] += (v0 * (double)k0[i] + v1 * (double)k1[i]) + (v2 * (double)k2[i] + v3 * (double)k3[i]);
  }
}

typedef float lanes __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t order __attribute__((vector_size(64)));

/* Sixteen vectors become one: lane l is the sum of vector l. Two halves added at each of four levels. */
__attribute__((always_inline)) static inline void person_fold(lanes *v) {
  const order lo[4] = {{0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23},
                       {0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27},
                       {0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29},
                       {0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30}};
  const order hi[4] = {{8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31},
                       {4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31},
                       {2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31},
                       {1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31}};
#pragma GCC unroll 4
  for (int level = 0; level < 4; level++)
#pragma GCC unroll 8
    for (int i = 0; i < 8 >> level; i++)
      v[i] = __builtin_shuffle(v[2 * i], v[2 * i + 1], lo[level]) + __builtin_shuffle(v[2 * i], v[2 * i + 1], hi[level]);
}

/* k [rows, wide] = z z', four rows by four at a time, the lower half; both operands lie along the features, so nothing
** is packed: 100 x 400 takes about half as long as by the general product. */
KK_CLONES static void person_gram(const float *z, int64_t rows, int64_t dp, float *k, int64_t wide) {
  for (int64_t i = 0; i < rows; i += BLOCK)
    for (int64_t j = 0; j <= i; j += BLOCK) {
      lanes acc[16];
      for (int b = 0; b < 16; b++) acc[b] = (lanes){0};
      const float *zi = z + i * dp, *zj = z + j * dp;
      for (int64_t c = 0; c < dp; c += LANES) {
        lanes b0 = *(const lanes *)(zj + c), b1 = *(const lanes *)(zj + dp + c);
        lanes b2 = *(const lanes *)(zj + 2 * dp + c), b3 = *(const lanes *)(zj + 3 * dp + c);
#pragma GCC unroll 4
        for (int r = 0; r < BLOCK; r++) {
          lanes a = *(const lanes *)(zi + r * dp + c);
          acc[4 * r] += a * b0;
          acc[4 * r + 1] += a * b1;
          acc[4 * r + 2] += a * b2;
          acc[4 * r + 3] += a * b3;
        }
      }
      person_fold(acc);
      float sums[16];
      memcpy(sums, acc, sizeof sums);
      for (int r = 0; r < BLOCK; r++)
        for (int s = 0; s < BLOCK; s++) k[(i + r) * wide + j + s] = k[(j + s) * wide + i + r] = sums[4 * r + s];
    }
}

/* One row, centred and scaled by numbers of float. */
KK_CLONES static void person_scale(const float *restrict x, const float *restrict mean, float by, int64_t d,
                                   float *restrict z) {
  for (int64_t j = 0; j < d; j++) z[j] = (x[j] - mean[j]) * by;
}

/* A person's rows lie anywhere: the next one is asked for while this one is scaled. */
static void person_ahead(const kk_person *s, int i) {
  if (i >= s->m) return;
  const char *x = (const char *)(s->u->x + s->row[i] * s->u->d);
  for (int64_t b = 0; b < s->d * (int64_t)sizeof(float); b += 64) __builtin_prefetch(x + b);
}

/* A row with anything that is not finite has an inner product with itself that is not. */
static int person_bad(const kk_person *s) {
  for (int i = 0; i < s->m; i++) {
    const float *z = s->z + i * s->dp;
    double sum = s->gram ? (double)s->k[(int64_t)i * s->wide + i] : 0;
    for (int64_t j = 0; !s->gram && j < s->d; j++) sum += fabs((double)z[j]);
    if (!isfinite(sum)) return 1;
  }
  return 0;
}

static void person_gather(kk_person *s) {
  const kk_users *u = s->u;
  int64_t rows = person_up(s->m, BLOCK);
  float *mean = (float *)(void *)s->t;                     /* [dp] doubles hold as many floats; zeroed again below */
  for (int64_t j = 0; j < s->d; j++) mean[j] = (float)u->mean[j];
  for (int i = 0; i < s->m; i++) {
    float *z = s->z + i * s->dp;
    person_ahead(s, i + 2);
    person_scale(u->x + s->row[i] * u->d, mean, (float)(1 / u->scale), s->d, z);
    for (int64_t j = s->d; j < s->dp; j++) z[j] = 0;
  }
  memset(s->t, 0, (size_t)s->dp * sizeof *s->t);
  memset(s->z + s->m * s->dp, 0, (size_t)((rows - s->m) * s->dp) * sizeof *s->z);
  s->gram = u->rung != KK_RUNG_FIRTH && u->rung != KK_RUNG_FLIC && u->rung != KK_RUNG_PROTO && person_wants_gram(s->m, s->d);
  if (s->gram) {
    for (int64_t i = 0; i < rows; i++) memset(s->k + i * s->wide + rows, 0, (size_t)(s->wide - rows) * sizeof *s->k);
    person_gram(s->z, rows, s->dp, s->k, s->wide);
    return;
  }
  for (int64_t j = 0; j < person_up(s->d, BLOCK); j++)
    for (int i = 0; i < s->wide; i++) s->k[j * s->wide + i] = i < s->m ? s->z[i * s->dp + j] : 0;
}

void kk_person_open(kk_person *s, const kk_users *u, int64_t k, int64_t d, char *mem) {
  int64_t m = u->start[k + 1] - u->start[k], wide = person_up(m, LANES), dp = person_up(d + 1, LANES);
  *s = (kk_person){.u = u, .row = u->row + u->start[k], .who = k, .m = (int)m, .wide = (int)wide, .d = d, .dp = dp};
  double *p = (double *)(void *)mem;
  double **const vectors[VECTORS] = {&s->offset, &s->y, &s->a, &s->f, &s->on, &s->p, &s->w, &s->r, &s->q,
                                     &s->s, &s->g, &s->dir, &s->kd, &s->kv, &s->ks};
  for (int i = 0; i < VECTORS; i++) *vectors[i] = p + i * wide;
  memset(p, 0, (size_t)(VECTORS * wide) * sizeof *p);
  s->t = p + VECTORS * wide;
  s->v = s->t + dp;
  memset(s->t, 0, (size_t)(2 * dp) * sizeof *p);
  s->system = s->v + dp;
  int64_t system = u->rung == KK_RUNG_FIRTH || u->rung == KK_RUNG_FLIC ? (d + 1) * (d + 4) : 0;
  s->z = (float *)(void *)(s->system + person_up(system, 8));
  s->k = s->z + wide * dp;
  for (int64_t i = 0; i < m; i++) {
    s->offset[i] = u->offset[s->row[i]];
    s->y[i] = u->label[s->row[i]];
    s->on[i] = 1;
  }
  if (!d) return;
  person_gather(s);
  s->bad = person_bad(s);
}

void kk_person_fold(kk_person *s, int fold) {
  for (int i = 0; i < s->m; i++) s->on[i] = s->u->fold[s->row[i]] != fold;
}

void kk_person_back(const kk_person *s, const double *v, double *t) {
  person_combine(s->z, person_up(s->m, BLOCK), s->dp, v, t);
}

/* Where k holds inner products there is no transposed z: one row after the other. */
void kk_person_logits(const kk_person *s, const double *v, double *out) {
  if (!s->gram) {
    person_combine(s->k, person_up(s->d, BLOCK), s->wide, v, out);
    return;
  }
  for (int i = 0; i < s->wide; i++) {
    double sum = 0;
    for (int64_t j = 0; i < s->m && j < s->d; j++) sum += (double)s->z[i * s->dp + j] * v[j];
    out[i] = sum;
  }
}

KK_CLONES static void person_finish(double *restrict out, int64_t wide, double by, double add) {
  for (int64_t i = 0; i < wide; i++) out[i] = out[i] * by + add;
}

void kk_person_kernel(const kk_person *s, double lambda, double lambda0, const double *v, double *out) {
  double sum = 0;
  for (int i = 0; i < s->m; i++) sum += v[i];
  if (!s->d) {
    for (int i = 0; i < s->wide; i++) out[i] = sum / lambda0;
    return;
  }
  if (s->gram) person_combine(s->k, person_up(s->m, BLOCK), s->wide, v, out);
  else {
    kk_person_back(s, v, s->t);
    kk_person_logits(s, s->t, out);
  }
  person_finish(out, s->wide, 1 / lambda, sum / lambda0);
}

/* exp by 2^n e^r, |r| <= ln 2 / 2, to 1e-14: a loop that is vectorised, where the library's function is not. */
static inline double person_exp(double x) {
  x = x < -700 ? -700 : x > 700 ? 700 : x;
  double shifted = x * 0x1.71547652b82fep0 + 0x1.8p52, n = shifted - 0x1.8p52;
  double r = x - n * 0x1.62e42fefa38p-1 - n * 0x1.ef35793c7673p-45;
  double e = 1.0 / 39916800;
  e = e * r + 1.0 / 3628800;
  e = e * r + 1.0 / 362880;
  e = e * r + 1.0 / 40320;
  e = e * r + 1.0 / 5040;
  e = e * r + 1.0 / 720;
  e = e * r + 1.0 / 120;
  e = e * r + 1.0 / 24;
  e = e * r + 1.0 / 6;
  e = e * r + 0.5;
  e = e * r + 1;
  e = e * r + 1;
  uint64_t bits;
  double two;
  memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + 1023) << 52;
  memcpy(&two, &bits, sizeof two);
  return e * two;
}

KK_CLONES static void person_sigmoids(const double *restrict f, double *restrict p, int64_t wide) {
  for (int64_t i = 0; i < wide; i++) p[i] = 1 / (1 + person_exp(-f[i]));
}

void kk_person_sigmoid(const kk_person *s, const double *f, double *p) { person_sigmoids(f, p, s->wide); }

KK_CLONES static void person_tails(const double *restrict v, double *restrict e, int64_t wide) {
  for (int64_t i = 0; i < wide; i++) e[i] = 1 + person_exp(v[i] > 0 ? -v[i] : v[i]);
}

/* log(1 + e^v) = max(v, 0) + log(1 + e^-|v|); the logs of up to 512 factors, none above 2, are one log of their product. */
double kk_person_softplus(const double *v, double *e, int64_t wide) {
  double sum = 0;
  person_tails(v, e, wide);
  for (int64_t from = 0; from < wide; from += 512) {
    double product[8] = {1, 1, 1, 1, 1, 1, 1, 1}, linear[8] = {0}, all = 1;
    int64_t to = from + 512 < wide ? from + 512 : wide;
    for (int64_t i = from; i < to; i += 8)
      for (int l = 0; l < 8; l++) {
        product[l] *= e[i + l];
        linear[l] += v[i + l] > 0 ? v[i + l] : 0;
      }
    for (int l = 0; l < 8; l++) all *= product[l], sum += linear[l];
    sum += log(all);
  }
  return sum;
}
