/* safetensors.h -- named tensors in a file: 8 bytes of header length, a JSON header, the data.
** Format: github.com/huggingface/safetensors README. Written aside, fsynced, renamed; a file is read only after its
** whole header has been checked against its size. */
#ifndef KK_SAFETENSORS_H
#define KK_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "base/file.h"
#include "tensor/raw.h"
#include "tensor/tensor.h"

typedef struct kk_st_text { const char *p; size_t n; } kk_st_text;      /* ends with a NUL that is not counted */

typedef struct kk_st_item {
  kk_st_text name;
  const kk_raw *type;         /* NULL: a valid file, but a type that has no home here */
  kk_st_text dtype;           /* as it is written                                     */
  kk_shape shape;
  uint64_t begin, end;        /* bytes behind the header                              */
} kk_st_item;

typedef struct kk_st_meta { kk_st_text key, value; } kk_st_meta;

/* An open file. Names and metadata point into text. */
typedef struct kk_st_file {
  kk_map map;
  const char *data;           /* behind the header */
  kk_st_item *items;          /* in the order of the header */
  kk_st_meta *meta;
  int64_t nitems, nmeta, items_cap, meta_cap;
  char *text;                 /* the strings of the header, without their escapes */
  size_t text_cap, text_n;
} kk_st_file;

enum { KK_ST_MAX_HEADER = 100000000 };         /* the cap of the reference implementation */
enum { KK_ST_MAX_ITEMS = 1 << 20 };            /* tensors, and metadata: a header of that size could have 16 times as many */

/* KK_EIO, or KK_EFORMAT for a header that lies, holes or overlaps in the data, duplicate names. */
kk_status kk_st_open(const char *path, kk_st_file *f, kk_err *e);
kk_status kk_st_load(const kk_st_file *f, int64_t i, kk_tensor **out, kk_err *e);   /* a copy; the caller owns it */
void kk_st_close(kk_st_file *f);

/* names[i] is the name of tensors[i]; they may be views. Written by size of element, then by name, so that equal contents
** give equal files. Raises KK_EARG for duplicate names, a name "__metadata__", or text that is not UTF-8. */
kk_status kk_st_save(const char *path, const kk_st_text *names, kk_tensor *const *tensors, int64_t n, const kk_st_meta *meta,
                     int64_t nmeta, kk_err *e);

#endif
