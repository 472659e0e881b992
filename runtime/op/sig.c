/* sig.c -- reads an op's signature and binds its letters to sizes. The grammar stands in op.h.
** The same string is the shape check, the error text and the documentation. */
#include <ctype.h>
#include <string.h>

#include "op/op.h"

const kk_op *kk_op_find(const char *name) {
  for (const kk_op *const *p = kk_ops; *p; p++)
    if (strcmp((*p)->name, name) == 0) return *p;
  return NULL;
}

int kk_op_nopt(const kk_op *op) {
  int n = 0;
  while (n < KK_MAXOPT && op->opts[n].name) n++;
  return n;
}

int kk_op_index(const kk_op *op, const char *opt_name) {
  for (int i = 0, n = kk_op_nopt(op); i < n; i++)
    if (strcmp(op->opts[i].name, opt_name) == 0) return i;
  return -1;
}

/* Reads one term at *p; false at "->", ";" or the end. */
static bool sig_term(const char **p, kk_term *t) {
  const char *s = *p;
  while (*s == ' ') s++;
  *p = s;
  if (!islower((unsigned char)*s)) return false;
  *t = (kk_term){.name = s, .type = 'f'};
  while (islower((unsigned char)*s) || isdigit((unsigned char)*s) || *s == '_') s++;
  t->len = (int)(s - t->name);
  if (*s == ':') {
    t->type = s[1];
    s += 2;
  }
  t->dims = ++s;                            /* behind '[' */
  while (*s != ']') s++;
  t->dims_len = (int)(s - t->dims);
  s++;
  if (*s == '?') t->optional = true, s++;
  if (*s == '!') t->constant = true, s++;
  if (*s == '*') t->variadic = true, s++;
  *p = s;
  return true;
}

void kk_sig_parse(const char *sig, kk_sig *s) {
  s->nin = s->nout = s->nsave = 0;
  while (sig_term(&sig, &s->in[s->nin])) s->nin++;
  sig += 2;                                 /* "->" */
  while (sig_term(&sig, &s->out[s->nout])) s->nout++;
  if (*sig == ';') {
    sig++;
    while (sig_term(&sig, &s->save[s->nsave])) s->nsave++;
  }
}

/* The sizes of a term, after "...,": each a letter with a factor. */
typedef struct sizes { bool any, bcast, open; int n; char letter[KK_MAXDIM]; int64_t times[KK_MAXDIM]; } sizes;

static sizes sig_sizes(const kk_term *t) {
  sizes z = {0};
  const char *s = t->dims, *end = s + t->dims_len;
  while (s < end) {
    if (*s == '.') z.any = true, s += 3;
    else if (*s == '&') z.bcast = true, s++;
    else if (*s == '?') z.open = true, s++;
    else if (*s == ',') s++;
    else {
      int64_t k = 0;
      while (isdigit((unsigned char)*s)) k = 10 * k + (*s++ - '0');
      z.times[z.n] = k ? k : 1;
      z.letter[z.n++] = *s++;
    }
  }
  return z;
}

static kk_status bind_letter(kk_call *c, const kk_term *t, const sizes *z, int i, int64_t n, const kk_shape *s,
                             const kk_term **owner, const kk_shape **from, kk_err *e) {
  int k = z->letter[i] - 'A';
  char a[KK_SHAPE_STR], b[KK_SHAPE_STR];
  if (!from[k] && n % z->times[i] == 0) {
    c->dim[k] = n / z->times[i];
    owner[k] = t;
    from[k] = s;
    return KK_OK;
  }
  if (from[k] && c->dim[k] * z->times[i] == n) return KK_OK;
  if (!from[k])
    return kk_fail(e, KK_ESHAPE, "%s: %s: %lld in %.*s%s is not a multiple of %lld", c->op->name, c->op->sig,
                   (long long)n, t->len, t->name, kk_shape_str(s, a), (long long)z->times[i]);
  return kk_fail(e, KK_ESHAPE, "%s: %s: %c is %lld in %.*s%s but %lld%s in %.*s%s", c->op->name, c->op->sig, 'A' + k,
                 (long long)c->dim[k], owner[k]->len, owner[k]->name, kk_shape_str(from[k], a),
                 (long long)(n / z->times[i]), n % z->times[i] ? " and a part" : "", t->len, t->name, kk_shape_str(s, b));
}

/* Binds c->src (absent: NULL) to the signature: fills c->dim and c->any. KK_ESHAPE names the op, the
** letter and both shapes. */
kk_status kk_sig_bind(kk_call *c, const kk_sig *sig, kk_err *e) {
  const kk_op *op = c->op;
  const kk_term *owner[26], *any_owner = NULL;
  const kk_shape *from[26] = {0};
  char a[KK_SHAPE_STR], b[KK_SHAPE_STR];
  memset(c->dim, 0, sizeof c->dim);
  c->any = (kk_shape){0};
  for (int k = 0; k < c->nin; k++) {
    const kk_term *t = &sig->in[k < sig->nin ? k : sig->nin - 1];
    const kk_shape *s;
    kk_shape lead;
    if (!c->src[k]) {
      if (!t->optional) return kk_fail(e, KK_EARG, "%s: %s: %.*s is missing", op->name, op->sig, t->len, t->name);
      continue;
    }
    if (!kk_live(c->src[k]))
      return kk_fail(e, KK_ESTATE, "%s: %.*s was released when its scope closed", op->name, t->len, t->name);
    sizes z = sig_sizes(t);
    s = &c->src[k]->shape;
    if (z.open) continue;
    if (z.any || z.bcast ? s->ndim < z.n : s->ndim != z.n)
      return kk_fail(e, KK_ESHAPE, "%s: %s: %.*s has %d dimension%s %s, expected %s%d", op->name, op->sig, t->len, t->name,
                     s->ndim, s->ndim == 1 ? "" : "s", kk_shape_str(s, a), z.any ? "at least " : "", z.n);
    lead = *s;
    lead.ndim = s->ndim - z.n;
    if (z.bcast) {
      if (!any_owner) c->any = lead;
      else if (!kk_shape_broadcast(&c->any, &lead, &c->any))
        return kk_fail(e, KK_ESHAPE, "%s: %s: %.*s%s does not fit %s", op->name, op->sig, t->len, t->name,
                       kk_shape_str(s, a), kk_shape_str(&c->any, b));
      any_owner = t;
    } else if (z.any) {
      if (any_owner && !kk_shape_same(&c->any, &lead))
        return kk_fail(e, KK_ESHAPE, "%s: %s: %.*s is %s but %.*s has %s in front", op->name, op->sig, t->len, t->name,
                       kk_shape_str(s, a), any_owner->len, any_owner->name, kk_shape_str(&c->any, b));
      c->any = lead;
      any_owner = t;
    }
    for (int i = 0; i < z.n; i++)
      if (bind_letter(c, t, &z, i, s->n[s->ndim - z.n + i], s, owner, from, e)) return e->code;
  }
  return KK_OK;
}

/* The shape of an output or saved term; KK_ESHAPE when it is "?" (the op's shape function knows), KK_EARG
** when it has too many dimensions. */
kk_status kk_sig_shape(const kk_call *c, const kk_term *t, kk_shape *out) {
  sizes z = sig_sizes(t);
  if (z.open) return KK_ESHAPE;
  *out = z.any || z.bcast ? c->any : (kk_shape){0};
  if (out->ndim + z.n > KK_MAXDIM) return KK_EARG;
  for (int i = 0; i < z.n; i++) out->n[out->ndim++] = c->dim[z.letter[i] - 'A'] * z.times[i];
  return KK_OK;
}
