/* tensor.h -- a reference-counted storage seen through a shape, strides and an offset.
**
** Views share their storage. The gradient lives in the storage too, laid out like the data, so
** the gradient of a view is the same view of the base's gradient and needs no bookkeeping. */
#ifndef KK_TENSOR_H
#define KK_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#ifndef KK_REAL
#define KK_REAL float   /* the gradient tests build the core with double */
#endif
typedef KK_REAL kk_real;

enum { KK_MAXDIM = 6 };

typedef enum kk_dtype { KK_F32, KK_I32, KK_I64, KK_U8, KK_NDTYPE } kk_dtype;
size_t kk_dtype_size(kk_dtype d);
const char *kk_dtype_name(kk_dtype d);                /* "float32", "int32", "int64", "uint8" */
bool kk_dtype_parse(const char *name, kk_dtype *out);

typedef struct kk_shape {
  int ndim;                   /* 0 for a scalar */
  int64_t n[KK_MAXDIM];
} kk_shape;

int64_t kk_numel(const kk_shape *s);                  /* INT64_MAX when it is more than that */
bool kk_shape_same(const kk_shape *a, const kk_shape *b);
enum { KK_SHAPE_STR = 128 };
const char *kk_shape_str(const kk_shape *s, char buf[KK_SHAPE_STR]);   /* "(64,300)" */
/* Shape of a combined with b by the broadcasting rule (sizes equal, or one of them 1, aligned at
** the last dimension). false when they do not fit. */
bool kk_shape_broadcast(const kk_shape *a, const kk_shape *b, kk_shape *out);

typedef struct kk_storage {
  int refs;
  bool wants_grad;            /* set on parameters; inherited by results of ops on a tape */
  bool kept;                  /* survives the close of the scope that made it            */
  bool shared;                /* data belongs to owner: never written, never freed here  */
  kk_dtype dtype;
  int64_t n;                  /* elements */
  uint64_t writes;            /* counts in-place writes: backward refuses stale inputs    */
  void *data;                 /* NULL after the scope closed: "released"                  */
  kk_real *grad;              /* NULL until backward needs it; n elements                 */
  struct kk_derived *derived; /* forms made of the contents (derived.h), or NULL          */
  void *owner;                /* of shared data: what to release, and how                 */
  void (*release)(void *owner);
  struct kk_rowset *rows;       /* of a table that an optimizer updates row by row (rowset.h), else NULL */
} kk_storage;

typedef struct kk_tensor {
  int refs;
  bool detached;              /* shares data but not the gradient */
  kk_storage *store;
  kk_shape shape;
  int64_t stride[KK_MAXDIM];  /* in elements; 0 for an expanded dimension */
  int64_t offset;
} kk_tensor;

/* Each returns a reference that the caller owns. Contents of kk_tensor_new are undefined. */
kk_status kk_tensor_new(kk_dtype d, const kk_shape *s, kk_tensor **out, kk_err *e);
kk_status kk_tensor_zeros(kk_dtype d, const kk_shape *s, kk_tensor **out, kk_err *e);
/* A read-only tensor over memory that somebody else owns; release(owner) is called at the end. */
kk_status kk_tensor_over(kk_dtype d, const kk_shape *s, void *data, void *owner,
                         void (*release)(void *), kk_tensor **out, kk_err *e);
kk_tensor *kk_ref(kk_tensor *t);
void kk_unref(kk_tensor *t);                 /* NULL is fine */
kk_storage *kk_storage_ref(kk_storage *s);
void kk_storage_unref(kk_storage *s);
void kk_storage_clear(kk_storage *s);        /* drops data and grad, keeps the header */

static inline kk_dtype kk_type(const kk_tensor *t) { return t->store->dtype; }
static inline bool kk_live(const kk_tensor *t) { return t->store->data != NULL; }
static inline bool kk_wants_grad(const kk_tensor *t) { return t->store->wants_grad && !t->detached; }
bool kk_contiguous(const kk_tensor *t);
/* First element, whatever the type. Kernels that the dispatcher calls get contiguous inputs. */
static inline void *kk_data(const kk_tensor *t) {
  return (char *)t->store->data + (size_t)t->offset * kk_dtype_size(t->store->dtype);
}
static inline kk_real *kk_real_data(const kk_tensor *t) { return (kk_real *)t->store->data + t->offset; }
static inline int32_t *kk_i32_data(const kk_tensor *t) { return (int32_t *)t->store->data + t->offset; }
kk_status kk_tensor_need_grad(kk_tensor *t, kk_err *e);   /* allocates a zero gradient if there is none */
void kk_grad_zero(kk_storage *s);                         /* nothing where there is none */

/* Views: new header, same storage. dim counts from 0. Errors say the dimension and the shape. */
kk_status kk_view_narrow(kk_tensor *t, int dim, int64_t start, int64_t len, int64_t step,
                         kk_tensor **out, kk_err *e);
kk_status kk_view_select(kk_tensor *t, int dim, int64_t index, kk_tensor **out, kk_err *e);
kk_status kk_view_permute(kk_tensor *t, const int *order, kk_tensor **out, kk_err *e);
kk_status kk_view_expand(kk_tensor *t, const kk_shape *s, kk_tensor **out, kk_err *e);
kk_status kk_view_squeeze(kk_tensor *t, int dim, kk_tensor **out, kk_err *e);    /* -1: every size 1 */
kk_status kk_view_unsqueeze(kk_tensor *t, int dim, kk_tensor **out, kk_err *e);
/* A view where strides allow it, else KK_ESHAPE. One size may be -1: inferred. */
kk_status kk_view_reshape(kk_tensor *t, const kk_shape *s, kk_tensor **out, kk_err *e);
kk_status kk_view_detach(kk_tensor *t, kk_tensor **out, kk_err *e);

/* Element i (in row-major order of the shape) as a number, and back. For printing and bindings. */
int64_t kk_element_offset(const kk_tensor *t, int64_t i);
double kk_get(const kk_tensor *t, int64_t element_offset);
int64_t kk_get_int(const kk_tensor *t, int64_t element_offset);
bool kk_put(kk_tensor *t, int64_t element_offset, double value);   /* false: it does not fit the type */

/* copy.c: strided copies. Conversion between types rounds toward zero and checks the range. */
kk_status kk_copy(kk_tensor *dst, const kk_tensor *src, kk_err *e);       /* broadcasts src */
void kk_fill(kk_tensor *dst, double value);
kk_status kk_contiguous_copy(const kk_tensor *t, kk_dtype as, kk_tensor **out, kk_err *e);
/* Scatter-add of a contiguous gradient into the gradient of a strided view. */
void kk_grad_add(const kk_tensor *view, const kk_real *g);
/* Counts a write; refuses storage that is shared or whose gradient is being recorded. */
kk_status kk_writable(kk_tensor *t, const char *who, kk_err *e);

#endif
