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

kk_q8 kk_weights_q8(const kk_call *c, int i, kk_derived *keep, void *room, int64_t k, int64_t n, int64_t parts) {
  void *to = keep ? keep->data : room;
  if (keep && keep->filled) return kk_q8_packed(k, n, parts, to);
  const kk_q8 w = kk_q8_pack(k, n, parts, kk_data(c->in[i]), to);
  if (keep) keep->filled = true;
  return w;
}

kk_status kk_weights_q8_check(const kk_call *c, int64_t k, kk_err *e) {
  if (k <= KK_Q8_MOST) return KK_OK;
  return kk_fail(e, KK_EARG, "%s: %lld inputs, at most %d", c->op->name, (long long)k, KK_Q8_MOST);
}
