/* fuzz_torch.c -- files of torch.save, archives and legacy ones: what opens has all its tensors made and copied. */
#include "data/torch_file.h"

#include "fuzz.h"

static const char *const fuzz_seeds[] = {"tests/golden/pretrained/lm.pth",      "tests/golden/pretrained/lm_legacy.pth",
                                         "tests/golden/pretrained/tensors.pth", "tests/golden/pretrained/big.pth",
                                         "tests/golden/pretrained/qrnn_legacy.pth", NULL};

static int fuzz_one(const uint8_t *p, size_t n) {
  kk_torch_file f;
  kk_err e = {0};
  int good = 1;
  kk_status st = kk_torch_open_bytes("input", p, n, &f, (kk_torch_opts){.crc = false, .memory = 1 << 20}, &e);
  if (st) return st == KK_EFORMAT && e.code == st && *e.msg ? 0 : -1;
  for (uint32_t i = 0; i < f.pickle.n; i++) {
    kk_tensor *t = NULL, *copy = NULL;
    if (!kk_torch_is_tensor(&f, &f.pickle.v[i])) continue;
    if (kk_torch_tensor(&f, &f.pickle.v[i], &t, &e) || kk_contiguous_copy(t, kk_type(t), &copy, &e)) good = -1;
    kk_unref(copy);
    kk_unref(t);
  }
  kk_torch_close(&f);
  return good;
}
