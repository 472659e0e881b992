/* pickle_vm.h -- the machine that reads a pickle, as its two files share it. */
#ifndef KK_PICKLE_VM_H
#define KK_PICKLE_VM_H

#include "data/pickle.h"

typedef struct kk_pvm {
  kk_pickle *k;
  const char *where;
  const uint8_t *begin, *p, *end;
  size_t at;                  /* offset of the opcode at work                    */
  const char *op;             /* its name                                        */
  kk_pref *stack;
  uint32_t top, stack_cap;
  uint32_t *marks;            /* heights of the stack at the open marks          */
  uint32_t nmarks, marks_cap;
  kk_pref *memo;              /* UINT32_MAX where nothing was put                */
  uint32_t nmemo, memo_cap;
  size_t limit;               /* of k->memory and of the three lists above       */
  size_t lists;               /* bytes of those                                  */
  kk_err *e;
} kk_pvm;

kk_status kk_pvm_bad(kk_pvm *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A new value of that kind; *out is its index. Pointers to values do not survive it. */
kk_status kk_pvm_new(kk_pvm *m, int kind, kk_pref *out);
kk_status kk_pvm_append(kk_pvm *m, kk_pref container, kk_pref value);
kk_status kk_pvm_extend(kk_pvm *m, kk_pref container, const kk_pref *values, uint32_t n);
/* A text of n bytes that k owns. */
kk_status kk_pvm_text(kk_pvm *m, size_t n, char **out);

/* pickle_call.c: what REDUCE and NEWOBJ (f called with the tuple args), and BUILD, come to. */
kk_status kk_pvm_call(kk_pvm *m, kk_pref f, kk_pref args, kk_pref *out);
kk_status kk_pvm_build(kk_pvm *m, kk_pref object, kk_pref state);

#endif
