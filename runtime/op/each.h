/* each.h -- element-wise loops. Unary ops walk contiguous data; binary ones walk "&" inputs, whose strides
** come as they are: dimensions are collapsed first, then whole runs go to a small loop (a row function). */
#ifndef KK_EACH_H
#define KK_EACH_H

#include "base/clones.h"
#include "base/pool.h"
#include "op/op.h"

enum { KK_GRAIN = 32768, KK_GRAIN_SLOW = 4096 };   /* elements of one chunk: cheap loops, loops with exp and the like */

/* Up to three strided inputs of one shape beside a contiguous result; dimension 0 is the innermost. */
typedef struct kk_each {
  int nd, nin;
  int64_t numel, n[KK_MAXDIM], step[3][KK_MAXDIM];
} kk_each;
kk_each kk_each_plan(const kk_call *c, int nin);

/* A piece of elements begin..end, as runs of the innermost dimension. */
typedef struct kk_walk {
  const kk_each *p;
  int64_t next, end;                    /* flat positions                                  */
  int64_t at, n, off[3], step[3];       /* this run: result position, length, input places */
} kk_walk;
kk_walk kk_walk_start(const kk_each *p, int64_t begin, int64_t end);
bool kk_walk_next(kk_walk *w);

/* Row functions. d: gradient to add into, g: gradient of the result. */
typedef void kk_row1(void *y, const void *x, int64_t n, const double *opt);
typedef void kk_grow1(kk_real *d, const kk_real *g, const kk_real *y, const kk_real *x, int64_t n, const double *opt);
typedef void kk_row2(void *z, const void *x, int64_t sx, const void *y, int64_t sy, int64_t n);
typedef void kk_grow2(kk_real *d, const kk_real *g, const kk_real *z, const kk_real *x, int64_t sx, const kk_real *y,
                      int64_t sy, int64_t n);
void kk_each1(kk_call *c, kk_row1 *row, int64_t grain);
void kk_each1_grad(kk_call *c, kk_grow1 *row);
void kk_each2(kk_call *c, kk_row2 *row);
void kk_each2_grad(kk_call *c, int input, kk_grow2 *row);   /* does nothing when nobody wants that gradient */

/* Copies n elements of size bytes (1, 4 or 8) from every ss-th to every sd-th place. */
void kk_copy_run(void *dst, int64_t sd, const void *src, int64_t ss, int64_t n, size_t size);

/* A value check for integers, which must not wrap silently: kind is '+', '-', '*' (the result fits the
** type), '/' (the divisor is not 0), 'n' (the negative fits) or '^' (the power fits). */
kk_status kk_each_check(const kk_call *c, char kind, kk_err *e);

/* y[i] = expr(x), x of type T, y of type Y; opt[] are the options. Write KK_CLONES in front where wider registers help. */
#define KK_ROW1(name, T, Y, expr)                                                                \
  static void name(void *yv, const void *xv, int64_t n, const double *opt) {           \
    Y *restrict y_ = yv;                                                                         \
    const T *x_ = xv;                                                                            \
    (void)opt;                                                                                   \
    for (int64_t i = 0; i < n; i++) { const T x = x_[i]; y_[i] = (Y)(expr); }                    \
  }
/* The same for every type: a table indexed by kk_dtype. */
#define KK_ROWS1(name, expr)                                                                     \
  KK_CLONES KK_ROW1(name##_f, kk_real, kk_real, expr)                                            \
  KK_ROW1(name##_i, int32_t, int32_t, expr)                                                      \
  KK_ROW1(name##_l, int64_t, int64_t, expr)                                                      \
  KK_ROW1(name##_u, uint8_t, uint8_t, expr)                                                      \
  static kk_row1 *const name[KK_NDTYPE] = {name##_f, name##_i, name##_l, name##_u};
/* d[i] += expr(x, y, g) */
#define KK_GRAD1(name, expr)                                                                     \
  static void name(kk_real *d, const kk_real *g_, const kk_real *y_, const kk_real *x_, int64_t n, \
                             const double *opt) {                                                \
    (void)opt, (void)x_, (void)y_;                                                               \
    for (int64_t i = 0; i < n; i++) {                                                            \
      const kk_real x = x_[i], y = y_[i], g = g_[i];                                             \
      (void)x, (void)y;                                                                          \
      d[i] += (kk_real)(expr);                                                                   \
    }                                                                                            \
  }
/* z[i] = expr(x, y): the cases that the compiler can vectorise, then the general one. */
#define KK_ROW2(name, T, Z, expr)                                                                \
  static void name(void *zv, const void *xv, int64_t sx, const void *yv, int64_t sy, int64_t n) { \
    Z *restrict z = zv;                                                                          \
    const T *x_ = xv, *y_ = yv;                                                                  \
    if (sx == 1 && sy == 1)                                                                      \
      for (int64_t i = 0; i < n; i++) { const T x = x_[i], y = y_[i]; z[i] = (Z)(expr); }        \
    else if (sx == 1 && sy == 0) {                                                               \
      const T y = *y_;                                                                           \
      for (int64_t i = 0; i < n; i++) { const T x = x_[i]; z[i] = (Z)(expr); }                   \
    } else                                                                                       \
      for (int64_t i = 0; i < n; i++) { const T x = x_[i * sx], y = y_[i * sy]; z[i] = (Z)(expr); } \
  }
#define KK_ROWS2(name, expr)                                                                     \
  KK_CLONES KK_ROW2(name##_f, kk_real, kk_real, expr)                                            \
  KK_ROW2(name##_i, int32_t, int32_t, expr)                                                      \
  KK_ROW2(name##_l, int64_t, int64_t, expr)                                                      \
  KK_ROW2(name##_u, uint8_t, uint8_t, expr)                                                      \
  static kk_row2 *const name[KK_NDTYPE] = {name##_f, name##_i, name##_l, name##_u};
/* The same with a mask as the result. */
#define KK_MASKS2(name, expr)                                                                    \
  KK_ROW2(name##_f, kk_real, uint8_t, expr)                                                      \
  KK_ROW2(name##_i, int32_t, uint8_t, expr)                                                      \
  KK_ROW2(name##_l, int64_t, uint8_t, expr)                                                      \
  KK_ROW2(name##_u, uint8_t, uint8_t, expr)                                                      \
  static kk_row2 *const name[KK_NDTYPE] = {name##_f, name##_i, name##_l, name##_u};
/* d[i] += expr(x, y, z, g) */
#define KK_GRAD2(name, expr)                                                                     \
  static void name(kk_real *d, const kk_real *g_, const kk_real *z_, const kk_real *x_, int64_t sx, \
                             const kk_real *y_, int64_t sy, int64_t n) {                         \
    (void)z_;                                                                                    \
    for (int64_t i = 0; i < n; i++) {                                                            \
      const kk_real x = x_[i * sx], y = y_[i * sy], z = z_[i], g = g_[i];                        \
      (void)x, (void)y, (void)z;                                                                 \
      d[i] += (kk_real)(expr);                                                                   \
    }                                                                                            \
  }

#endif
