#include "op/weights.h"

kk_derived *kk_weights_form(const kk_call *c, int i, const void *kind, const void *layout, size_t size, bool room) {
  const kk_tensor *t = c->in[i];
  if (t->store != c->src[i]->store || kk_numel(&t->shape) < KK_WEIGHTS_LEAST) return NULL;
  if (c->records) {
    kk_derived_drop(t->store);
    return NULL;
  }
  return room ? kk_derived_get(t, kind, layout, size) : kk_derived_find(t, kind, layout);
}
