/* contiguous.c -- a copy in row-major order that passes its gradient on. */
#include "op/each.h"

typedef struct copy_job { kk_call *c; kk_each p; size_t size; } copy_job;

static void contiguous_chunk(void *arg, int64_t begin, int64_t end) {
  const copy_job *j = arg;
  kk_walk w = kk_walk_start(&j->p, begin, end);
  char *y = kk_data(j->c->out[0]);
  const char *x = kk_data(j->c->in[0]);
  int64_t size = (int64_t)j->size;
  while (kk_walk_next(&w)) kk_copy_run(y + w.at * size, 1, x + w.off[0] * size, w.step[0], w.n, j->size);
}

static void contiguous_forward(kk_call *c) {
  copy_job j = {c, kk_each_plan(c, 1), kk_dtype_size(kk_type(c->in[0]))};
  kk_pool_for(j.p.numel, KK_GRAIN, contiguous_chunk, &j);
}

static void contiguous_backward(kk_call *c) {
  const kk_real *g = kk_dout(c, 0);
  for (int64_t i = 0, n = kk_numel(&c->any); i < n; i++) c->din[0][i] += g[i];
}

const kk_op kk_op_contiguous = {
  .name = "contiguous",
  .sig = "x:a[&] -> y:a[&]",
  .about = "y = x, copied row by row into memory of its own",
  .forward = contiguous_forward,
  .backward = contiguous_backward,
};
