/* gemm.c -- products from tiles.
**
** B is packed into panels, a slab of at most SLAB bytes at a time, which all threads share; a piece of work is a
** stripe of rows of C times some panels. A lies as it is where its rows lie along k, and is packed a block at a
** time by the thread at work where they do not, or where it is wanted in bfloat16. While a panel is multiplied with
** the rows of a stripe, the next one is brought near: weights stream from the last cache, or from memory, at no cost. */
#include "linalg/gemm.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/pool.h"
#include "linalg/pack.h"

enum { SLAB = 16 << 20, OWN = 1 << 18, STRIPE = 96, PIECES = 16, SPARE = 32 };

static const kk_kernel *kernel;                  /* of float32 */
static const kk_kernel16 *kernel16;              /* of bfloat16, or NULL */
static kk_mode modes[3];                         /* by kk_precision */
static const kk_mode *mode;                      /* the one in use */
static char *slab;
static atomic_flag slab_taken = ATOMIC_FLAG_INIT;
static _Thread_local _Alignas(64) char own_a[(STRIPE + SPARE) * KK_K_BLOCK * sizeof(kk_real)], own_b[OWN];

static const kk_kernel *const kernels[] = {      /* the best first */
#if defined(__x86_64__) && defined(__GNUC__)
  &kk_kernel_avx512, &kk_kernel_avx2,
#endif
  &kk_kernel_portable, NULL};

static const kk_kernel16 *const kernels16[] = {
#if defined(__x86_64__) && defined(__GNUC__)
  &kk_kernel_amx, &kk_kernel_avx512_bf16,
#endif
  NULL};

static void gemm_modes(void) {
  const kk_mode single = {.kernel = kernel, .rows = kernel->rows, .columns = (int64_t)kernel->vecs * kernel->lanes,
                          .lanes = kernel->lanes, .deep = 1, .copies = 1, .bytes = sizeof(kk_real), .block = KK_K_BLOCK};
  modes[KK_FLOAT32] = single;
  if (kernel16) {
    kk_mode low = {.kernel16 = kernel16, .rows = kernel16->rows, .columns = kernel16->columns, .lanes = 16,
                   .deep = kernel16->deep, .copies = 1, .bytes = 2, .block = KK_K_BLOCK};
    modes[KK_BF16] = low;
    low.copies = 3;
    low.block = KK_K_BLOCK / 3;
    modes[KK_BF16X3] = low;
  }
  mode = &modes[KK_FLOAT32];
}

kk_status kk_gemm_choose(const char *name, kk_err *e) {
  for (int i = 0; kernels[i]; i++) {
    if (name && strcmp(name, kernels[i]->name) != 0) continue;
    if (kernels[i]->have()) {
      kernel = kernels[i];
      gemm_modes();
      return KK_OK;
    }
    if (name) return kk_fail(e, KK_EARG, "kernel %s: this processor cannot run it", name);
  }
  return kk_fail(e, KK_EARG, "kernel %s: there is no such kernel; known: avx512, avx2, %s", name, kk_kernel_portable.name);
}

kk_status kk_gemm_ready(kk_err *e) {
  const char *want = getenv("KOOKA_KERNEL");
  if (slab) return KK_OK;
  if (!kernel && kk_gemm_choose(want && *want ? want : NULL, e)) return e->code;
  slab = kk_alloc(SLAB);
  return slab ? KK_OK : kk_fail(e, KK_ENOMEM, "matrix product: no memory for its workspace");
}

const char *kk_gemm_kernel(void) { return kernel ? kernel->name : ""; }
const char *kk_gemm_kernel16(void) { return kernel16 ? kernel16->name : NULL; }

void kk_gemm_use16(const kk_kernel16 *k) {
  kernel16 = k;
  gemm_modes();
}

/* AMX tiles multiply bfloat16 some ten times as fast as float32. vdpbf16ps runs at twice the float32 rate on AMD's
** processors (measured on Zen 5: 511 and 259 GFLOP/s), at half of it on Intel's (87 and 175 on a Xeon of model 207).
** What is known decides, not a probe: a choice that depends on the moment would change results from run to run. */
static bool gemm_faster16(const kk_kernel16 *k16) {
#if defined(__x86_64__) && defined(__GNUC__)
  __builtin_cpu_init();
  return k16->deep > 2 || __builtin_cpu_is("amd");
#else
  return k16->deep > 2;
#endif
}

