#include "grad/tape.h"

#include <string.h>

#include "base/mem.h"
#include "tensor/rowset.h"

kk_status kk_tape_new(bool records, kk_tape **out, kk_err *e) {
  kk_tape *t = kk_calloc(sizeof *t);
  if (!t) return kk_fail(e, KK_ENOMEM, "tape: out of memory");
  t->records = records;
  *out = t;
  return KK_OK;
}

/* Room for one more element of size bytes in *v; the array doubles. */
static kk_status tape_room(void **v, int n, int *cap, size_t size, kk_err *e) {
  int more = *cap ? 2 * *cap : 16;
  void *p;
  if (n < *cap) return KK_OK;
  p = kk_realloc(*v, (size_t)*cap * size, (size_t)more * size);
  if (!p) return kk_fail(e, KK_ENOMEM, "tape: out of memory after %d entries", n);
  *v = p;
  *cap = more;
  return KK_OK;
}

kk_status kk_tape_own(kk_tape *t, kk_storage *s, kk_err *e) {
  if (tape_room((void **)&t->owned, t->nowned, &t->cap_owned, sizeof *t->owned, e)) return e->code;
  t->owned[t->nowned++] = kk_storage_ref(s);
  return KK_OK;
}

kk_status kk_tape_push(kk_tape *t, const kk_call *c, kk_err *e) {
  kk_call *k;
  if (tape_room((void **)&t->calls, t->n, &t->cap, sizeof *t->calls, e)) return e->code;
  k = &t->calls[t->n++];
  *k = *c;
  for (int i = 0; i < c->nin; i++) {
    if (c->src[i]) kk_ref(c->src[i]);
    if (c->in[i]) kk_ref(c->in[i]);
  }
  for (int i = 0; i < c->nout; i++) kk_ref(c->out[i]);
  for (int i = 0; i < c->nsave; i++) kk_ref(c->save[i]);
  return KK_OK;
}

/* A gradient can be written in place when the kernel's picture of the input is the input itself. */
static bool tape_direct(const kk_call *c, int i) {
  return c->in[i]->store == c->src[i]->store && kk_contiguous(c->in[i]) && kk_shape_same(&c->in[i]->shape, &c->src[i]->shape);
}

static size_t tape_round(size_t n) { return (n + 63) & ~(size_t)63; }

/* Does anybody want the gradient of input i of this call? */
static bool tape_wanted(const kk_call *c, int i) {
  return c->src[i] && kk_type(c->src[i]) == KK_F32 && kk_wants_grad(c->src[i]) && !(c->constant & 1u << i);
}

/* Bytes of temporaries for c's backward: gradients that cannot be written in place, then scratch. */
static size_t tape_temporary(const kk_call *c) {
  size_t n = 0;
  for (int i = 0; i < c->nin; i++)
    if (tape_wanted(c, i) && !tape_direct(c, i)) n += tape_round((size_t)kk_numel(&c->in[i]->shape) * sizeof(kk_real));
  return n + (c->op->scratch ? c->op->scratch(c, true) : 0);
}

static void tape_call_backward(kk_call *c, char *temp) {
  bool any = false;
  for (int i = 0; i < c->nin; i++) {
    c->din[i] = NULL;
    if (!tape_wanted(c, i)) continue;
    any = true;
    if (tape_direct(c, i)) {
      kk_rowset *rows = c->src[i]->store->rows;
      c->din[i] = c->src[i]->store->grad + c->src[i]->offset;
      if (rows && !(c->op->by_rows & 1u << i && kk_rowset_of(c->src[i]))) rows->all = true;
    } else {
      size_t n = (size_t)kk_numel(&c->in[i]->shape) * sizeof(kk_real);
      c->din[i] = (kk_real *)(void *)temp;
      memset(temp, 0, n);
      temp += tape_round(n);
    }
  }
  if (!any) return;                          /* nobody wants it any more: t:param(false) after it was recorded */
  c->scratch = temp;
  c->op->backward(c);
  for (int i = 0; i < c->nin; i++) {
    kk_tensor view;
    if (!c->din[i] || tape_direct(c, i)) continue;
    /* the strides that lead from the kernel's picture back to the input: expanded dimensions have 0 */
    view = *c->src[i];
    if (!kk_shape_same(&c->in[i]->shape, &view.shape)) {
      int lead = c->in[i]->shape.ndim - view.shape.ndim;
      view.shape = c->in[i]->shape;
      for (int d = 0; d < view.shape.ndim; d++)
        view.stride[d] = d < lead || (c->src[i]->shape.n[d - lead] == 1 && view.shape.n[d] != 1) ? 0 : c->src[i]->stride[d - lead];
    }
    kk_grad_add(&view, c->din[i]);
  }
}

