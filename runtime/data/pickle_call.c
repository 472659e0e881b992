/* pickle_call.c -- what a call means that a pickle asks for: one case a name, each makes a plain value. Nothing is run. */
#include <string.h>

#include "data/pickle_vm.h"

static kk_pvalue *call_value(kk_pvm *m, kk_pref v) { return &m->k->v[v]; }
static bool call_is_sequence(const kk_pvalue *v) { return v->kind == KK_P_LIST || v->kind == KK_P_TUPLE || v->kind == KK_P_SET; }

static kk_status call_bad(kk_pvm *m, const kk_pname *g) { return kk_pvm_bad(m, "%s.%s with arguments that it does not take", g->module, g->name); }

/* list(), list(values): a new container with the values of the one argument. */
static kk_status call_sequence(kk_pvm *m, const kk_pname *g, int kind, kk_pref args, kk_pref *out) {
  const kk_pvalue *a = call_value(m, args);
  kk_pref from = a->u.c.n ? a->u.c.p[0] : args;             /* no argument: args itself is empty */
  if (a->u.c.n > 1 || !call_is_sequence(call_value(m, from))) return call_bad(m, g);
  kk_status st = kk_pvm_new(m, kind, out);
  if (st) return st;
  const kk_pvalue *v = call_value(m, from);
  return kk_pvm_extend(m, *out, v->u.c.p, v->u.c.n);
}

/* dict(), dict(another), dict(list of pairs). */
static kk_status call_dict(kk_pvm *m, const kk_pname *g, kk_pref args, kk_pref *out) {
  const kk_pvalue *a = call_value(m, args);
  kk_pref from = a->u.c.n ? a->u.c.p[0] : args;
  if (a->u.c.n > 1) return call_bad(m, g);
  kk_status st = kk_pvm_new(m, KK_P_DICT, out);
  if (st) return st;
  const kk_pvalue *v = call_value(m, from);
  if (v->kind == KK_P_DICT) return kk_pvm_extend(m, *out, v->u.c.p, v->u.c.n);
  if (v->kind != KK_P_LIST && v->kind != KK_P_TUPLE) return call_bad(m, g);
  for (uint32_t i = 0; i < v->u.c.n && !st; i++) {
    const kk_pvalue *pair = call_value(m, v->u.c.p[i]);
    if ((pair->kind != KK_P_LIST && pair->kind != KK_P_TUPLE) || pair->u.c.n != 2) return call_bad(m, g);
    st = kk_pvm_extend(m, *out, pair->u.c.p, 2);
  }
  return st;
}

/* int(), int(5): a value of the kind, or its zero. */
static kk_status call_scalar(kk_pvm *m, const kk_pname *g, int kind, kk_pref args, kk_pref *out) {
  const kk_pvalue *a = call_value(m, args);
  if (a->u.c.n == 0) return kk_pvm_new(m, kind, out);
  if (a->u.c.n > 1 || call_value(m, a->u.c.p[0])->kind != kind) return call_bad(m, g);
  *out = a->u.c.p[0];
  return KK_OK;
}

/* _codecs.encode(text, "latin1"): bytes. */
static kk_status call_encode(kk_pvm *m, const kk_pname *g, kk_pref args, kk_pref *out) {
  const kk_pvalue *a = call_value(m, args);
  char *to = NULL, *begin = NULL;
  if (a->u.c.n != 2) return call_bad(m, g);
  const kk_pvalue *text = call_value(m, a->u.c.p[0]), *name = call_value(m, a->u.c.p[1]);
  if (text->kind != KK_P_STR || (!kk_pvalue_is(name, "latin1") && !kk_pvalue_is(name, "latin-1"))) return call_bad(m, g);
  const uint8_t *p = (const uint8_t *)text->u.s.p, *end = p + text->u.s.n;
  kk_status st = kk_pvm_text(m, text->u.s.n, &begin);
  if (!st) st = kk_pvm_new(m, KK_P_BYTES, out);
  if (st) return st;
  for (to = begin; p < end; p++) {
    uint8_t c = *p;
    if (c >= 0xC4) return kk_pvm_bad(m, "a character beyond latin1");
    if (c >= 0xC2) c = (uint8_t)(c << 6 | (*++p & 63));     /* the text is UTF-8: another byte follows */
    *to++ = (char)c;
  }
  call_value(m, *out)->u.s.p = begin;
  call_value(m, *out)->u.s.n = (uint32_t)(to - begin);
  return KK_OK;
}

