/* where.c -- a choice between two tensors, element by element. */
#include "op/each.h"

typedef struct where_job { kk_call *c; kk_each p; size_t size; int input; } where_job;

static void where_chunk(void *arg, int64_t begin, int64_t end) {
  const where_job *j = arg;
  kk_call *c = j->c;
  kk_walk w = kk_walk_start(&j->p, begin, end);
  int64_t size = (int64_t)j->size;
  while (kk_walk_next(&w)) {
    const uint8_t *m = kk_mask(c, 0) + w.off[0];
    char *z = (char *)kk_data(c->out[0]) + w.at * size;
    const char *x = (const char *)kk_data(c->in[1]) + w.off[1] * size, *y = (const char *)kk_data(c->in[2]) + w.off[2] * size;
    if (kk_type(c->out[0]) == KK_F32)
      for (int64_t i = 0; i < w.n; i++)
        ((kk_real *)(void *)z)[i] = m[i * w.step[0]] ? ((const kk_real *)(const void *)x)[i * w.step[1]]
                                                     : ((const kk_real *)(const void *)y)[i * w.step[2]];
    else
      for (int64_t i = 0; i < w.n; i++)
        kk_copy_run(z + i * size, 1, m[i * w.step[0]] ? x + i * w.step[1] * size : y + i * w.step[2] * size, 1, 1, j->size);
  }
}

static void where_forward(kk_call *c) {
  where_job j = {c, kk_each_plan(c, 3), kk_dtype_size(kk_type(c->out[0])), 0};
  kk_pool_for(j.p.numel, KK_GRAIN, where_chunk, &j);
}

static void where_chunk_grad(void *arg, int64_t begin, int64_t end) {
  const where_job *j = arg;
  kk_walk w = kk_walk_start(&j->p, begin, end);
  while (kk_walk_next(&w)) {
    const uint8_t *m = kk_mask(j->c, 0) + w.off[0];
    const kk_real *g = kk_dout(j->c, 0) + w.at;
    kk_real *d = j->c->din[j->input] + w.at;
    for (int64_t i = 0; i < w.n; i++) d[i] += (m[i * w.step[0]] != 0) == (j->input == 1) ? g[i] : 0;
  }
}

static void where_backward(kk_call *c) {
  for (int input = 1; input < 3; input++) {
    where_job j = {c, kk_each_plan(c, 3), 0, input};
    if (c->din[input]) kk_pool_for(j.p.numel, KK_GRAIN, where_chunk_grad, &j);
  }
}

const kk_op kk_op_where = {
  .name = "where",
  .sig = "mask:b[&] x:a[&] y:a[&] -> z:a[&]",
  .about = "z = x where mask is not 0, else y",
  .forward = where_forward,
  .backward = where_backward,
};
