/* matmul.h -- batches of matrix products, shared by matmul, matmul_nt and matmul_tn. */
#ifndef KK_MATMUL_H
#define KK_MATMUL_H

#include "base/pool.h"
#include "linalg/gemm.h"
#include "op/op.h"

/* For every matrix of the batch: C[m,n] = op(A) op(B), or added to C. One product is cut into tiles itself. */
typedef struct kk_products {
  bool ta, tb, add;
  int64_t m, n, k;
  const kk_real *a, *b;
  kk_real *c;
} kk_products;

static inline void matmul_chunk(void *arg, int64_t begin, int64_t end) {
  const kk_products *p = arg;
  int64_t la = p->ta ? p->m : p->k, lb = p->tb ? p->k : p->n;
  for (int64_t i = begin; i < end; i++)
    kk_gemm(p->ta, p->tb, p->m, p->n, p->k, p->a + i * p->m * p->k, la, p->b + i * p->k * p->n, lb, p->add,
            p->c + i * p->m * p->n, p->n);
}

/* batch products; those with nothing to sum over are zero. C NULL: not wanted. */
static inline void kk_matmul(kk_products p, int64_t batch) {
  if (!p.c) return;
  if (p.k == 0) {
    for (int64_t i = 0; !p.add && i < batch * p.m * p.n; i++) p.c[i] = 0;
    return;
  }
  if (batch == 1) matmul_chunk(&p, 0, 1);
  else kk_pool_for(batch, 1 + 4096 / (p.m * p.n * p.k / 64 + 1), matmul_chunk, &p);
}

#endif