/* AMX, else AVX512-BF16 where it is faster than float32, else nothing; KOOKA_KERNEL16 names one, fast or not. */
static kk_status gemm_choose16(kk_err *e) {
  static const char *why = "this processor has no instructions for bfloat16 (AMX or AVX512-BF16)";
  const char *want = getenv("KOOKA_KERNEL16");
  const bool named = want && *want;
  for (int i = 0; sizeof(kk_real) == sizeof(float) && kernels16[i] && !kernel16; i++) {
    if ((named && strcmp(want, kernels16[i]->name) != 0) || !kernels16[i]->have()) continue;
    if (named || gemm_faster16(kernels16[i])) kk_gemm_use16(kernels16[i]);
    else why = "this processor multiplies bfloat16 more slowly than float32";
  }
  if (kernel16) return KK_OK;
  if (named) return kk_fail(e, KK_EARG, "KOOKA_KERNEL16=%s: no such kernel, or this processor cannot run it; known: amx, avx512_bf16", want);
  return kk_fail(e, KK_ELIB, "precision: %s", why);
}

kk_status kk_gemm_precision(kk_precision p, kk_err *e) {
  kk_status st = kk_gemm_ready(e);
  if (!st && p != KK_FLOAT32 && !kernel16) st = gemm_choose16(e);
  if (!st) mode = &modes[p];
  return st;
}

kk_precision kk_gemm_precision_now(void) { return mode ? (kk_precision)(mode - modes) : KK_FLOAT32; }

