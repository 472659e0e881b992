/* tape.h -- owns what one step of work creates; replays it backwards. */
#ifndef KK_TAPE_H
#define KK_TAPE_H

#include "op/op.h"

typedef struct kk_tape {
  bool records;               /* false: a plain scope, for inference */
  bool used;                  /* backward ran */
  int n, cap;
  kk_call *calls;             /* in order of execution: already topological */
  int nowned, cap_owned;
  kk_storage **owned;         /* every storage made while this was innermost */
} kk_tape;

kk_status kk_tape_new(bool records, kk_tape **out, kk_err *e);
/* The scope takes part in the storage's life: freed at close unless kept. */
kk_status kk_tape_own(kk_tape *t, kk_storage *s, kk_err *e);
kk_status kk_tape_push(kk_tape *t, const kk_call *c, kk_err *e);   /* takes its own references on success */
/* Adds d loss / d x into the gradient of every x that wants one. seed: gradient of the loss, NULL = 1. */
kk_status kk_tape_backward(kk_tape *t, kk_tensor *loss, const kk_tensor *seed, kk_err *e);
void kk_tape_free(kk_tape *t);  /* releases every owned storage that is not kept */
void kk_tape_abandon(kk_tape *t);   /* the same, but what somebody still holds lives on */

/* Arguments of one application. nin counts what is in in[] (absent optional inputs are NULL). */
typedef struct kk_args {
  int nin;
  kk_tensor *in[KK_MAXIN];
  const double *opt;             /* one number per option, or NULL for the defaults */
  kk_stream *stream;             /* random ops draw their key here                  */
} kk_args;

/* run.c: applies op. out[] receives op's outputs, each a reference the caller owns. On failure nothing
** was created and out is untouched. tape may be NULL. */
kk_status kk_op_run(const kk_op *op, const kk_args *a, kk_tape *tape, kk_tensor **out, kk_err *e);

#endif
