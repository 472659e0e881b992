/* gemm.h -- matrix products by our own kernels, for operands as they lie and for operands packed once and used
** often (the weights of a recurrent layer, at each step).
**
** Everything is row-major. Sums over k are cut into blocks by k alone and tiles by the shape alone, so a product
** has the same bits packed or not, for any number of threads; only the kernel, which is chosen by what the
** processor has, makes a difference of rounding. Lessons behind it: Goto & van de Geijn, Anatomy of
** High-Performance Matrix Multiplication, 2008. */
#ifndef KK_GEMM_H
#define KK_GEMM_H

#include "tensor/tensor.h"

/* Chooses the kernel and gets the workspace, when that was not done. KK_ENOMEM; KK_EARG when the environment variable
** KOOKA_KERNEL names a kernel that does not exist or that this processor cannot run. */
kk_status kk_gemm_ready(kk_err *e);
/* Another float32 kernel: "avx512", "avx2", "neon", "portable"; NULL: the best. */
kk_status kk_gemm_choose(const char *name, kk_err *e);
const char *kk_gemm_kernel(void);

/* How operands are rounded before they are multiplied; sums are float32 always. BF16: to bfloat16 (8 bits). BF16X3: into
** two bfloat16 parts, of whose products the three largest are taken (16 bits). Applies to what is multiplied or packed
** from then on. KK_ELIB says why where bfloat16 would not be faster than float32 here: nothing has changed then. The
** environment variable KOOKA_KERNEL16 names a bfloat16 kernel to be used, fast or not. */
typedef enum kk_precision { KK_FLOAT32, KK_BF16, KK_BF16X3 } kk_precision;
kk_status kk_gemm_precision(kk_precision p, kk_err *e);
kk_precision kk_gemm_precision_now(void);
const char *kk_gemm_kernel16(void);      /* the bfloat16 kernel in use: "amx", "avx512_bf16"; NULL before one was wanted */

/* C[m,n] = op(A) op(B), or added to C; ta/tb: use the transpose of what is stored. */
void kk_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const kk_real *a, int64_t lda, const kk_real *b,
             int64_t ldb, bool add, kk_real *c, int64_t ldc);
/* The same in the calling thread: for use inside a chunk of the pool. */
void kk_gemm_serial(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const kk_real *a, int64_t lda, const kk_real *b,
                    int64_t ldb, bool add, kk_real *c, int64_t ldc);

/* op(B)[k,n], packed in the precision of the moment: panels of kk_panel() columns (the last may be narrower), each with
** its k rows one behind the other, padded with zeros. */
struct kk_mode;
typedef struct kk_packed {
  const struct kk_mode *mode;
  int64_t k, n;
  const void *data;
} kk_packed;

/* Where B comes from when it does not simply lie in memory: writes elements j .. j+n-1 of its stored row to `to`. */
enum { KK_ROW_SPAN = 128 };                                  /* n is never more */
typedef void kk_row_fn(void *arg, int64_t row, int64_t j, int64_t n, kk_real *to);

int64_t kk_panel(void);                                      /* columns of a panel: of one block of work */
int64_t kk_packed_count(int64_t k, int64_t n);               /* kk_reals of kk_packed.data, which is aligned to 64 bytes */
kk_packed kk_pack(bool tb, int64_t k, int64_t n, const kk_real *b, int64_t ldb, void *to);
kk_packed kk_pack_rows(bool tb, int64_t k, int64_t n, kk_row_fn *row, void *arg, void *to);
kk_packed kk_packed_of(int64_t k, int64_t n, const void *data);    /* what kk_pack left there, while kk_packed_form is the same */
const void *kk_packed_form(void);                            /* names kernel and precision, on which the order depends */
const void *kk_packed_at(const kk_packed *b, int64_t n0);    /* where the panel of column n0 lies */

/* A[m,k] as the products with packed operands take it: where it lies, or in bfloat16 a copy in `room`, kk_left_count
** kk_reals, made by the pool. */
typedef struct kk_left {
  const kk_real *a;
  int64_t lda, m;
  const uint16_t *low;
} kk_left;
int64_t kk_left_count(int64_t m, int64_t k);
kk_left kk_left_of(int64_t m, int64_t k, const kk_real *a, int64_t lda, void *room);

/* C[m,n] (+)= A B. */
void kk_gemm_packed(int64_t m, const kk_real *a, int64_t lda, const kk_packed *b, bool add, kk_real *c, int64_t ldc);
/* Rows m0 .. m1-1, columns n0 .. n1-1 of it in the calling thread; n0 is a multiple of kk_panel(), n1 too or n; c stands
** at that row and column. `next`: what this thread will probably read after that (kk_packed_at), or NULL. */
void kk_gemm_packed_serial(const kk_left *a, int64_t m0, int64_t m1, const kk_packed *b, int64_t n0, int64_t n1, bool add,
                           kk_real *c, int64_t ldc, const void *next);
/* C[m,n] (+)= op(A) B in the calling thread, for an A that is multiplied once; ta: A is stored [k,m]. */
void kk_gemm_packed_once(bool ta, int64_t m, const kk_real *a, int64_t lda, const kk_packed *b, bool add, kk_real *c,
                         int64_t ldc, const void *next);

#endif