static int64_t gemm_min(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t gemm_panels(const kk_mode *m, int64_t n) { return (n + m->columns - 1) / m->columns; }
int64_t kk_panel(void) { return mode->columns; }

static void gemm_edge(const kk_real *from, int64_t from_ld, int64_t rows, int64_t n, bool add, kk_real *c, int64_t ldc) {
  for (int64_t r = 0; r < rows; r++)
    for (int64_t j = 0; j < n; j++) c[r * ldc + j] = add ? c[r * ldc + j] + from[r * from_ld + j] : from[r * from_ld + j];
}

/* m rows of A times n columns of a panel, over one block of k. `next` is what will be wanted after this: as many bytes
** as this panel has. Float32: turned says that A is packed by kk_pack_a. */
static void gemm_panel(const kk_mode *md, int64_t m, const kk_real *a, int64_t lda, bool turned, int64_t k, const kk_real *b,
                       int64_t n, bool add, kk_real *c, int64_t ldc, const char *next) {
  const kk_kernel *kn = md->kernel;
  const int64_t wide = kk_up(n, md->lanes), vecs = wide / md->lanes;
  const char *end = next + k * wide * md->bytes;
  for (int64_t i = 0, rows; i < m; i += rows) {
    rows = kk_tile_rows(md, m, i);
    const kk_real *ai = a + i * (turned ? k : lda);
    const int64_t rs = turned ? 1 : lda, ks = turned ? rows : 1;
    if (wide == n) kn->tile((int)rows, (int)vecs, k, ai, rs, ks, b, c + i * ldc, ldc, add, (const kk_real *)(const void *)next);
    else {
      kk_real edge[KK_KERNEL_ROWS * KK_KERNEL_COLUMNS];
      kn->tile((int)rows, (int)vecs, k, ai, rs, ks, b, edge, wide, false, (const kk_real *)(const void *)next);
      gemm_edge(edge, wide, rows, n, add, c + i * ldc, ldc);
    }
    next = next + k * 64 < end ? next + k * 64 : (const char *)b;
  }
}

static void gemm_panel16(const kk_mode *md, int64_t m, const uint16_t *a, int64_t depth, const uint16_t *b, int64_t n,
                         bool add, float *c, int64_t ldc, const char *next) {
  const int64_t wide = kk_up(n, md->lanes);
  const char *end = next + depth * wide * md->bytes;
  for (int64_t i = 0, rows; i < m; i += rows) {
    rows = kk_tile_rows(md, m, i);
    md->kernel16->tile((int)rows, (int)n, (int)wide, depth, a + i * depth, depth, b, c + i * ldc, ldc, add, next);
    next = next + depth * 32 < end ? next + depth * 32 : (const char *)b;
  }
}

/* One product, or a slab of one: k rows of op(B), packed. */
typedef struct gemm_job {
  const kk_mode *mode;
  bool ta, add;
  int64_t m, n, k, lda, ldc, block;
  const kk_real *a;
  const uint16_t *low;                   /* the whole of A in bfloat16, `left` rows to a block; or NULL */
  int64_t left;
  const char *b;
  kk_real *c;
  int64_t stripe, across;                /* rows and panels of a piece of work */
} gemm_job;

/* Rows m0 .. m1-1 of a block of A for bfloat16. */
static const uint16_t *gemm_low(const gemm_job *j, int64_t m0, int64_t m1, int64_t k0, int64_t k) {
  const int64_t depth = kk_mode_depth(j->mode, k);
  if (j->low) return j->low + kk_mode_depths(j->mode, k0, j->block) * j->left + m0 * depth;
  kk_pack_a16(j->mode, j->ta, j->a + (j->ta ? k0 * j->lda + m0 : m0 * j->lda + k0), j->lda, m1 - m0, k, (uint16_t *)(void *)own_a);
  return (const uint16_t *)(const void *)own_a;
}

static const kk_real *gemm_single(const gemm_job *j, int64_t m0, int64_t m1, int64_t k0, int64_t k) {
  if (!j->ta) return j->a + m0 * j->lda + k0;
  kk_pack_a(j->mode, j->a + k0 * j->lda + m0, j->lda, m1 - m0, k, (kk_real *)(void *)own_a);
  return (const kk_real *)(const void *)own_a;
}

/* Rows m0 .. m1-1 times panels p0 .. p1-1; then: what is read after that. */
static void gemm_part(const gemm_job *j, int64_t m0, int64_t m1, int64_t p0, int64_t p1, const char *then) {
  const kk_mode *md = j->mode;
  const int64_t deep = kk_mode_depths(md, j->k, j->block) * md->bytes, panel = deep * md->columns;
  for (int64_t k0 = 0; k0 < j->k; k0 += j->block) {
    const int64_t k = gemm_min(j->block, j->k - k0), from = kk_mode_depths(md, k0, j->block) * md->bytes;
    const int64_t after = kk_mode_depths(md, k0 + k, j->block) * md->bytes;
    const uint16_t *low = md->kernel16 ? gemm_low(j, m0, m1, k0, k) : NULL;
    const kk_real *single = low ? NULL : gemm_single(j, m0, m1, k0, k);
    for (int64_t p = p0; p < p1; p++) {
      const int64_t n = gemm_min(md->columns, j->n - p * md->columns);
      const char *b = j->b + p * panel, *at = b + from * kk_up(n, md->lanes);
      const char *next = p + 1 < p1 ? b + panel + from * md->columns
                         : k0 + k < j->k ? j->b + p0 * panel + after * md->columns : then;
      kk_real *c = j->c + m0 * j->ldc + p * md->columns;
      if (low)
        gemm_panel16(md, m1 - m0, low, kk_mode_depth(md, k), (const uint16_t *)(const void *)at, n, j->add || k0,
                     (float *)(void *)c, j->ldc, next);
      else
        gemm_panel(md, m1 - m0, single, j->lda, j->ta, k, (const kk_real *)(const void *)at, n, j->add || k0, c, j->ldc, next);
    }
  }
}

static void gemm_enter(const kk_mode *md) {
  if (md->kernel16 && md->kernel16->enter) md->kernel16->enter();
}

static void gemm_leave(const kk_mode *md) {
  if (md->kernel16 && md->kernel16->leave) md->kernel16->leave();
}

static void gemm_pieces(void *arg, int64_t begin, int64_t end) {
  const gemm_job *j = arg;
  const int64_t panels = gemm_panels(j->mode, j->n), columns = (panels + j->across - 1) / j->across;
  gemm_enter(j->mode);
  for (int64_t t = begin; t < end; t++) {
    const int64_t m0 = t / columns * j->stripe, p0 = t % columns * j->across;
    gemm_part(j, m0, gemm_min(m0 + j->stripe, j->m), p0, gemm_min(p0 + j->across, panels), j->b);
  }
  gemm_leave(j->mode);
}

/* Stripes of rows, whole tiles, and columns cut too where the stripes are few. */
static void gemm_run(gemm_job *j) {
  const int64_t panels = gemm_panels(j->mode, j->n), stripes = (j->m + STRIPE - 1) / STRIPE;
  const int64_t cut = gemm_min(panels, (PIECES + stripes - 1) / stripes);
  j->stripe = kk_up((j->m + stripes - 1) / stripes, j->mode->rows);
  j->across = (panels + cut - 1) / cut;
  const int64_t pieces = (j->m + j->stripe - 1) / j->stripe * ((panels + j->across - 1) / j->across);
  if ((double)j->m * (double)j->n * (double)j->k < 1e5) gemm_pieces(j, 0, pieces);
  else kk_pool_for(pieces, 1, gemm_pieces, j);
}

/* The product, slab by slab: `size` bytes at `room` take what is packed of B. */
static void gemm_slabs(gemm_job *j, bool tb, const kk_real *b, int64_t ldb, char *room, int64_t size, bool shared) {
  const kk_mode *md = j->mode;
  const int64_t K = j->k, N = j->n, panels = gemm_panels(md, N);
  const kk_real *a = j->a;
  kk_real *c = j->c;
  const bool add = j->add;
  j->block = kk_mode_block(md, K);
  const int64_t unit = kk_mode_depth(md, j->block) * md->columns * md->bytes, fit = size / unit;
  const int64_t width = gemm_min(panels, fit), rows = gemm_min(K, fit / width * j->block);
  for (int64_t p = 0; p < panels; p += width) {
    for (int64_t k0 = 0; k0 < K; k0 += rows) {
      const int64_t k1 = gemm_min(k0 + rows, K), p1 = gemm_min(p + width, panels);
      const kk_pack_job pack = {.mode = md, .tb = tb, .k0 = k0, .k1 = k1, .block = j->block, .n = N, .p0 = p, .p1 = p1,
                                .b = b, .ldb = ldb, .to = room};
      j->a = a + (j->ta ? k0 * j->lda : k0);
      j->b = room;
      j->c = c + p * md->columns;
      j->n = gemm_min(N, p1 * md->columns) - p * md->columns;
      j->k = k1 - k0;
      j->add = add || k0;
      if (shared) {
        kk_pack_parallel(&pack);
        gemm_run(j);
      } else {
        kk_pack_serial(&pack);
        j->stripe = STRIPE;
        j->across = gemm_panels(md, j->n);
        gemm_pieces(j, 0, (j->m + STRIPE - 1) / STRIPE);
      }
    }
  }
}

static bool gemm_empty(int64_t m, int64_t n, int64_t k, bool add, kk_real *c, int64_t ldc) {
  if (m > 0 && n > 0 && k > 0) return false;
  if (!add)
    for (int64_t i = 0; i < m && n > 0; i++) memset(c + i * ldc, 0, (size_t)n * sizeof *c);
  return true;
}

void kk_gemm_serial(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const kk_real *a, int64_t lda, const kk_real *b,
                    int64_t ldb, bool add, kk_real *c, int64_t ldc) {
  gemm_job j = {.mode = mode, .ta = ta, .add = add, .m = m, .n = n, .k = k, .lda = lda, .ldc = ldc, .a = a, .c = c};
  if (!gemm_empty(m, n, k, add, c, ldc)) gemm_slabs(&j, tb, b, ldb, own_b, OWN, false);
}

void kk_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const kk_real *a, int64_t lda, const kk_real *b,
             int64_t ldb, bool add, kk_real *c, int64_t ldc) {
  gemm_job j = {.mode = mode, .ta = ta, .add = add, .m = m, .n = n, .k = k, .lda = lda, .ldc = ldc, .a = a, .c = c};
  if (gemm_empty(m, n, k, add, c, ldc)) return;
  if (atomic_flag_test_and_set(&slab_taken)) {       /* another product is under way: this one is inside its piece of work */
    gemm_slabs(&j, tb, b, ldb, own_b, OWN, false);
    return;
  }
  gemm_slabs(&j, tb, b, ldb, slab, SLAB, true);
  atomic_flag_clear(&slab_taken);
}