static kk_status tape_check(const kk_tape *t, const kk_tensor *loss, const kk_tensor *seed, kk_err *e) {
  char a[KK_SHAPE_STR], b[KK_SHAPE_STR];
  bool here = false;
  if (!t->records) return kk_fail(e, KK_ESTATE, "backward: this is a scope, not a tape: it recorded nothing");
  if (t->used) return kk_fail(e, KK_ESTATE, "backward: this tape already ran backward");
  if (!kk_live(loss)) return kk_fail(e, KK_ESTATE, "backward: the loss was released when its scope closed");
  if (!kk_wants_grad(loss)) return kk_fail(e, KK_ESTATE, "backward: the loss does not depend on any parameter");
  if (!seed && kk_numel(&loss->shape) != 1)
    return kk_fail(e, KK_ESHAPE, "backward: the loss must be one number, got %s; reduce it or give its gradient",
                   kk_shape_str(&loss->shape, b));
  if (seed && (!kk_shape_same(&seed->shape, &loss->shape) || kk_type(seed) != KK_F32 || !kk_live(seed)))
    return kk_fail(e, KK_ESHAPE, "backward: the gradient is %s %s, expected float32 %s", kk_dtype_name(kk_type(seed)),
                   kk_shape_str(&seed->shape, a), kk_shape_str(&loss->shape, b));
  for (int k = 0; k < t->n; k++) {
    const kk_call *c = &t->calls[k];
    for (int i = 0; i < c->nin; i++)
      if (c->in[i] && !kk_live(c->in[i]))
        return kk_fail(e, KK_ESTATE, "backward: an input of %s, %s, was released when its scope closed", c->op->name,
                       kk_shape_str(&c->in[i]->shape, b));
      else if (c->src[i] && c->in[i]->store == c->src[i]->store && c->src[i]->store->writes != c->writes[i])
        return kk_fail(e, KK_ESTATE, "backward: an input of %s, %s, was written after it was used; copy it before the write",
                       c->op->name, kk_shape_str(&c->src[i]->shape, b));
    for (int i = 0; i < c->nout; i++) {
      if (c->out[i]->store->writes)
        return kk_fail(e, KK_ESTATE, "backward: the result of %s, %s, was written after it was made; copy it before the write",
                       c->op->name, kk_shape_str(&c->out[i]->shape, b));
      here |= c->out[i]->store == loss->store;
    }
  }
  if (!here) return kk_fail(e, KK_ESTATE, "backward: the loss was not computed on this tape");
  return KK_OK;
}

kk_status kk_tape_backward(kk_tape *t, kk_tensor *loss, const kk_tensor *seed, kk_err *e) {
  kk_status st = tape_check(t, loss, seed, e);
  size_t most = 0;
  char *temp;
  kk_tensor *g = NULL;
  if (st) return st;
  for (int k = 0; k < t->n && !st; k++) {      /* all memory first: nothing can fail half way */
    kk_call *c = &t->calls[k];
    size_t n = tape_temporary(c);
    if (n > most) most = n;
    for (int i = 0; i < c->nin && !st; i++)
      if (tape_wanted(c, i)) st = kk_tensor_need_grad(c->src[i], e);
    for (int i = 0; i < c->nout && !st; i++)     /* kernels read it, whoever says now that it is not wanted */
      if (kk_type(c->out[i]) == KK_F32) st = kk_tensor_need_grad(c->out[i], e);
  }
  if (!st) st = kk_tensor_need_grad(loss, e);
  if (!st && seed) st = kk_contiguous_copy(seed, KK_F32, &g, e);
  if (st) return st;
  temp = kk_alloc(most);
  if (!temp) {
    kk_unref(g);
    return kk_fail(e, KK_ENOMEM, "backward: out of memory for %zu bytes", most);
  }
  t->used = true;
  const kk_real one = 1;
  kk_grad_add(loss, g ? kk_real_data(g) : &one);
  for (int k = t->n - 1; k >= 0; k--) tape_call_backward(&t->calls[k], temp);
  kk_free(temp, most);
  kk_unref(g);
  return KK_OK;
}

void kk_tape_abandon(kk_tape *t) {
  for (int i = 0; t && i < t->nowned; i++) t->owned[i]->kept = true;
  kk_tape_free(t);
}

void kk_tape_free(kk_tape *t) {
  if (!t) return;
  for (int k = 0; k < t->n; k++) {
    kk_call *c = &t->calls[k];
    for (int i = 0; i < c->nin; i++) kk_unref(c->src[i]), kk_unref(c->in[i]);
    for (int i = 0; i < c->nout; i++) {
      c->out[i]->store->wants_grad = false;      /* one that is kept has no history any more */
      kk_unref(c->out[i]);
    }
    for (int i = 0; i < c->nsave; i++) kk_unref(c->save[i]);
  }
  for (int i = 0; i < t->nowned; i++) {
    if (!t->owned[i]->kept) kk_storage_clear(t->owned[i]);
    kk_storage_unref(t->owned[i]);
  }
  kk_free(t->calls, (size_t)t->cap * sizeof *t->calls);
  kk_free(t->owned, (size_t)t->cap_owned * sizeof *t->owned);
  kk_free(t, sizeof *t);
}
