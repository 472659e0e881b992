/* file.h -- files that are either whole or absent: written aside, fsynced, renamed. */
#ifndef KK_FILE_H
#define KK_FILE_H

#include <stddef.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/err.h"

/* An output file that appears under its name only when it is complete. */
typedef struct kk_outfile {
  FILE *f;
  char *path, *temp;
} kk_outfile;

kk_status kk_outfile_open(kk_outfile *o, const char *path, kk_err *e);
kk_status kk_outfile_write(kk_outfile *o, const void *p, size_t n, kk_err *e);
kk_status kk_outfile_commit(kk_outfile *o, kk_err *e);  /* fsync, rename, fsync of the folder */
void kk_outfile_abort(kk_outfile *o);                   /* removes the temporary file; fine after commit */

/* Reads a whole file of at most max bytes into b, which the caller initialised and frees. */
kk_status kk_file_read(const char *path, kk_buf *b, kk_err *e);

/* A file mapped read-only. */
typedef struct kk_map {
  const void *p;
  size_t n;
} kk_map;
kk_status kk_map_open(kk_map *m, const char *path, kk_err *e);
void kk_map_close(kk_map *m);

#endif