/* ---- operands packed by the caller */
int64_t kk_packed_count(int64_t k, int64_t n) {
  const int64_t bytes = kk_mode_depths(mode, k, kk_mode_block(mode, k)) * kk_up(n, mode->lanes) * mode->bytes;
  return (bytes + (int64_t)sizeof(kk_real) - 1) / (int64_t)sizeof(kk_real);
}

static kk_packed gemm_pack(kk_pack_job j, void *to) {
  j.mode = mode;
  j.block = kk_mode_block(mode, j.k1);
  j.p1 = gemm_panels(mode, j.n);
  j.to = to;
  kk_pack_parallel(&j);
  return (kk_packed){mode, j.k1, j.n, to};
}

kk_packed kk_pack(bool tb, int64_t k, int64_t n, const kk_real *b, int64_t ldb, void *to) {
  return gemm_pack((kk_pack_job){.tb = tb, .k1 = k, .n = n, .b = b, .ldb = ldb}, to);
}

kk_packed kk_pack_rows(bool tb, int64_t k, int64_t n, kk_row_fn *row, void *arg, void *to) {
  return gemm_pack((kk_pack_job){.tb = tb, .k1 = k, .n = n, .row = row, .arg = arg}, to);
}

kk_packed kk_packed_of(int64_t k, int64_t n, const void *data) { return (kk_packed){mode, k, n, data}; }

