/* all.c -- is every element is not 0? */
#include "op/axis.h"

static void all_line(kk_call *c, int64_t line, int64_t base, int64_t n, int64_t stride) {
  bool r = true;
  for (int64_t i = 0; i < n; i++)
    r = r && kk_get(c->in[0], c->in[0]->offset + base + i * stride) != 0;
  ((uint8_t *)kk_data(c->out[0]))[line] = r;
}

static void all_forward(kk_call *c) { kk_axis_each(c, kk_reduce_axis(c), all_line); }

const kk_op kk_op_all = {
  .name = "all",
  .sig = "x:a[?] -> y:b[?]",
  .about = "y = 1 where every element is not 0, over a dimension or all elements, else 0",
  .opts = {KK_OPT_DIM0, KK_OPT_KEEP},
  .shape = kk_reduce_shape,
  .check = kk_reduce_check,
  .forward = all_forward,
  .sample = kk_reduce_sample,
};
