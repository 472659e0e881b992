#include "tensor/rowset.h"

#include <string.h>

#include "base/mem.h"

kk_status kk_rowset_new(kk_tensor *t, void *owner, kk_settle_fn settle, kk_err *e) {
  kk_rowset *r = kk_alloc(sizeof *r);
  uint8_t *seen = kk_calloc((size_t)t->shape.n[0]);
  if (!r || !seen) {
    kk_free(r, sizeof *r);
    kk_free(seen, (size_t)t->shape.n[0]);
    return kk_fail(e, KK_ENOMEM, "rows: out of memory");
  }
  kk_settle(t);
  kk_rowset_drop(t->store);
  *r = (kk_rowset){.n = t->shape.n[0], .width = t->shape.n[1], .seen = seen, .all = t->store->grad != NULL,
                 .owner = owner, .settle = settle};
  t->store->rows = r;
  return KK_OK;
}

void kk_rowset_drop(kk_storage *s) {
  kk_rowset *r = s->rows;
  if (!r) return;
  kk_free(r->seen, (size_t)r->n);
  kk_free(r, sizeof *r);
  s->rows = NULL;
}

bool kk_rowset_zero(kk_storage *s) {
  kk_rowset *r = s->rows;
  if (!r) return false;
  if (!r->all)
    for (int64_t i = 0; i < r->n; i++)
      if (r->seen[i]) memset(s->grad + i * r->width, 0, (size_t)r->width * sizeof *s->grad);
  memset(r->seen, 0, (size_t)r->n);
  if (!r->all) return true;
  r->all = false;
  return false;
}
