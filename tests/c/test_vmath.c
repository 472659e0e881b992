/* Vector exp, tanh, sigmoid, log, softplus and normal_cdf against libm in double over the whole float range, in each
** version that this machine runs: every 257th float, all floats near the places where a formula changes, and the ends. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "op/vmath.h"

#ifdef __SANITIZE_ADDRESS__
enum { STRIDE = 4099 };      /* unoptimised: bounds are the plain build's task */
#else
enum { STRIDE = 257 };
#endif
enum { BLOCK = 4096, AROUND = 2000 };

static float normal_cdf(float x) {
  float bell;
  return kk_normal_cdff(x, &bell);
}
static float normal_bell(float x) {
  float bell;
  kk_normal_cdff(x, &bell);
  return bell;
}
static double exact_sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double exact_softplus(double x) { return (x > 0 ? x : 0) + log1p(exp(-fabs(x))); }
static double exact_cdf(double x) { return 0.5 * erfc(x * -0.70710678118654752440); }
static double exact_bell(double x) { return exp(-0.5 * x * x); }

typedef void loop(float *restrict y, const float *x, int64_t n);
#define LOOP(name, target_, fn) \
  target_ static void name(float *restrict y, const float *x, int64_t n) { for (int64_t i = 0; i < n; i++) y[i] = fn(x[i]); }
