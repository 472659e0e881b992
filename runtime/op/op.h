/* op.h -- what an operation is. One op, one file in op/, one kk_op constant; the build collects
** them into kk_ops. From the constant come the Lua function, argument checks, error texts, help,
** the gradient test, the refusal tests and the out-of-memory test, with no further edit. */
#ifndef KK_OP_H
#define KK_OP_H

#include "base/stop.h"
#include "tensor/random.h"
#include "tensor/tensor.h"

enum { KK_MAXIN = 12, KK_MAXOUT = 6, KK_MAXSAVE = 6, KK_MAXOPT = 8 };

struct kk_op;
struct kk_sample;

/* One application of an op. The dispatcher binds shapes, makes inputs contiguous and of the wanted
** type, and allocates out, save, scratch and gradients before it calls a kernel: kernels cannot fail. */
typedef struct kk_call {
  const struct kk_op *op;
  int nin, nout, nsave;
  bool records;                  /* backward may follow                                          */
  kk_tensor *src[KK_MAXIN];      /* what the caller gave; NULL where an optional input is absent */
  kk_tensor *in[KK_MAXIN];       /* contiguous, right type: src itself or a copy                 */
  kk_tensor *out[KK_MAXOUT];
  kk_tensor *save[KK_MAXSAVE];   /* kept for backward */
  kk_real *din[KK_MAXIN];        /* backward: gradient to add into, NULL where nobody wants it   */
  double opt[KK_MAXOPT];         /* numbers; enum options hold the index, flags 0 or 1           */
  int64_t dim[26];               /* size bound to each letter of the signature                   */
  uint32_t constant;             /* bit i: input i is declared constant                           */
  kk_shape any;                  /* what "..." or "&" stood for                                  */
  uint64_t key;                  /* random ops: this call's key, the same in backward            */
  uint64_t writes[KK_MAXIN];     /* storage versions at the time of recording                    */
  void *scratch;                 /* op->scratch bytes, for the duration of one kernel            */
} kk_call;

typedef struct kk_opt {
  const char *name;
  double dflt, min, max;
  const char *about;             /* meaning, with unit */
  const char *choices;           /* enum option: "none mean sum"; dflt is an index; else NULL */
} kk_opt;

/* What the generic test starts from. Unset inputs are made from the signature with the sizes in dim
** (0: 2, 3, 4, ... by order of appearance) and random contents; set range for numbers outside (-1,1). */
typedef struct kk_sample {
  int nin;                       /* for variadic ops */
  kk_shape shape[KK_MAXIN];      /* for "?" inputs and "&" inputs; ndim = -1: not set */
  int64_t dim[26];
  double lo[KK_MAXIN], hi[KK_MAXIN];   /* range of the random numbers; indices and masks: see index */
  int32_t index[KK_MAXIN];       /* i-inputs: drawn from 0 .. index - 1 */
  const int32_t *numbers[KK_MAXIN];    /* n-inputs: the very numbers */
  double opt[KK_MAXOPT];         /* starts as the defaults */
  bool absent[KK_MAXIN];         /* leave an optional input out */
} kk_sample;

/* Signature grammar:
**   sig   = term* "->" term+ [";" term+]        inputs -> outputs ; saved for backward
**   term  = name [":" type] "[" dims "]" ["?"] ["!"] ["*"]     ? optional   ! constant: no gradient flows
**           * one or more (last input only)
**   type  = f float32 (default) | i index: int32, counted from 1 in Lua, from 0 here | n int32 number
**         | b uint8 mask | a any type, the same for every a-term
**         | w for an output: float32 where the a-terms are, int64 where they are integers
**   dims  = "" scalar | "..." any shape, the same everywhere | "...,D" rows of D | "&" broadcast with the others
**         | "?" for an input: any shape; for an output: set by the op's shape function
**         | sizes separated by commas
**   size  = LETTER | INT LETTER (4H: four times H)
** in[i] of an &-term is a view expanded to the common shape, its strides as they come (0 where it is
** repeated): read it with kk_each. Its din[i] is a contiguous buffer of the common shape.
** save[i] is NULL when nothing is recorded: a kernel then keeps nothing. */
typedef struct kk_op {
  const char *name;              /* Lua name and first word of every error            */
  const char *sig;
  const char *about;             /* the formula and its source, one line: documentation */
  kk_opt opts[KK_MAXOPT];        /* ends at the first NULL name                        */
  bool random;                   /* draws c->key from the caller's stream              */
  uint32_t by_rows;              /* bit i: input i is a table of which the kernels read single rows, after kk_rowset_read, and  */
                                 /* mark those whose gradient they add to (tensor/rowset.h)              */
  bool blas;                     /* kernels call linalg's products: refused early when there is no BLAS */
  kk_status (*shape)(kk_call *c, kk_shape *out, kk_err *e);  /* fills the shapes of "?" outputs and, behind */
                                 /* the outputs, of "?" saved tensors (out[nout + i]); may refuse       */
  kk_status (*check)(const kk_call *c, kk_err *e);  /* values (indices in range), never shapes     */
  size_t (*scratch)(const kk_call *c, bool backward);        /* bytes of c->scratch wanted         */
  void (*forward)(kk_call *c);
  void (*backward)(kk_call *c);  /* adds into c->din; NULL = not differentiable */
  /* Optional: makes inputs for the generic test when random numbers in (-1,1) of small shapes will not
  ** do, and sets options. variant counts from 0; answers false when there is no such variant. */
  bool (*sample)(int variant, struct kk_sample *s);
} kk_op;

/* What kernels use. */
#define KK_DIM(c, letter) ((c)->dim[(letter) - 'A'])
static inline const kk_real *kk_in(const kk_call *c, int i) { return c->in[i] ? kk_real_data(c->in[i]) : NULL; }
static inline const int32_t *kk_idx(const kk_call *c, int i) { return c->in[i] ? kk_i32_data(c->in[i]) : NULL; }
static inline const uint8_t *kk_mask(const kk_call *c, int i) { return c->in[i] ? (const uint8_t *)kk_data(c->in[i]) : NULL; }
static inline kk_real *kk_out(const kk_call *c, int i) { return kk_real_data(c->out[i]); }
static inline kk_real *kk_saved(const kk_call *c, int i) { return kk_real_data(c->save[i]); }
static inline const kk_real *kk_dout(const kk_call *c, int i) { return c->out[i]->store->grad; }   /* zeros where unused */
static inline int64_t kk_rows(const kk_call *c) { return kk_numel(&c->any); }        /* product of "..." */

extern const kk_op *const kk_ops[];      /* generated from the files in op/, ends with NULL */
const kk_op *kk_op_find(const char *name);
int kk_op_nopt(const kk_op *op);
int kk_op_index(const kk_op *op, const char *opt_name);   /* of an option, -1 if there is none */

/* sig.c */
typedef struct kk_term { const char *name, *dims; int len, dims_len; char type; bool optional, constant, variadic; } kk_term;
typedef struct kk_sig { int nin, nout, nsave; kk_term in[KK_MAXIN], out[KK_MAXOUT], save[KK_MAXSAVE]; } kk_sig;
void kk_sig_parse(const char *sig, kk_sig *s);            /* signatures are constants: trusted */
kk_status kk_sig_bind(kk_call *c, const kk_sig *s, kk_err *e);
kk_status kk_sig_shape(const kk_call *c, const kk_term *t, kk_shape *out);   /* KK_ESHAPE for "?", KK_EARG: too many dimensions */

#endif
