/* fuzz_zip.c -- the archive reader: what opens has all its bytes summed. */
#include "data/zip.h"

#include "fuzz.h"

static const char *const fuzz_seeds[] = {"tests/golden/pretrained/lm.pth", "tests/golden/pretrained/big.pth",
                                         "tests/golden/pretrained/zip64.zip", NULL};

static int fuzz_one(const uint8_t *p, size_t n) {
  kk_zip z;
  kk_err e = {0};
  uint64_t bytes = 0;
  kk_status st = kk_zip_open(&z, "input", p, n, &e);
  if (st) return st == KK_EFORMAT && e.code == st && *e.msg ? 0 : -1;
  for (int64_t i = 0; i < z.n; i++) {
    const kk_zip_entry *it = &z.entries[i];
    bytes += it->n;
    if (kk_zip_check(it, "input", &e) && e.code != KK_EFORMAT) return -1;
    if (kk_zip_find(&z, it->name, it->name_n) != it) return -1;
  }
  kk_zip_close(&z);
  return bytes <= n ? 1 : -1;
}
