/* gemm.c -- products from tiles.
**
** B is packed into panels, a slab of at most SLAB kk_reals at a time, which all threads share; a piece of work is a
** stripe of rows of C times some panels. A lies as it is where its rows lie along k, and is packed a block at a
** time by the thread at work where they do not. While a panel is multiplied with the rows of a stripe, the next
** one is brought near: weights stream from the last cache, or from memory, at no cost. */
#include "linalg/gemm.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/pool.h"
#include "linalg/pack.h"

enum { SLAB = 1 << 22, OWN = 1 << 16, K_BLOCK = 1152, STRIPE = 96, PIECES = 16, LINE = 64 / (int)sizeof(kk_real) };

static const kk_kernel *kernel;
static kk_real *slab;
static atomic_flag slab_taken = ATOMIC_FLAG_INIT;
static _Thread_local _Alignas(64) kk_real own_a[STRIPE * K_BLOCK], own_b[OWN];

static const kk_kernel *const kernels[] = {      /* the best first */
#if defined(__x86_64__) && defined(__GNUC__)
  &kk_kernel_avx512, &kk_kernel_avx2,
#endif
  &kk_kernel_portable, NULL};

static kk_status gemm_choose(kk_err *e) {
  const char *want = getenv("KOOKA_KERNEL");
  for (int i = 0; kernels[i]; i++) {
    if (want && *want && strcmp(want, kernels[i]->name) != 0) continue;
    if (kernels[i]->have()) {
      kernel = kernels[i];
      return KK_OK;
    }
    if (want && *want) return kk_fail(e, KK_EARG, "KOOKA_KERNEL=%s: this processor cannot run that kernel", want);
  }
  return kk_fail(e, KK_EARG, "KOOKA_KERNEL=%s: there is no such kernel; known: avx512, avx2, %s", want,
                 kk_kernel_portable.name);
}

kk_status kk_gemm_ready(kk_err *e) {
  if (slab) return KK_OK;
  if (!kernel && gemm_choose(e)) return e->code;
  slab = kk_alloc(SLAB * sizeof *slab);
  return slab ? KK_OK : kk_fail(e, KK_ENOMEM, "matrix product: no memory for its workspace");
}

const char *kk_gemm_kernel(void) { return kernel ? kernel->name : ""; }
int64_t kk_panel(void) { return (int64_t)kernel->vecs * kernel->lanes; }