/* A place in the kernel's name, which no other kernel and precision share. */
const void *kk_packed_form(void) { return (mode->kernel16 ? mode->kernel16->name : mode->kernel->name) + (mode - modes); }

const void *kk_packed_at(const kk_packed *b, int64_t n0) {
  return (const char *)b->data + kk_mode_depths(b->mode, b->k, kk_mode_block(b->mode, b->k)) * n0 * b->mode->bytes;
}

int64_t kk_left_count(int64_t m, int64_t k) {
  const int64_t bytes = (m + SPARE) * kk_mode_depths(mode, k, kk_mode_block(mode, k)) * mode->bytes;
  return mode->kernel16 ? (bytes + (int64_t)sizeof(kk_real) - 1) / (int64_t)sizeof(kk_real) : 0;
}

typedef struct left_job { const kk_mode *mode; int64_t k, block; const kk_left *left; uint16_t *to; } left_job;

static void gemm_left_rows(void *arg, int64_t begin, int64_t end) {
  const left_job *j = arg;
  for (int64_t k0 = 0; k0 < j->k; k0 += j->block) {
    const int64_t k = gemm_min(j->block, j->k - k0), depth = kk_mode_depth(j->mode, k);
    kk_pack_a16(j->mode, false, j->left->a + begin * j->left->lda + k0, j->left->lda, end - begin, k,
                j->to + kk_mode_depths(j->mode, k0, j->block) * (j->left->m + SPARE) + begin * depth);
  }
}

kk_left kk_left_of(int64_t m, int64_t k, const kk_real *a, int64_t lda, void *room) {
  kk_left left = {.a = a, .lda = lda, .m = m};
  if (mode->kernel16 && m > 0 && k > 0) {
    left_job j = {mode, k, kk_mode_block(mode, k), &left, room};
    kk_pool_for(m, 8, gemm_left_rows, &j);
    left.low = room;
  }
  return left;
}

static gemm_job gemm_packed(int64_t m, const kk_real *a, int64_t lda, const kk_packed *b, bool add, kk_real *c, int64_t ldc) {
  return (gemm_job){.mode = b->mode, .add = add, .m = m, .n = b->n, .k = b->k, .lda = lda, .ldc = ldc,
                    .block = kk_mode_block(b->mode, b->k), .a = a, .b = b->data, .c = c};
}

void kk_gemm_packed(int64_t m, const kk_real *a, int64_t lda, const kk_packed *b, bool add, kk_real *c, int64_t ldc) {
  gemm_job j = gemm_packed(m, a, lda, b, add, c, ldc);
  if (!gemm_empty(m, b->n, b->k, add, c, ldc)) gemm_run(&j);
}

void kk_gemm_packed_serial(const kk_left *a, int64_t m0, int64_t m1, const kk_packed *b, int64_t n0, int64_t n1, bool add,
                           kk_real *c, int64_t ldc, const void *next) {
  gemm_job j = gemm_packed(a->m, a->a, a->lda, b, add, c - n0 - m0 * ldc, ldc);
  j.low = a->low;
  j.left = a->m + SPARE;
  if (gemm_empty(m1 - m0, n1 - n0, b->k, add, c, ldc)) return;
  gemm_enter(b->mode);
  gemm_part(&j, m0, m1, n0 / b->mode->columns, gemm_panels(b->mode, n1), next ? next : kk_packed_at(b, n0));
  gemm_leave(b->mode);
}

/* What has to be packed of A fits a stripe of rows at a time. */
void kk_gemm_packed_once(bool ta, int64_t m, const kk_real *a, int64_t lda, const kk_packed *b, bool add, kk_real *c,
                         int64_t ldc, const void *next) {
  gemm_job j = gemm_packed(m, a, lda, b, add, c, ldc);
  const int64_t stripe = ta || b->mode->kernel16 ? STRIPE : m;
  if (gemm_empty(m, b->n, b->k, add, c, ldc)) return;
  j.ta = ta;
  gemm_enter(b->mode);
  for (int64_t m0 = 0; m0 < m; m0 += stripe)
    gemm_part(&j, m0, gemm_min(m0 + stripe, m), 0, gemm_panels(b->mode, b->n), m0 + stripe < m || !next ? b->data : next);
  gemm_leave(b->mode);
}
