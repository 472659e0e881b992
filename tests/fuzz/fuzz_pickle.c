/* fuzz_pickle.c -- the pickle interpreter: damaged pickles of every protocol and of a model with its optimizer. */
#include "data/pickle.h"

#include "fuzz.h"

static const char *const fuzz_seeds[] = {
  "tests/golden/pretrained/itos0.pkl", "tests/golden/pretrained/itos1.pkl", "tests/golden/pretrained/itos2.pkl",
  "tests/golden/pretrained/itos4.pkl", "tests/golden/pretrained/values0.pkl", "tests/golden/pretrained/values2.pkl",
  "tests/golden/pretrained/values5.pkl", "tests/golden/pretrained/model_opt.pkl", NULL};

/* Every value is looked at, so that one that points outside is found. */
static uint64_t look(const kk_pickle *k) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < k->n; i++) {
    const kk_pvalue *v = &k->v[i];
    if (v->kind >= KK_P_LIST && v->kind <= KK_P_SET)
      for (uint32_t j = 0; j < v->u.c.n; j++) sum += k->v[v->u.c.p[j]].kind;
    if (v->kind == KK_P_STR || v->kind == KK_P_BYTES || v->kind == KK_P_LONG)
      for (uint32_t j = 0; j < v->u.s.n; j++) sum += (uint8_t)v->u.s.p[j];
    if (v->kind == KK_P_CALL) sum += k->v[v->u.pair.a].u.g->g + k->v[v->u.pair.b].u.c.n;
    if (v->kind == KK_P_PERSISTENT) sum += k->v[v->u.pair.a].kind;
    if (v->kind == KK_P_GLOBAL) sum += strlen(v->u.g->name);
  }
  return sum;
}

static int fuzz_one(const uint8_t *p, size_t n) {
  volatile uint64_t seen;
  kk_pickle k;
  kk_err e = {0};
  kk_status st = kk_pickle_read(&k, "input", p, n, (kk_pickle_limits){1 << 20}, &e);
  if (st) return st == KK_EFORMAT && e.code == st && *e.msg ? 0 : -1;
  seen = look(&k);
  (void)seen;
  kk_pickle_close(&k);
  return 1;
}