#if defined(__x86_64__) && defined(__GNUC__)
#define LOOPS(fn) \
  LOOP(fn##_default, , fn) \
  LOOP(fn##_avx2, __attribute__((target("avx2"))), fn) \
  LOOP(fn##_avx512f, __attribute__((target("avx512f"))), fn)
#define NAMES(fn) {fn##_default, fn##_avx2, fn##_avx512f}
static bool runs(int version) {
  return version == 0 || (version == 1 ? __builtin_cpu_supports("avx2") : __builtin_cpu_supports("avx512f"));
}
enum { VERSIONS = 3 };
#else
#define LOOPS(fn) LOOP(fn##_default, , fn)
#define NAMES(fn) {fn##_default}
static bool runs(int version) { return version == 0; }
enum { VERSIONS = 1 };
#endif
LOOPS(kk_expf)
LOOPS(kk_tanhf)
LOOPS(kk_sigmoidf)
LOOPS(kk_logf)
LOOPS(kk_softplusf)
LOOPS(normal_cdf)
LOOPS(normal_bell)

typedef struct function {
  const char *name;
  loop *fn[VERSIONS];
  double (*exact)(double);
  double bound;                       /* ulp */
  bool keeps;                         /* denormal results are right; else they are signed zero */
  double places[8];                   /* where formulas change */
} function;

/* Fails unless y is f(x) as the header promises. ulp: that of the float next to the exact result. */
static void check_one(const function *f, int version, float x, float y, double want) {
  static const char *const names[] = {"default", "avx2", "avx512f"};
  const double least = 1.1754943508222875e-38, most = 3.4028234663852886e38;
  int e = 0;
  bool right;
  frexp(want, &e);
  if (want != want) right = y != y;
  else if (isinf(want) || fabs(want) >= most * (1 + 0x1p-25)) right = isinf(y) && (y > 0) == (want > 0);
  else if (fabs(want) < least && f->keeps) right = (double)y == (double)(float)want;
  else if (fabs(want) < least) right = fabs((double)y) <= least && !signbit(y) == !signbit(want);
  else right = fabs((double)y - want) <= f->bound * ldexp(1, e - 24) || (fabs(want) < 1.00001 * least && y == 0);
  if (!right)
    fail_msg("%s, %s: f(%.9g = %a) is %.9g, exactly %.17g: %.2f ulp", f->name, names[version], (double)x, (double)x, (double)y,
             want, fabs((double)y - want) / ldexp(1, e - 24));
}

/* One ulp of a float at the size of a normal double. */
static double ulp_at(double want) {
  uint64_t u;
  memcpy(&u, &want, sizeof u);
  u = (u & 0x7FF0000000000000u) - ((uint64_t)23 << 52);
  memcpy(&want, &u, sizeof u);
  return want;
}

static void check_block(const function *f, const float *x, int64_t n) {
  static double want[BLOCK], allowed[BLOCK];
  static float y[BLOCK];
  for (int64_t i = 0; i < n; i++) {
    want[i] = f->exact((double)x[i]);
    allowed[i] = fabs(want[i]) > 1.2e-38 && fabs(want[i]) < 3e38 ? f->bound * ulp_at(want[i]) : -1;
  }
  for (int v = 0; v < VERSIONS; v++) {
    if (!runs(v)) continue;
    f->fn[v](y, x, n);
    for (int64_t i = 0; i < n; i++)
      if (!(fabs((double)y[i] - want[i]) <= allowed[i])) check_one(f, v, x[i], y[i], want[i]);
  }
}

static void error_is_within_the_bound_over_the_whole_range(void **state) {
  const function *f = *state;
  static float x[BLOCK];
  uint64_t u = 0;
  while (u <= UINT32_MAX) {                 /* all exponents, both signs, infinities and nans */
    int64_t n = 0;
    for (; n < BLOCK && u <= UINT32_MAX; u += STRIDE) x[n++] = vmath_float((uint32_t)u);
    check_block(f, x, n);
  }
  for (size_t k = 0; k < sizeof f->places / sizeof *f->places; k++) {
    int64_t n = 0;
    for (uint32_t d = 0; d < 2 * AROUND; d++) x[n++] = vmath_float(vmath_bits((float)f->places[k]) + d - AROUND);
    check_block(f, x, n);
  }
}

static void ends_are_right(void **state) {
  const function *f = *state;
  static const float ends[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, -NAN, 1.4e-45f, -1.4e-45f, 1.17549435e-38f, -1.17549435e-38f,
                               3.40282347e38f, -3.40282347e38f, 1, -1};
  float x[40];
  int64_t n = 0;
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) x[n++] = ends[i];
  for (int k = 0; k < 16; k++) x[n++] = vmath_float(0x7F800001u + (uint32_t)k * 40503u);      /* nans with a load */
  check_block(f, x, n);
}

static const function functions[] = {
  {"exp", NAMES(kk_expf), exp, 1.1, false, {VMATH_EXP_LEAST, VMATH_EXP_MOST, 0.34657359, -0.34657359, 88.3762626, -104}},
  {"tanh", NAMES(kk_tanhf), tanh, 1.4, true, {0.625, -0.625, 10, -10, 9.01, 1e-4, 1e-38}},
  {"sigmoid", NAMES(kk_sigmoidf), exact_sigmoid, 2, false, {VMATH_EXP_LEAST, -VMATH_EXP_LEAST, -16.63, 16.63, 1e-7, -17.3}},
  {"log", NAMES(kk_logf), log, 1.1, false, {1, 0.70710678, 1.41421356, 1.1754943e-38, 2, 0.5, 3.4e38}},
  {"softplus", NAMES(kk_softplusf), exact_softplus, 1.8, false, {VMATH_EXP_LEAST, 0.88137359, -0.88137359, 17, -17, 1e-7}},
  {"normal_cdf", NAMES(normal_cdf), exact_cdf, 8, false, {13.2163944, -13.2163944, -12.9, 5.4, 1e-7, -1e-7}},
  {"normal_cdf's bell", NAMES(normal_bell), exact_bell, 2, false, {13.2163944, -13.2163944, 1e-4}},
};

int main(void) {
  struct CMUnitTest tests[2 * sizeof functions / sizeof *functions];
  char names[2 * sizeof functions / sizeof *functions][96];
  size_t n = 0;
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    snprintf(names[n], sizeof names[n], "%s: error within %g ulp over the whole range, every version", functions[i].name,
             functions[i].bound);
    tests[n] = (struct CMUnitTest){.name = names[n], .test_func = error_is_within_the_bound_over_the_whole_range,
                                   .initial_state = (void *)(uintptr_t)&functions[i]};
    n++;
    snprintf(names[n], sizeof names[n], "%s: zeros, infinities, nans and denormals", functions[i].name);
    tests[n] = (struct CMUnitTest){.name = names[n], .test_func = ends_are_right, .initial_state = (void *)(uintptr_t)&functions[i]};
    n++;
  }
  return _cmocka_run_group_tests("vmath", tests, n, NULL, NULL);
}
