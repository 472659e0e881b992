/* optim.h -- one step over all parameters: clip, decay, update and back to zero gradients.
**
** Two passes over memory: the norm of all gradients, then everything else. Both walk one list of pieces of all
** parameters (small ones share a chunk of the pool), cut by sizes alone: the same bits for any number of threads.
**
** A table of which ops read single rows only (an embedding that is not tied) is updated late: a step touches the rows
** with a gradient; the others catch up when they are read, saved or swept, by the very steps they missed, each with a
** gradient of zero: m = b1 m, v = b2 v, p = keep p - rate m / (sqrt(fix v) + eps), with the learning rate and the betas
** of its time. That is the dense arithmetic, so the result is the dense one to the bit. It wins because a row that
** catches up stays in the first-level cache for all its steps, and because the costly part ends once the first moment
** has decayed to zero. Whether a step is late or dense is decided at each step: dense where any other op added to the
** gradient, or where more than a quarter of the rows have one. */
#ifndef KK_OPTIM_H
#define KK_OPTIM_H

#include "tensor/tensor.h"

typedef enum kk_rule {
  KK_ADAM,    /* Kingma & Ba 2015, algorithm 1; state: m, v                                              */
  KK_SGD,     /* with momentum and Nesterov's, as torch.optim.SGD has them; state: buffer, may be absent */
  KK_ASGD     /* averaged SGD (Polyak & Juditsky 1992), as torch.optim.ASGD; state: average              */
} kk_rule;

/* One parameter: a whole contiguous float32 tensor, and its state, of the same shape. */
typedef struct kk_slot {
  kk_tensor *p, *state[2];
  int group;                  /* index of its rate and decay */
} kk_slot;

typedef struct kk_group { double rate, decay; } kk_group;

typedef struct kk_step {
  double lr;                  /* times the group's rate                                                   */
  double momentum;            /* Adam: beta1; SGD: momentum; ASGD: not used                               */
  double beta2, eps;          /* Adam                                                                     */
  double clip;                /* largest norm of all gradients together; INFINITY: none                   */
  double scale;               /* of the gradient, besides clipping: 1                                     */
  int64_t count;              /* this step's number, from 1: bias correction                              */
  int64_t since;              /* ASGD: the average begins behind this step; INT64_MAX: not yet            */
  double lambd, alpha;        /* ASGD: decay of p, and power of the falling rate                          */
  bool nesterov;
  bool leave;                 /* the gradients stay as they are, and the norm is not asked for            */
} kk_step;
/* A group's decay is decoupled for Adam (p *= 1 - lr decay: AdamW, Loshchilov & Hutter 2019) and added to the gradient
** for SGD and ASGD (g += decay p), as in torch.optim. */

typedef struct kk_optim kk_optim;
/* lazy: tables may be updated row by row. Takes references. A parameter that is listed twice is refused: here when
** lazy, else by the step. */
kk_status kk_optim_new(kk_rule rule, const kk_slot *slots, int n, int groups, bool lazy, kk_optim **out, kk_err *e);
void kk_optim_free(kk_optim *o);                          /* settles first; NULL is fine */
void kk_optim_group(kk_optim *o, int i, kk_group g);      /* groups start with rate 1 and decay 0 */
int kk_optim_groups(const kk_optim *o);
kk_rule kk_optim_rule(const kk_optim *o);
/* Parameters without a gradient stay. *norm: of all gradients, before clipping; when it is infinite or no number
** nothing is touched. All or nothing: a parameter that cannot be stepped leaves all as they were. */
kk_status kk_optim_step(kk_optim *o, const kk_step *s, double *norm, kk_err *e);
void kk_optim_settle(kk_optim *o);                        /* late rows, moments too, catch up */
/* Exchanges the parameters with their averages: once to evaluate with the averages, once more to go on. */
kk_status kk_optim_swap(kk_optim *o, kk_err *e);
/* Norm of all gradients together, as a step has it. */
kk_status kk_optim_norm(kk_optim *o, double *norm, kk_err *e);

#endif
