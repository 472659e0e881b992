/* argsort.c -- the places of the elements in order. */
#include "op/sort.h"

static void argsort_put(kk_call *c, int64_t to, int64_t from, int64_t place) {
  (void)from;
  kk_i32_data(c->out[0])[to] = (int32_t)place;
}

static void argsort_forward(kk_call *c) { kk_sort_lines(c, argsort_put); }

const kk_op kk_op_argsort = {
  .name = "argsort",
  .sig = "x:a[...] -> at:i[...]",
  .about = "at = the places of the elements in order along a dimension. Equal ones keep their order; nan is the largest",
  .opts = {KK_OPT_DIM(-1), {"descending", 0, 0, 1, "largest first", NULL}},
  .check = kk_sort_check,
  .scratch = kk_sort_scratch,
  .forward = argsort_forward,
  .sample = kk_axis_sample,
};
