/* sort.c -- elements in order. */
#include "op/sort.h"

#include "op/extreme.h"

static void sort_put(kk_call *c, int64_t to, int64_t from, int64_t place) {
  kk_extreme_copy(c->out[0], to, c->in[0], from);
  kk_i32_data(c->out[1])[to] = (int32_t)place;
  if (c->save[0]) kk_i32_data(c->save[0])[to] = (int32_t)place;
}

static void sort_forward(kk_call *c) { kk_sort_lines(c, sort_put); }

static void sort_line_backward(kk_call *c, int64_t line, int64_t base, int64_t n, int64_t stride) {
  (void)line;
  for (int64_t i = 0; i < n; i++)
    c->din[0][base + kk_i32_data(c->save[0])[base + i * stride] * stride] += kk_dout(c, 0)[base + i * stride];
}

static void sort_backward(kk_call *c) { kk_axis_each(c, kk_axis_of(&c->in[0]->shape, c->opt[0]), sort_line_backward); }

static bool sort_sample(int variant, kk_sample *s) {
  kk_axis_sample(variant, s);
  s->opt[1] = variant;
  s->lo[0] = -20;
  s->hi[0] = 20;
  return variant < 2;
}

const kk_op kk_op_sort = {
  .name = "sort",
  .sig = "x:a[...] -> y:a[...] at:i[...] ; kept:i[...]",
  .about = "y = x in order along a dimension, at = where each came from. Equal ones keep their order; nan is the largest",
  .opts = {KK_OPT_DIM(-1), {"descending", 0, 0, 1, "largest first", NULL}},
  .check = kk_sort_check,
  .scratch = kk_sort_scratch,
  .forward = sort_forward,
  .backward = sort_backward,
  .sample = sort_sample,
};
