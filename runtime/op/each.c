/* each.c -- walks for element-wise ops, cut into chunks by size alone. */
#include "op/each.h"

#include <string.h>

kk_each kk_each_plan(const kk_call *c, int nin) {
  const kk_shape *s = &c->any;
  kk_each p = {.nin = nin, .numel = kk_numel(s)};
  for (int d = s->ndim - 1; d >= 0; d--) {
    int k = p.nd - 1;
    bool joins = p.nd > 0;
    if (s->n[d] == 1) continue;
    for (int i = 0; joins && i < nin; i++) joins = c->in[i]->stride[d] == p.step[i][k] * p.n[k];
    if (joins) {
      p.n[k] *= s->n[d];
      continue;
    }
    p.n[p.nd] = s->n[d];
    for (int i = 0; i < nin; i++) p.step[i][p.nd] = c->in[i]->stride[d];
    p.nd++;
  }
  if (p.nd == 0) {                       /* one element */
    p.n[0] = p.numel;
    p.nd = 1;
  }
  return p;
}

kk_walk kk_walk_start(const kk_each *p, int64_t begin, int64_t end) {
  kk_walk w = {.p = p, .next = begin, .end = end};
  for (int i = 0; i < p->nin; i++) w.step[i] = p->step[i][0];
  return w;
}

bool kk_walk_next(kk_walk *w) {
  const kk_each *p = w->p;
  int64_t rest = w->next, first = 0;
  if (w->next >= w->end) return false;
  for (int i = 0; i < p->nin; i++) w->off[i] = 0;
  for (int d = 0; d < p->nd; d++) {
    int64_t k = d == p->nd - 1 ? rest : rest % p->n[d];
    rest /= p->n[d];
    if (d == 0) first = k;
    for (int i = 0; i < p->nin; i++) w->off[i] += k * p->step[i][d];
  }
  w->at = w->next;
  w->n = p->n[0] - first;
  if (w->n > w->end - w->next) w->n = w->end - w->next;
  w->next += w->n;
  return true;
}

typedef struct each_job {
  kk_call *c;
  kk_each p;
  int input;
  kk_row1 *row1;
  kk_grow1 *grow1;
  kk_row2 *row2;
  kk_grow2 *grow2;
} each_job;

static const char *each_at(const kk_tensor *t, int64_t i) {
  return (const char *)kk_data(t) + i * (int64_t)kk_dtype_size(kk_type(t));
}

static void each_chunk1(void *arg, int64_t begin, int64_t end) {
  const each_job *j = arg;
  kk_call *c = j->c;
  j->row1((char *)kk_data(c->out[0]) + begin * (int64_t)kk_dtype_size(kk_type(c->out[0])), each_at(c->in[0], begin),
          end - begin, c->opt);
}

void kk_each1(kk_call *c, kk_row1 *row, int64_t grain) {
  each_job j = {.c = c, .row1 = row};
  kk_pool_for(kk_numel(&c->any), grain, each_chunk1, &j);
}

static void each_chunk1_grad(void *arg, int64_t begin, int64_t end) {
  const each_job *j = arg;
  kk_call *c = j->c;
  j->grow1(c->din[0] + begin, kk_dout(c, 0) + begin, kk_out(c, 0) + begin, kk_in(c, 0) + begin, end - begin, c->opt);
}

void kk_each1_grad(kk_call *c, kk_grow1 *row) {
  each_job j = {.c = c, .grow1 = row};
  kk_pool_for(kk_numel(&c->any), KK_GRAIN, each_chunk1_grad, &j);
}

static void each_chunk2(void *arg, int64_t begin, int64_t end) {
  const each_job *j = arg;
  kk_call *c = j->c;
  char *z = kk_data(c->out[0]);
  int64_t size = (int64_t)kk_dtype_size(kk_type(c->out[0]));
  kk_walk w = kk_walk_start(&j->p, begin, end);
  while (kk_walk_next(&w))
    j->row2(z + w.at * size, each_at(c->in[0], w.off[0]), w.step[0], each_at(c->in[1], w.off[1]), w.step[1], w.n);
}

void kk_each2(kk_call *c, kk_row2 *row) {
  each_job j = {.c = c, .p = kk_each_plan(c, 2), .row2 = row};
  kk_pool_for(j.p.numel, KK_GRAIN, each_chunk2, &j);
}

