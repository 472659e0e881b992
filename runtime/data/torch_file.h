/* torch_file.h -- what torch.save wrote: the zip archive of today, the legacy file of PyTorch before 1.6, or a plain pickle.
** Opening checks everything (archive, pickle, storages, every tensor's size, strides and offset) and reads no numbers; a
** tensor is made when it is asked for. Tensors that share a storage in the file share it here, so that nothing takes more
** memory than the file's own contents, whatever the pickle says. */
#ifndef KK_TORCH_FILE_H
#define KK_TORCH_FILE_H

#include "base/file.h"
#include "data/pickle.h"
#include "data/zip.h"
#include "tensor/raw.h"
#include "tensor/tensor.h"

typedef struct kk_torch_storage {
  const char *key;            /* not ended by a NUL */
  size_t key_n;
  const kk_raw *raw;
  int64_t n;                  /* elements */
  const uint8_t *p;           /* in the file, little-endian or big as the file */
  kk_tensor *t;               /* NULL until a tensor needs it */
} kk_torch_storage;

typedef struct kk_torch_file {
  kk_map map;
  kk_zip zip;
  kk_pickle pickle;           /* a KK_P_PERSISTENT's pair.b is the number of its storage */
  kk_torch_storage *storages; /* sorted by key */
  int64_t nstorages;
  bool big_endian;
} kk_torch_file;

typedef struct kk_torch_opts {
  bool crc;                   /* check the sums of an archive's entries */
  size_t memory;              /* limit of the pickle's values: KK_PICKLE_MEMORY */
} kk_torch_opts;

/* KK_EIO, or KK_EFORMAT for what is damaged, hostile or of a kind that is not read. */
kk_status kk_torch_open(const char *path, kk_torch_file *f, kk_torch_opts opts, kk_err *e);
/* The same of n bytes in memory, which must outlive f. */
kk_status kk_torch_open_bytes(const char *path, const void *p, size_t n, kk_torch_file *f, kk_torch_opts opts, kk_err *e);
/* Is this value (a KK_P_CALL) a tensor? */
bool kk_torch_is_tensor(const kk_torch_file *f, const kk_pvalue *v);
/* A view of its storage; the caller owns the reference. float16, bfloat16, float64 become float32, int8 and int16 int32. */
kk_status kk_torch_tensor(kk_torch_file *f, const kk_pvalue *v, kk_tensor **out, kk_err *e);
void kk_torch_close(kk_torch_file *f);

#endif
