/* fuzz.h -- what the fuzz targets share. A target defines fuzz_one and fuzz_seeds and includes this file last.
**   fuzz_x FILE...              each file once
**   fuzz_x [--from K] [--count N]   inputs K to K + N - 1 made of the seeds; each depends on its number alone
** Built with clang and -fsanitize=fuzzer -DKK_LIBFUZZER it is a target of libFuzzer instead. What is asked of every input:
** no crash, no leak, an answer of KK_EFORMAT or a value, and never more memory than BOUND allows. Speaks TAP. */
#ifndef KK_FUZZ_H
#define KK_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tensor/random.h"

enum { FUZZ_MOST = 1 << 16, FUZZ_SEEDS = 16 };
/* A pickle's byte can become a value of 24 bytes and places that hold it, each in lists that double. */
#define FUZZ_BOUND(n) (65536 + 200 * (size_t)(n))

/* 1: the input was accepted, 0: refused, -1: the answer was wrong. */
static int fuzz_one(const uint8_t *p, size_t n);
static const char *const fuzz_seeds[];       /* files, then NULL */

static uint64_t fuzz_at;                     /* the input at work */

static int fuzz_checked(const uint8_t *p, size_t n) {
  size_t before = kk_mem_live();
  kk_mem_peak_reset();
  int got = fuzz_one(p, n);
  if (kk_mem_live() != before) {
    printf("# input %llu: %zu bytes are not given back\n", (unsigned long long)fuzz_at, kk_mem_live() - before);
    got = -1;
  }
  if (kk_mem_peak() - before > FUZZ_BOUND(n)) {
    printf("# input %llu: %zu bytes of memory for %zu bytes\n", (unsigned long long)fuzz_at, kk_mem_peak() - before, n);
    got = -1;
  }
  return got;
}

#ifdef KK_LIBFUZZER
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
  if (fuzz_checked(p, n) < 0) abort();
  return 0;
}
#else

typedef struct seed { uint8_t p[FUZZ_MOST]; size_t n; } seed;
static seed fuzz_seed[FUZZ_SEEDS], fuzz_input;
static int fuzz_nseeds;

void __asan_on_error(void);
void __asan_on_error(void) { fprintf(stderr, "fuzz: at --from %llu --count 1\n", (unsigned long long)fuzz_at); }

static int fuzz_read(const char *path, seed *s) {
  FILE *f = fopen(path, "rb");
  if (!f) return 0;
  s->n = fread(s->p, 1, FUZZ_MOST, f);
  fclose(f);
  return 1;
}

static uint64_t fuzz_draw(uint64_t *k, uint64_t below) { return kk_random_below(fuzz_at + 1, (*k)++, below); }

/* `gone` bytes at `at` make place for `more` others. */
static void fuzz_shift(seed *s, size_t at, size_t gone, size_t more) {
  if (s->n - gone + more > FUZZ_MOST) return;
  memmove(s->p + at + more, s->p + at + gone, s->n - at - gone);
  s->n = s->n - gone + more;
}

static void fuzz_mutate(seed *s, uint64_t *k) {
  static const uint64_t odd[] = {0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
                                 0x100000000, (uint64_t)1 << 62, INT64_MAX, (uint64_t)1 << 63, UINT64_MAX};
  if (!s->n) return;
  size_t at = fuzz_draw(k, s->n), left = s->n - at;
  const seed *other = &fuzz_seed[fuzz_draw(k, (uint64_t)fuzz_nseeds)];
  switch (fuzz_draw(k, 8)) {
    case 0: s->p[at] ^= (uint8_t)(1 << fuzz_draw(k, 8)); break;
    case 1: s->p[at] = (uint8_t)fuzz_draw(k, 256); break;
    case 2:
    case 3: {                                /* a number somewhere */
      uint64_t v = odd[fuzz_draw(k, sizeof odd / sizeof *odd)];
      size_t width = (size_t)1 << fuzz_draw(k, 4);
      memcpy(s->p + at, &v, width < left ? width : left);
      break;
    }
    case 4: fuzz_shift(s, at, 1 + fuzz_draw(k, left), 0); break;
    case 5: {                                /* a piece twice */
      size_t n = 1 + fuzz_draw(k, left < 64 ? left : 64), size = s->n;
      fuzz_shift(s, at, 0, n);
      if (s->n != size) memcpy(s->p + at, s->p + at + n, n);
      break;
    }
    case 6: {                                /* a piece of another seed */
      size_t from = fuzz_draw(k, other->n), n = 1 + fuzz_draw(k, 64);
      if (n > other->n - from) n = other->n - from;
      if (n > left) n = left;
      memcpy(s->p + at, other->p + from, n);
      break;
    }
    default: {                               /* a byte more */
      size_t size = s->n;
      fuzz_shift(s, at, 0, 1);
      if (s->n != size) s->p[at] = (uint8_t)fuzz_draw(k, 256);
    }
  }
}

static int fuzz_loop(uint64_t from, uint64_t count) {
  uint64_t accepted = 0, wrong = 0;            /* an input in five is a seed unchanged */
  for (fuzz_at = from; fuzz_at < from + count; fuzz_at++) {
    uint64_t k = 0;
    fuzz_input = fuzz_seed[fuzz_draw(&k, (uint64_t)fuzz_nseeds)];
    for (uint64_t times = fuzz_draw(&k, 5); times > 0; times--) fuzz_mutate(&fuzz_input, &k);
    int got = fuzz_checked(fuzz_input.p, fuzz_input.n);
    accepted += got > 0;
    wrong += got < 0;
  }
  printf("%s 1 - %llu inputs, %llu accepted, %llu with a wrong answer\n1..1\n", wrong || !accepted ? "not ok" : "ok", (unsigned long long)count,
         (unsigned long long)accepted, (unsigned long long)wrong);
  return wrong || !accepted;
}

int main(int argc, char **argv) {
  uint64_t from = 0, count = 20000;
  int files = 0, wrong = 0;
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--from") == 0 && i + 1 < argc) from = strtoull(argv[++i], NULL, 10);
    else if (strcmp(argv[i], "--count") == 0 && i + 1 < argc) count = strtoull(argv[++i], NULL, 10);
    else if (!fuzz_read(argv[i], &fuzz_input)) return fprintf(stderr, "cannot read %s\n", argv[i]), 2;
    else {
      files++;
      wrong += fuzz_checked(fuzz_input.p, fuzz_input.n) < 0;
    }
  }
  if (files) return wrong != 0;
  for (int i = 0; fuzz_seeds[i]; i++) {
    seed *s = &fuzz_seed[fuzz_nseeds++];
    if (!fuzz_read(fuzz_seeds[i], s)) return fprintf(stderr, "cannot read %s (run it in the project's folder)\n", fuzz_seeds[i]), 2;
    if (fuzz_checked(s->p, s->n) != 1) return printf("not ok 1 - %s is not accepted\n1..1\n", fuzz_seeds[i]), 1;
  }
  return fuzz_loop(from, count);
}
#endif
#endif