static void each_chunk2_grad(void *arg, int64_t begin, int64_t end) {
  const each_job *j = arg;
  kk_call *c = j->c;
  kk_walk w = kk_walk_start(&j->p, begin, end);
  while (kk_walk_next(&w))
    j->grow2(c->din[j->input] + w.at, kk_dout(c, 0) + w.at, kk_out(c, 0) + w.at, kk_in(c, 0) + w.off[0], w.step[0],
             kk_in(c, 1) + w.off[1], w.step[1], w.n);
}

/* One input at a time: both gradients may be views of one storage, shifted against each other. */
void kk_each2_grad(kk_call *c, int input, kk_grow2 *row) {
  each_job j = {.c = c, .p = kk_each_plan(c, 2), .input = input, .grow2 = row};
  if (c->din[input]) kk_pool_for(j.p.numel, KK_GRAIN, each_chunk2_grad, &j);
}

void kk_copy_run(void *dst, int64_t sd, const void *src, int64_t ss, int64_t n, size_t size) {
  if (sd == 1 && ss == 1) memcpy(dst, src, (size_t)n * size);
  else if (size == 4)
    for (int64_t i = 0; i < n; i++) ((uint32_t *)dst)[i * sd] = ((const uint32_t *)src)[i * ss];
  else if (size == 8)
    for (int64_t i = 0; i < n; i++) ((uint64_t *)dst)[i * sd] = ((const uint64_t *)src)[i * ss];
  else
    for (int64_t i = 0; i < n; i++) ((uint8_t *)dst)[i * sd] = ((const uint8_t *)src)[i * ss];
}

/* x to the power of p; false when it leaves 64 bits. */
static bool check_power(int64_t x, int64_t p, int64_t *r) {
  int64_t v = 1;
  if (x == 0 || x == 1) p = p > 0;
  if (x == -1) p &= 1;
  for (; p > 0; p--)
    if (__builtin_mul_overflow(v, x, &v)) return false;
  *r = v;
  return true;
}

static kk_status check_one(const kk_call *c, char kind, int64_t x, int64_t y, kk_err *e) {
  static const int64_t lo[] = {0, INT32_MIN, INT64_MIN, 0}, hi[] = {0, INT32_MAX, INT64_MAX, 255};
  kk_dtype d = kk_type(c->in[0]);
  int64_t r = 0;
  bool over = false;
  switch (kind) {
    case '+': over = __builtin_add_overflow(x, y, &r); break;
    case '-': over = __builtin_sub_overflow(x, y, &r); break;
    case '*': over = __builtin_mul_overflow(x, y, &r); break;
    case 'n': over = __builtin_sub_overflow((int64_t)0, x, &r); break;
    case '^':
      if (y < 0) return kk_fail(e, KK_EARG, "%s: the power %lld of an integer is negative; convert with t:to(\"float32\")",
                                c->op->name, (long long)y);
      over = !check_power(x, y, &r);
      break;
    default:
      if (y == 0) return kk_fail(e, KK_EARG, "%s: division of the integer %lld by zero", c->op->name, (long long)x);
      over = x == lo[d] && y == -1 && d != KK_U8;
  }
  if (!over && r >= lo[d] && r <= hi[d]) return KK_OK;
  return kk_fail(e, KK_EARG, "%s: the result of %lld and %lld does not fit %s; convert with t:to(\"int64\") or t:to(\"float32\")",
                 c->op->name, (long long)x, (long long)y, kk_dtype_name(d));
}

kk_status kk_each_check(const kk_call *c, char kind, kk_err *e) {
  bool two = kind != 'n';
  if (kk_type(c->in[0]) == KK_F32) return KK_OK;
  kk_each p = kk_each_plan(c, two ? 2 : 1);
  kk_walk w = kk_walk_start(&p, 0, p.numel);
  while (kk_walk_next(&w))
    for (int64_t i = 0; i < w.n; i++) {
      int64_t x = kk_get_int(c->in[0], c->in[0]->offset + w.off[0] + i * w.step[0]);
      int64_t y = two ? kk_get_int(c->in[1], c->in[1]->offset + w.off[1] + i * w.step[1]) : 0;
      if (check_one(c, kind, x, y, e)) return e->code;
    }
  return KK_OK;
}
