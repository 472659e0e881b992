/* raw.h -- element types of other programs' files, and how they become ours. */
#ifndef KK_RAW_H
#define KK_RAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "tensor/tensor.h"

typedef struct kk_raw {
  const char *safetensors;    /* "F32"; NULL: not in that format   */
  const char *npy;            /* "<f4"                             */
  size_t size;                /* bytes of an element               */
  kk_dtype as;                /* what it is read as                */
} kk_raw;

/* By name in one of the formats; NULL when it is unknown or has no exact home here (uint64, complex). */
const kk_raw *kk_raw_safetensors(const char *name, size_t n);
const kk_raw *kk_raw_npy(const char *name, size_t n);
/* The type in which a tensor is written: its own, so that it reads back equal. */
const kk_raw *kk_raw_of(kk_dtype d);

/* n elements at src (any alignment, little-endian) into dst, of type r->as. */
void kk_raw_read(const kk_raw *r, const void *src, int64_t n, void *dst);

/* Elements of a shape times size; false when that is negative or beyond 2^62. */
bool kk_raw_bytes(const kk_shape *s, size_t size, uint64_t *bytes);

#endif
