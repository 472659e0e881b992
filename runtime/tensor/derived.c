#include "tensor/derived.h"

#include "base/mem.h"

static void derived_free(kk_derived *d) {
  kk_free(d->data, d->size);
  kk_free(d, sizeof *d);
}

kk_derived *kk_derived_find(const kk_tensor *t, const void *kind, const void *layout) {
  for (kk_derived **at = &t->store->derived, *d; (d = *at);) {
    const bool same = d->kind == kind && d->offset == t->offset && kk_shape_same(&d->shape, &t->shape);
    if (d->writes != t->store->writes || (same && d->layout != layout)) {
      *at = d->next;
      derived_free(d);
      continue;
    }
    if (same) return d;
    at = &d->next;
  }
  return NULL;
}

kk_derived *kk_derived_get(const kk_tensor *t, const void *kind, const void *layout, size_t size) {
  kk_derived *d = kk_derived_find(t, kind, layout);
  if (d || !(d = kk_alloc(sizeof *d))) return d;
  *d = (kk_derived){.next = t->store->derived, .kind = kind, .layout = layout, .shape = t->shape, .offset = t->offset,
                    .writes = t->store->writes, .size = size, .data = kk_alloc(size)};
  if (!d->data) {
    kk_free(d, sizeof *d);
    return NULL;
  }
  return t->store->derived = d;
}

void kk_derived_drop(kk_storage *s) {
  for (kk_derived *d; (d = s->derived);) {
    s->derived = d->next;
    derived_free(d);
  }
}