static int64_t gemm_min(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t gemm_panels(int64_t n) { return (n + kk_panel() - 1) / kk_panel(); }

/* The sum over k is cut into equal blocks of at most K_BLOCK. */
static int64_t gemm_block(int64_t k) {
  const int64_t blocks = (k + K_BLOCK - 1) / K_BLOCK;
  return blocks > 1 ? (k + blocks - 1) / blocks : k;
}

int64_t kk_packed_count(int64_t k, int64_t n) {
  const int64_t lanes = kernel->lanes;
  return k * ((n + lanes - 1) / lanes * lanes);
}

static void gemm_edge(const kk_real *from, int64_t from_ld, int64_t rows, int64_t n, bool add, kk_real *c, int64_t ldc) {
  for (int64_t r = 0; r < rows; r++)
    for (int64_t j = 0; j < n; j++) c[r * ldc + j] = add ? c[r * ldc + j] + from[r * from_ld + j] : from[r * from_ld + j];
}

/* m rows of A (turned: packed by kk_pack_a) times `n` columns of a panel, over one block of k. `next` is what will
** be wanted after this, k * n kk_reals from there on. */
static void gemm_panel(int64_t m, const kk_real *a, int64_t lda, bool turned, int64_t k, const kk_real *b, int64_t n,
                       bool add, kk_real *c, int64_t ldc, const kk_real *next) {
  const int vecs = (int)((n + kernel->lanes - 1) / kernel->lanes);
  const int64_t wide = (int64_t)vecs * kernel->lanes;
  const kk_real *end = next + k * wide;
  for (int64_t i = 0, rows; i < m; i += rows) {
    rows = kk_tile_rows(kernel, m, i);
    const kk_real *ai = a + i * (turned ? k : lda);
    const int64_t rs = turned ? 1 : lda, ks = turned ? rows : 1;
    if (wide == n) kernel->tile((int)rows, vecs, k, ai, rs, ks, b, c + i * ldc, ldc, add, next);
    else {
      kk_real edge[KK_KERNEL_ROWS * KK_KERNEL_COLUMNS];
      kernel->tile((int)rows, vecs, k, ai, rs, ks, b, edge, wide, false, next);
      gemm_edge(edge, wide, rows, n, add, c + i * ldc, ldc);
    }
    next = next + k * LINE < end ? next + k * LINE : b;
  }
}

/* One product, or a slab of one: op(B)'s rows 0 .. k-1, packed, `rows` to a panel. */
typedef struct gemm_job {
  bool ta, add;
  int64_t m, n, k, lda, ldc, block, rows;
  const kk_real *a, *b;
  kk_real *c;
  int64_t stripe, across;                /* rows and panels of a piece of work */
} gemm_job;

/* Rows m0 .. m1-1 times panels p0 .. p1-1; then: what is read after that. */
static void gemm_part(const gemm_job *j, int64_t m0, int64_t m1, int64_t p0, int64_t p1, const kk_real *then) {
  const int64_t panel = kk_panel();
  for (int64_t k0 = 0; k0 < j->k; k0 += j->block) {
    const int64_t k = gemm_min(j->block, j->k - k0);
    const kk_real *a = j->ta ? own_a : j->a + m0 * j->lda + k0;
    if (j->ta) kk_pack_a(kernel, j->a + k0 * j->lda + m0, j->lda, m1 - m0, k, own_a);
    for (int64_t p = p0; p < p1; p++) {
      const int64_t n = gemm_min(panel, j->n - p * panel), wide = (n + kernel->lanes - 1) / kernel->lanes * kernel->lanes;
      const kk_real *b = j->b + p * j->rows * panel, *at = b + k0 * wide;
      const kk_real *next = p + 1 < p1 ? at + j->rows * panel
                            : k0 + k < j->k ? j->b + (p0 * j->rows + k0 + k) * panel : then;
      gemm_panel(m1 - m0, a, j->lda, j->ta, k, at, n, j->add || k0, j->c + m0 * j->ldc + p * panel, j->ldc, next);
    }
  }
}

static void gemm_pieces(void *arg, int64_t begin, int64_t end) {
  const gemm_job *j = arg;
  const int64_t panels = gemm_panels(j->n), columns = (panels + j->across - 1) / j->across;
  for (int64_t t = begin; t < end; t++) {
    const int64_t m0 = t / columns * j->stripe, p0 = t % columns * j->across;
    gemm_part(j, m0, gemm_min(m0 + j->stripe, j->m), p0, gemm_min(p0 + j->across, panels),
              j->b + p0 * j->rows * kk_panel());
  }
}

/* Stripes of rows, whole tiles, and columns cut too where the stripes are few. */
static void gemm_run(gemm_job *j) {
  const int64_t panels = gemm_panels(j->n), stripes = (j->m + STRIPE - 1) / STRIPE;
  const int64_t cut = gemm_min(panels, (PIECES + stripes - 1) / stripes);
  j->stripe = ((j->m + stripes - 1) / stripes + kernel->rows - 1) / kernel->rows * kernel->rows;
  j->across = (panels + cut - 1) / cut;
  const int64_t pieces = (j->m + j->stripe - 1) / j->stripe * ((panels + j->across - 1) / j->across);
  if ((double)j->m * (double)j->n * (double)j->k < 1e5) gemm_pieces(j, 0, pieces);
  else kk_pool_for(pieces, 1, gemm_pieces, j);
}

/* The product, slab by slab: `size` kk_reals at `room` take what is packed of B. */
static void gemm_slabs(gemm_job *j, bool tb, const kk_real *b, int64_t ldb, kk_real *room, int64_t size, bool shared) {
  const int64_t K = j->k, N = j->n, panel = kk_panel(), panels = gemm_panels(N);
  const kk_real *a = j->a;
  kk_real *c = j->c;
  const bool add = j->add;
  j->block = gemm_block(K);
  const int64_t width = gemm_min(panels, size / (j->block * panel) > 1 ? size / (j->block * panel) : 1);
  const int64_t rows = gemm_min(K, size / (j->block * width * panel) * j->block);
  for (int64_t p = 0; p < panels; p += width) {
    for (int64_t k0 = 0; k0 < K; k0 += rows) {
      const int64_t k1 = gemm_min(k0 + rows, K), p1 = gemm_min(p + width, panels);
      const kk_pack_job pack = {.kernel = kernel, .tb = tb, .k0 = k0, .k1 = k1, .n = N, .p0 = p, .p1 = p1, .b = b,
                                .ldb = ldb, .rows = k1 - k0, .to = room};
      j->a = a + (j->ta ? k0 * j->lda : k0);
      j->b = room;
      j->c = c + p * panel;
      j->n = gemm_min(N, p1 * panel) - p * panel;
      j->k = j->rows = k1 - k0;
      j->add = add || k0;
      if (shared) {
        kk_pack_parallel(&pack);
        gemm_run(j);
      } else {
        kk_pack_serial(&pack);
        j->stripe = STRIPE;
        j->across = gemm_panels(j->n);
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
  gemm_job j = {.ta = ta, .add = add, .m = m, .n = n, .k = k, .lda = lda, .ldc = ldc, .a = a, .c = c};
  if (!gemm_empty(m, n, k, add, c, ldc)) gemm_slabs(&j, tb, b, ldb, own_b, OWN, false);
}

void kk_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const kk_real *a, int64_t lda, const kk_real *b,
             int64_t ldb, bool add, kk_real *c, int64_t ldc) {
  gemm_job j = {.ta = ta, .add = add, .m = m, .n = n, .k = k, .lda = lda, .ldc = ldc, .a = a, .c = c};
  if (gemm_empty(m, n, k, add, c, ldc)) return;
  if (atomic_flag_test_and_set(&slab_taken)) {       /* another product is under way: this one is inside its piece of work */
    gemm_slabs(&j, tb, b, ldb, own_b, OWN, false);
    return;
  }
  gemm_slabs(&j, tb, b, ldb, slab, SLAB, true);
  atomic_flag_clear(&slab_taken);
}

static kk_packed gemm_pack(kk_pack_job j, kk_real *to) {
  j.kernel = kernel;
  j.p1 = gemm_panels(j.n);
  j.rows = j.k1;
  j.to = to;
  kk_pack_parallel(&j);
  return (kk_packed){j.k1, j.n, to};
}

kk_packed kk_pack(bool tb, int64_t k, int64_t n, const kk_real *b, int64_t ldb, kk_real *to) {
  return gemm_pack((kk_pack_job){.tb = tb, .k1 = k, .n = n, .b = b, .ldb = ldb}, to);
}

kk_packed kk_pack_rows(bool tb, int64_t k, int64_t n, kk_row_fn *row, void *arg, kk_real *to) {
  return gemm_pack((kk_pack_job){.tb = tb, .k1 = k, .n = n, .row = row, .arg = arg}, to);
}

static gemm_job gemm_packed(int64_t m, const kk_real *a, int64_t lda, const kk_packed *b, bool add, kk_real *c, int64_t ldc) {
  return (gemm_job){.add = add, .m = m, .n = b->n, .k = b->k, .lda = lda, .ldc = ldc, .block = gemm_block(b->k),
                    .rows = b->k, .a = a, .b = b->data, .c = c};
}

void kk_gemm_packed(int64_t m, const kk_real *a, int64_t lda, const kk_packed *b, bool add, kk_real *c, int64_t ldc) {
  gemm_job j = gemm_packed(m, a, lda, b, add, c, ldc);
  if (!gemm_empty(m, b->n, b->k, add, c, ldc)) gemm_run(&j);
}

void kk_gemm_packed_serial(int64_t m, const kk_real *a, int64_t lda, const kk_packed *b, int64_t n0, int64_t n1, bool add,
                           kk_real *c, int64_t ldc, const kk_real *next) {
  gemm_job j = gemm_packed(m, a, lda, b, add, c - n0, ldc);
  if (gemm_empty(m, n1 - n0, b->k, add, c, ldc)) return;
  gemm_part(&j, 0, m, n0 / kk_panel(), gemm_panels(n1), next ? next : kk_packed_at(b, n0));
}
