/* run.c -- the dispatcher: options, types, shapes, values, memory, then the kernel. */
#include <string.h>

#include "base/mem.h"
#include "grad/tape.h"
#include "linalg/gemm.h"
#include "tensor/rowset.h"

static kk_status run_options(kk_call *c, const double *opt, kk_err *e) {
  const kk_op *op = c->op;
  for (int i = 0, n = kk_op_nopt(op); i < n; i++) {
    const kk_opt *o = &op->opts[i];
    c->opt[i] = opt ? opt[i] : o->dflt;
    if (!(c->opt[i] >= o->min && c->opt[i] <= o->max))
      return kk_fail(e, KK_EARG, "%s: option %s is %g, expected %g..%g (%s)", op->name, o->name, c->opt[i], o->min,
                     o->max, o->about);
  }
  return KK_OK;
}

static const kk_term *run_term(const kk_sig *s, int i) { return &s->in[i < s->nin ? i : s->nin - 1]; }

/* Type that input i must have; 'a' inputs share the widest type among them. */
static kk_dtype run_wanted(const kk_term *t, kk_dtype widest) {
  switch (t->type) {
    case 'f': return KK_F32;
    case 'i': case 'n': return KK_I32;
    case 'b': return KK_U8;
    case 'w': return widest == KK_F32 ? KK_F32 : KK_I64;
    default: return widest;
  }
}

static int run_rank(kk_dtype d) { return d == KK_U8 ? 0 : d == KK_I32 ? 1 : d == KK_I64 ? 2 : 3; }

static kk_dtype run_widest(const kk_call *c, const kk_sig *s) {
  kk_dtype w = KK_U8;
  bool seen = false;
  for (int i = 0; i < c->nin; i++)
    if (c->src[i] && run_term(s, i)->type == 'a') {
      if (!seen || run_rank(kk_type(c->src[i])) > run_rank(w)) w = kk_type(c->src[i]);
      seen = true;
    }
  return seen ? w : KK_F32;
}

/* Refuses what conversion would hide: numbers with fractions where indices or masks are wanted. */
static kk_status run_types(const kk_call *c, const kk_sig *s, kk_dtype widest, kk_err *e) {
  for (int i = 0; i < c->nin; i++) {
    const kk_term *t = run_term(s, i);
    kk_dtype want = run_wanted(t, widest), have;
    if (!c->src[i]) continue;
    have = kk_type(c->src[i]);
    if (have == KK_F32 ? want != KK_F32 : want == KK_U8 && have != KK_U8)
      return kk_fail(e, KK_ETYPE, "%s: %s: %.*s is %s, expected %s", c->op->name, c->op->sig, t->len, t->name,
                     kk_dtype_name(have), kk_dtype_name(want));
  }
  return KK_OK;
}

/* in[i]: contiguous and of the wanted type; &-inputs become views expanded to the common shape. */
static kk_status run_inputs(kk_call *c, const kk_sig *s, kk_dtype widest, kk_err *e) {
  for (int i = 0; i < c->nin; i++) {
    const kk_term *t = run_term(s, i);
    kk_tensor *x = c->src[i];
    kk_dtype want = run_wanted(t, widest);
    bool bcast = memchr(t->dims, '&', (size_t)t->dims_len) != NULL;
    kk_status st = KK_OK;
    if (!x) continue;
    if (!(c->op->by_rows & 1u << i && kk_rowset_of(x))) kk_settle(x);
    if (kk_type(x) != want || (!bcast && !kk_contiguous(x))) st = kk_contiguous_copy(x, want, &c->in[i], e);
    else c->in[i] = kk_ref(x);
    if (!st && bcast) {
      kk_tensor *v = NULL;
      st = kk_view_expand(c->in[i], &c->any, &v, e);
      if (!st) {
        kk_unref(c->in[i]);
        c->in[i] = v;
      }
    }
    if (st) return st;
  }
  return KK_OK;
}

static void run_drop(kk_call *c) {
  for (int i = 0; i < KK_MAXIN; i++) kk_unref(c->in[i]);
  for (int i = 0; i < KK_MAXOUT; i++) kk_unref(c->out[i]);
  for (int i = 0; i < KK_MAXSAVE; i++) kk_unref(c->save[i]);
}

/* The shape of a result, where the op's shape function has not said it. */
static kk_status run_shape(const kk_call *c, const kk_term *t, kk_shape *s, kk_err *e) {
  if (kk_sig_shape(c, t, s) != KK_EARG) return KK_OK;
  return kk_fail(e, KK_ESHAPE, "%s: %s: %.*s would have more than %d dimensions", c->op->name, c->op->sig, t->len, t->name, KK_MAXDIM);
}

