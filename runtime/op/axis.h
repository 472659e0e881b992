/* axis.h -- ops along one dimension, or over all elements: a contiguous tensor seen as [outer, n, inner]. */
#ifndef KK_AXIS_H
#define KK_AXIS_H

#include "base/pool.h"
#include "op/op.h"

typedef struct kk_axis { int64_t outer, n, inner; } kk_axis;

/* dim: from 1, or negative from the end; 0: all elements in one line. */
kk_axis kk_axis_of(const kk_shape *s, double dim);
/* Value check of option number opt against input number in. all: 0 is allowed; least: how many elements a
** line must have at least (where there are lines). */
kk_status kk_axis_check(const kk_call *c, int in, int opt, bool all, int64_t least, kk_err *e);
/* The shape without that dimension, or with size 1 there. */
void kk_axis_reduced(const kk_shape *s, double dim, bool keep, kk_shape *out);

/* Calls fn for every line: base is the place of its first element, stride the step to the next. */
typedef void kk_line_fn(kk_call *c, int64_t line, int64_t base, int64_t n, int64_t stride);
void kk_axis_each(kk_call *c, kk_axis a, kk_line_fn *fn);

/* Sums in double, eight lanes in a fixed order. power 1: x - minus, 2: its square. */
double kk_line_sum(const kk_real *x, int64_t n, int64_t stride, double minus, int power);
/* y[outer,inner] = scale * the sum over n. scratch: kk_sum_scratch bytes. The tree of additions is fixed by the shape. */
void kk_axis_sum(const kk_real *x, kk_axis a, double scale, void *scratch, kk_real *y);
size_t kk_axis_sum_scratch(kk_axis a);
/* The sum over all n elements, with the same scratch (for an axis of one line). */
double kk_sum_all(const kk_real *x, int64_t n, double minus, int power, double *scratch);
/* dx += scale * dy, dy repeated along the line. */
void kk_axis_spread(kk_real *dx, const kk_real *dy, kk_axis a, double scale);

/* Options 0 and 1 of a reduction. */
#define KK_OPT_DIM0 {"dim", 0, -KK_MAXDIM, KK_MAXDIM, "dimension, from 1, or negative from the end; 0: over all elements", NULL}
#define KK_OPT_KEEP {"keepdim", 0, 0, 1, "leave the dimension in place, with size 1", NULL}
#define KK_OPT_DIM(dflt) {"dim", dflt, -KK_MAXDIM, KK_MAXDIM, "dimension, from 1, or negative from the end", NULL}

/* The parts of a reduction with these two options. */
kk_status kk_reduce_check(const kk_call *c, kk_err *e);        /* the dimension exists        */
kk_status kk_reduce_check_some(const kk_call *c, kk_err *e);   /* and its lines are not empty */
kk_status kk_reduce_shape(kk_call *c, kk_shape *out, kk_err *e);   /* every output and saved tensor */
static inline kk_axis kk_reduce_axis(const kk_call *c) { return kk_axis_of(&c->in[0]->shape, c->opt[0]); }
/* Generic test: over all elements of [3,4], then the middle of [2,3,2], then the last, kept. */
bool kk_reduce_sample(int variant, kk_sample *s);
bool kk_reduce_sample_apart(int variant, kk_sample *s);   /* the same; no two elements nearly equal */
/* Generic test: last dimension of [3,4], then the first. */
bool kk_axis_sample(int variant, kk_sample *s);

#endif
