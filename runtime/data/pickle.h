/* pickle.h -- Python's pickles (protocols 0 to 5) as plain data. Nothing is imported, nothing is called, nothing is run: a
** pickle may name only what the table in pickle_global.c lists, and calls of those become values here. Everything else, a class,
** a function, an opcode that makes objects, is refused by its name and place.
** Format: Python's pickletools. Memory is bounded by kk_pickle_limits, time by the length of the pickle. */
#ifndef KK_PICKLE_H
#define KK_PICKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef enum kk_pkind {
  KK_P_NONE, KK_P_BOOL, KK_P_INT, KK_P_LONG, KK_P_FLOAT, KK_P_STR, KK_P_BYTES,
  KK_P_LIST, KK_P_TUPLE, KK_P_DICT, KK_P_SET,
  KK_P_GLOBAL,                /* a name of the table                                            */
  KK_P_CALL,                  /* pair of a global and its arguments: what it makes is for the caller to know */
  KK_P_PERSISTENT,            /* pair of the id that stands for something outside of the pickle, and 0 */
  KK_P_MARK,
} kk_pkind;

/* What may be named. From KK_G_CALLS on a call stays a KK_P_CALL. */
typedef enum kk_pglobal {
  KK_G_NONE, KK_G_ORDERED_DICT, KK_G_DICT, KK_G_LIST, KK_G_TUPLE, KK_G_SET, KK_G_INT, KK_G_FLOAT, KK_G_BOOL, KK_G_STR, KK_G_BYTES,
  KK_G_ENCODE, KK_G_FASTCORE_L, KK_G_SIZE, KK_G_NUMPY_DTYPE, KK_G_NUMPY_SCALAR,
  KK_G_STORAGE,
  KK_G_CALLS, KK_G_TENSOR = KK_G_CALLS, KK_G_TENSOR_V2, KK_G_PARAMETER,
} kk_pglobal;

typedef struct kk_pname {
  const char *module, *name;
  kk_pglobal g;
  const char *dtype;          /* of a storage, as in safetensors */
} kk_pname;

typedef uint32_t kk_pref;     /* a value: index into kk_pickle.v */

typedef struct kk_pvalue {
  uint8_t kind;
  union {
    int64_t i;                                            /* BOOL, INT                                          */
    double f;
    struct { const char *p; uint32_t n; } s;              /* STR (UTF-8), BYTES, LONG (two's complement, little-endian) */
    struct { kk_pref *p; uint32_t n, cap; } c;            /* LIST, TUPLE, SET; DICT: keys and values in turn    */
    struct { kk_pref a, b; } pair;                        /* CALL, PERSISTENT                                   */
    const kk_pname *g;
  } u;
} kk_pvalue;

typedef struct kk_pickle_limits { size_t memory; } kk_pickle_limits;
enum { KK_PICKLE_MEMORY = 256 << 20 };                    /* where a caller has no reason for another one */

typedef struct kk_ptext { struct kk_ptext *next; size_t n; } kk_ptext;   /* text that had to be decoded lies behind */

typedef struct kk_pickle {
  kk_pvalue *v;               /* v[0] is None */
  uint32_t n, cap;
  kk_pref root;
  size_t used;                /* bytes of the pickle, up to and including its STOP */
  size_t memory;              /* bytes that the values take */
  kk_ptext *texts;
} kk_pickle;

/* Strings point into the bytes at p, which must outlive k. where: what messages call it. KK_EFORMAT, with the offset. */
kk_status kk_pickle_read(kk_pickle *k, const char *where, const void *p, size_t n, kk_pickle_limits limits, kk_err *e);
void kk_pickle_close(kk_pickle *k);

const char *kk_pkind_name(int kind);                      /* "list" */
/* The value of a key that is a string, or NULL. */
const kk_pvalue *kk_pickle_field(const kk_pickle *k, const kk_pvalue *dict, const char *key);
bool kk_pvalue_is(const kk_pvalue *v, const char *text);

/* The table of names; NULL: not allowed. */
const kk_pname *kk_pickle_name(const char *module, size_t module_n, const char *name, size_t name_n);

#endif
