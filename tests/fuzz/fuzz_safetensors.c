/* fuzz_safetensors.c -- safetensors: what opens has all its tensors loaded. */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <unistd.h>

#include "tensor/safetensors.h"

#include "fuzz.h"

static const char *const fuzz_seeds[] = {"tests/golden/pretrained/small.safetensors", "tests/golden/pretrained/odd.safetensors", NULL};

static int fuzz_one(const uint8_t *p, size_t n) {
  static int fd = -1;
  char path[64];
  kk_st_file f;
  kk_err e = {0};
  int good = 1;
  if (fd < 0) fd = memfd_create("input", 0);
  if (fd < 0 || ftruncate(fd, (off_t)n) || pwrite(fd, p, n, 0) != (ssize_t)n) return -1;
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  kk_status st = kk_st_open(path, &f, &e);
  if (st) return st == KK_EFORMAT && e.code == st && *e.msg ? 0 : -1;
  for (int64_t i = 0; i < f.nitems; i++) {
    kk_tensor *t = NULL;
    if (kk_st_load(&f, i, &t, &e) && e.code != KK_EFORMAT) good = -1;
    kk_unref(t);
  }
  kk_st_close(&f);
  return good;
}