/* scalar(dtype("f8"), bytes): the number. */
static kk_status call_numpy_scalar(kk_pvm *m, const kk_pname *g, kk_pref args, kk_pref *out) {
  static const struct { const char *name; int size, kind; } types[] = {
    {"f8", 8, KK_P_FLOAT}, {"f4", 4, KK_P_FLOAT}, {"i8", 8, KK_P_INT}, {"i4", 4, KK_P_INT}, {"b1", 1, KK_P_BOOL}};
  const kk_pvalue *a = call_value(m, args);
  if (a->u.c.n != 2) return call_bad(m, g);
  const kk_pvalue *type = call_value(m, a->u.c.p[0]), *bytes = call_value(m, a->u.c.p[1]);
  if (type->kind != KK_P_CALL || bytes->kind != KK_P_BYTES) return call_bad(m, g);
  if (call_value(m, type->u.pair.a)->u.g->g != KK_G_NUMPY_DTYPE) return call_bad(m, g);
  const kk_pvalue *dtype = call_value(m, type->u.pair.b);
  if (dtype->u.c.n < 1) return call_bad(m, g);
  const kk_pvalue *name = call_value(m, dtype->u.c.p[0]);
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    if (!kk_pvalue_is(name, types[i].name) || (int)bytes->u.s.n != types[i].size) continue;
    const char *p = bytes->u.s.p;
    kk_pvalue v = {.kind = (uint8_t)types[i].kind};
    float f;
    int32_t n;
    if (types[i].kind == KK_P_BOOL) v.u.i = *p != 0;
    else if (types[i].size == 8) memcpy(&v.u, p, 8);
    else if (types[i].kind == KK_P_FLOAT) memcpy(&f, p, 4), v.u.f = (double)f;
    else memcpy(&n, p, 4), v.u.i = n;
    kk_status st = kk_pvm_new(m, v.kind, out);
    if (!st) *call_value(m, *out) = v;
    return st;
  }
  return kk_pvm_bad(m, "a numpy scalar of a type that is not read (f8, f4, i8, i4, b1 are)");
}

kk_status kk_pvm_call(kk_pvm *m, kk_pref f, kk_pref args, kk_pref *out) {
  if (call_value(m, args)->kind != KK_P_TUPLE) return kk_pvm_bad(m, "a call whose arguments are no tuple");
  if (call_value(m, f)->kind != KK_P_GLOBAL) return kk_pvm_bad(m, "a %s is called", kk_pkind_name(call_value(m, f)->kind));
  const kk_pname *g = call_value(m, f)->u.g;
  switch (g->g) {
    case KK_G_ORDERED_DICT:
    case KK_G_DICT: return call_dict(m, g, args, out);
    case KK_G_LIST:
    case KK_G_FASTCORE_L: return call_sequence(m, g, KK_P_LIST, args, out);
    case KK_G_TUPLE:
    case KK_G_SIZE: return call_sequence(m, g, KK_P_TUPLE, args, out);
    case KK_G_SET: return call_sequence(m, g, KK_P_SET, args, out);
    case KK_G_INT: return call_scalar(m, g, KK_P_INT, args, out);
    case KK_G_FLOAT: return call_scalar(m, g, KK_P_FLOAT, args, out);
    case KK_G_BOOL: return call_scalar(m, g, KK_P_BOOL, args, out);
    case KK_G_STR: return call_scalar(m, g, KK_P_STR, args, out);
    case KK_G_BYTES: return call_scalar(m, g, KK_P_BYTES, args, out);
    case KK_G_ENCODE: return call_encode(m, g, args, out);
    case KK_G_NUMPY_SCALAR: return call_numpy_scalar(m, g, args, out);
    case KK_G_NUMPY_DTYPE:
    case KK_G_TENSOR:
    case KK_G_TENSOR_V2:
    case KK_G_PARAMETER: {
      kk_status st = kk_pvm_new(m, KK_P_CALL, out);
      if (!st) call_value(m, *out)->u.pair.a = f, call_value(m, *out)->u.pair.b = args;
      return st;
    }
    default: return kk_pvm_bad(m, "%s.%s is called", g->module, g->name);
  }
}

/* The attributes of a state_dict (its versions) are of no use here; a dtype's say its byte order; an L keeps its items there. */
kk_status kk_pvm_build(kk_pvm *m, kk_pref object, kk_pref state) {
  const kk_pvalue *o = call_value(m, object), *s = call_value(m, state);
  if (o->kind == KK_P_DICT && (s->kind == KK_P_DICT || s->kind == KK_P_NONE)) return KK_OK;
  if (o->kind == KK_P_CALL && call_value(m, o->u.pair.a)->u.g->g == KK_G_NUMPY_DTYPE && s->kind == KK_P_TUPLE) {
    const kk_pvalue *order = s->u.c.n > 1 ? call_value(m, s->u.c.p[1]) : s;
    if (kk_pvalue_is(order, "<") || kk_pvalue_is(order, "|")) return KK_OK;
    return kk_pvm_bad(m, "a numpy type that is not little-endian");
  }
  const kk_pvalue *items = o->kind == KK_P_LIST ? kk_pickle_field(m->k, s, "items") : NULL;
  if (items && items->kind == KK_P_LIST && items != o && o->u.c.n == 0) return kk_pvm_extend(m, object, items->u.c.p, items->u.c.n);
  return kk_pvm_bad(m, "a %s gets attributes", kk_pkind_name(o->kind));
}
