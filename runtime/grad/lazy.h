/* lazy.h -- a table whose rows may be late: which step each row stands at, and what the last steps were. */
#ifndef KK_LAZY_H
#define KK_LAZY_H

#include "grad/update.h"
#include "tensor/rowset.h"

enum { KK_LAZY_RING = 1024 };     /* steps remembered; a sweep sees to it that no row is later than half of that */

typedef struct kk_lazy {
  kk_rule rule;
  kk_tensor *p, *state[2];        /* the optimizer's references */
  int64_t rows, width, step;      /* step: steps done           */
  int64_t *at;                    /* [rows] the step each row stands at  */
  int32_t *list;                  /* [rows] rows to bring up to date     */
  uint8_t *listed;                /* [rows] */
  int64_t swept;                  /* the sweep's next row */
  kk_hyper past[KK_LAZY_RING];
} kk_lazy;

/* A table of this shape is worth it. */
bool kk_lazy_fits(const kk_tensor *p);
kk_status kk_lazy_new(kk_rule rule, kk_tensor *p, kk_tensor *const state[2], kk_lazy **out, kk_err *e);
void kk_lazy_free(kk_lazy *l);    /* settles where it still owns the table */
/* The table's record; NULL when the table was released, or is another optimizer's by now. */
kk_rowset *kk_lazy_rows(const kk_lazy *l);
void kk_lazy_settle(kk_lazy *l);
bool kk_lazy_pays(const kk_lazy *l, const kk_rowset *r);
/* The rows from .. to - 1 that have a gradient: step h. */
void kk_lazy_update(kk_lazy *l, kk_rowset *r, int64_t from, int64_t to, const kk_hyper *h);
void kk_lazy_done(kk_lazy *l, kk_rowset *r, const kk_hyper *h);   /* behind all kk_lazy_update of a step */

#endif
