#define _GNU_SOURCE
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

kk_status kk_outfile_open(kk_outfile *o, const char *path, kk_err *e) {
  size_t n = strlen(path) + 32;
  *o = (kk_outfile){0};
  o->path = kk_strdup(path);
  if (!o->path) return kk_fail(e, KK_ENOMEM, "%s: out of memory", path);
  char temp[4096];
  if (n > sizeof temp) {
    kk_outfile_abort(o);
    return kk_fail(e, KK_EARG, "%.60s...: the path is too long", path);
  }
  snprintf(temp, sizeof temp, "%s.tmp-%ld", path, (long)getpid());
  o->temp = kk_strdup(temp);
  if (!o->temp) {
    kk_outfile_abort(o);
    return kk_fail(e, KK_ENOMEM, "%s: out of memory", path);
  }
  o->f = fopen(o->temp, "wb");
  if (!o->f) {
    int code = errno;
    kk_strfree(o->temp);
    o->temp = NULL;
    kk_outfile_abort(o);
    return kk_fail_errno(e, code, "%s: cannot write", path);
  }
  return KK_OK;
}

kk_status kk_outfile_write(kk_outfile *o, const void *p, size_t n, kk_err *e) {
  if (n && fwrite(p, 1, n, o->f) != n) return kk_fail_errno(e, errno, "%s: cannot write", o->path);
  return KK_OK;
}

/* Makes the rename itself durable. Failure is benign: some file systems refuse it. */
static void file_sync_folder(const char *path) {
  char dir[4096];
  const char *slash = strrchr(path, '/');
  size_t n = slash ? (size_t)(slash - path) : 0;
  int fd;
  if (n >= sizeof dir) return;
  memcpy(dir, path, n);
  dir[n] = 0;
  fd = open(n ? dir : slash ? "/" : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  (void)fsync(fd);
  close(fd);
}

kk_status kk_outfile_commit(kk_outfile *o, kk_err *e) {
  int bad = fflush(o->f) != 0 || fsync(fileno(o->f)) != 0, code = errno;
  if (fclose(o->f) != 0 && !bad) bad = 1, code = errno;
  o->f = NULL;
  if (!bad && rename(o->temp, o->path) != 0) bad = 1, code = errno;
  if (bad) {
    kk_status st = kk_fail_errno(e, code, "%s: cannot write", o->path);
    kk_outfile_abort(o);
    return st;
  }
  file_sync_folder(o->path);
  kk_strfree(o->temp);
  o->temp = NULL;
  kk_outfile_abort(o);
  return KK_OK;
}

void kk_outfile_abort(kk_outfile *o) {
  if (o->f) fclose(o->f);
  if (o->temp) unlink(o->temp);
  kk_strfree(o->temp);
  kk_strfree(o->path);
  *o = (kk_outfile){0};
}

kk_status kk_file_read(const char *path, kk_buf *b, kk_err *e) {
  char block[65536];
  size_t n;
  kk_status st = KK_OK;
  FILE *f = fopen(path, "rb");
  if (!f) return kk_fail_errno(e, errno, "%s", path);
  while (!st && (n = fread(block, 1, sizeof block, f)) > 0) st = kk_buf_add(b, block, n, e);
  if (!st && ferror(f)) st = kk_fail_errno(e, errno, "%s", path);
  fclose(f);
  return st;
}

kk_status kk_map_open(kk_map *m, const char *path, kk_err *e) {
  struct stat s;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  *m = (kk_map){0};
  if (fd < 0) return kk_fail_errno(e, errno, "%s", path);
  if (fstat(fd, &s) != 0 || !S_ISREG(s.st_mode)) {
    close(fd);
    return kk_fail(e, KK_EIO, "%s: not a regular file", path);
  }
  m->n = (size_t)s.st_size;
  if (m->n) {
    void *p = mmap(NULL, m->n, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED) {
      int code = errno;
      close(fd);
      m->n = 0;
      return kk_fail_errno(e, code, "%s: cannot map", path);
    }
    m->p = p;
  }
  close(fd);
  return KK_OK;
}

void kk_map_close(kk_map *m) {
  if (m->p) munmap((void *)(size_t)m->p, m->n);
  *m = (kk_map){0};
}
