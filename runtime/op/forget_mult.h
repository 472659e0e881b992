/* forget_mult.h -- the recurrent half of a QRNN for some units of one row at one step (fo-pooling, Bradbury
** et al. 2017, eq. 4):  c' = f m z + (1 - f m) c,  y = o c'  (without an output gate y = c'). f multiplies the
** new value, as in fastai's and Salesforce's layers; m is the zoneout mask, 1 without one. */
#ifndef KK_FORGET_MULT_H
#define KK_FORGET_MULT_H

#include "tensor/tensor.h"

/* g: gates z f o of the first unit, `next` apart. */
typedef struct kk_fo {
  int64_t units, next;
  bool output;                       /* there is an output gate */
  kk_real *g;
  const kk_real *m;
} kk_fo;

/* g: the product in, activated gates out. b: bias, laid out as g. c: cells before in, after out. */
void kk_fo_forward(const kk_fo *s, const kk_real *b, kk_real *c, kk_real *y);
/* c1 = cells after, from activated gates and the cells before: the very bits of kk_fo_forward. */
void kk_fo_cells(const kk_fo *s, const kk_real *c0, kk_real *c1);
/* g: activated gates in, gradients before activation out. dc: gradient of c1 in, of c0 out. */
void kk_fo_backward(const kk_fo *s, const kk_real *c0, const kk_real *c1, const kk_real *dy, kk_real *dc);
/* sum, laid out as g, += g: the bias's gradient, in double and step after step. */
void kk_fo_bias(const kk_fo *s, double *sum);

#endif