static kk_status run_allocate(kk_call *c, const kk_sig *s, kk_dtype widest, bool records, kk_err *e) {
  kk_shape shape[KK_MAXOUT + KK_MAXSAVE] = {0};
  kk_status st;
  if (c->op->shape && (st = c->op->shape(c, shape, e))) return st;
  for (int i = 0; i < s->nout; i++) {
    if ((st = run_shape(c, &s->out[i], &shape[i], e))) return st;
    if ((st = kk_tensor_new(run_wanted(&s->out[i], widest), &shape[i], &c->out[i], e))) return st;
  }
  c->nout = s->nout;
  c->records = records;
  c->nsave = records ? s->nsave : 0;
  for (int i = 0; i < c->nsave; i++) {
    if ((st = run_shape(c, &s->save[i], &shape[s->nout + i], e))) return st;
    if ((st = kk_tensor_new(run_wanted(&s->save[i], widest), &shape[s->nout + i], &c->save[i], e))) return st;
  }
  return KK_OK;
}

kk_status kk_op_run(const kk_op *op, const kk_args *a, kk_tape *tape, kk_tensor **out, kk_err *e) {
  kk_call c = {.op = op, .nin = a->nin};
  kk_sig s;
  kk_status st;
  kk_dtype widest;
  bool records = false;
  size_t scratch = 0;
  kk_sig_parse(op->sig, &s);
  bool variadic = s.nin && s.in[s.nin - 1].variadic;
  if (a->nin > KK_MAXIN) return kk_fail(e, KK_EARG, "%s: %d inputs, at most %d", op->name, a->nin, KK_MAXIN);
  if (a->nin < s.nin || (a->nin > s.nin && !variadic))
    return kk_fail(e, KK_EARG, "%s: %s: %d inputs, expected %d", op->name, op->sig, a->nin, s.nin);
  memcpy(c.src, a->in, sizeof c.src[0] * (size_t)a->nin);
  if (op->blas && (st = kk_gemm_ready(e))) return st;
  if ((st = run_options(&c, a->opt, e)) || (st = kk_sig_bind(&c, &s, e))) return st;
  widest = run_widest(&c, &s);
  if ((st = run_types(&c, &s, widest, e))) return st;
  if (op->random) {
    if (!a->stream) return kk_fail(e, KK_ESTATE, "%s: needs a random stream", op->name);
    c.key = kk_stream_key(a->stream);
  }
  for (int i = 0; i < c.nin; i++)
    if (run_term(&s, i)->constant) c.constant |= 1u << i;
  if (tape && tape->records && op->backward)
    for (int i = 0; i < c.nin; i++)
      if (c.src[i] && kk_wants_grad(c.src[i]) && !(c.constant & 1u << i)) records = true;
  if (records && tape->used) return kk_fail(e, KK_ESTATE, "%s: this tape already ran backward; open a new one", op->name);
  if ((st = run_inputs(&c, &s, widest, e))) goto fail;
  if (op->check && (st = op->check(&c, e))) goto fail;
  if ((st = run_allocate(&c, &s, widest, records, e))) goto fail;
  if (op->scratch && (scratch = op->scratch(&c, false)) > 0 && !(c.scratch = kk_alloc(scratch))) {
    st = kk_fail(e, KK_ENOMEM, "%s: out of memory for %zu bytes of scratch", op->name, scratch);
    goto fail;
  }
  op->forward(&c);
  kk_free(c.scratch, scratch);
  c.scratch = NULL;
  for (int i = 0; tape && i < c.nout && !st; i++) st = kk_tape_own(tape, c.out[i]->store, e);
  for (int i = 0; tape && i < c.nsave && !st; i++) st = kk_tape_own(tape, c.save[i]->store, e);
  if (st) goto fail;
  if (records) {
    for (int i = 0; i < c.nout; i++) c.out[i]->store->wants_grad = kk_type(c.out[i]) == KK_F32 && !s.out[i].constant;
    for (int i = 0; i < c.nin; i++) c.writes[i] = c.src[i] ? c.src[i]->store->writes : 0;
    if ((st = kk_tape_push(tape, &c, e))) goto fail;
  }
  for (int i = 0; i < c.nout; i++) {
    out[i] = c.out[i];
    c.out[i] = NULL;
  }
  run_drop(&c);
  return KK_OK;
fail:
  run_drop(&c);
  return st;
}
