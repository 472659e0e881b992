#include "base/pool.h"

#ifdef _OPENMP
#include <omp.h>
#endif

static int threads;   /* 0 until first asked */

int kk_pool_threads(void) {
#ifdef _OPENMP
  if (!threads) {
    int procs = omp_get_num_procs(), limit = omp_get_max_threads();
    threads = procs < limit ? procs : limit;   /* OMP_NUM_THREADS lowers it */
  }
  return threads;
#else
  return 1;
#endif
}

void kk_pool_set_threads(int n) {
#ifdef _OPENMP
  threads = n < 1 ? omp_get_num_procs() : n;
#else
  (void)n;
#endif
}

void kk_pool_for(int64_t n, int64_t grain, kk_chunk_fn fn, void *arg) {
  int64_t chunks;
  if (n <= 0) return;
  if (grain < 1) grain = 1;
  chunks = (n + grain - 1) / grain;
#ifdef _OPENMP
  if (chunks > 1 && kk_pool_threads() > 1 && !omp_in_parallel()) {
#pragma omp parallel for schedule(dynamic, 1) num_threads(kk_pool_threads())
    for (int64_t c = 0; c < chunks; c++) {
      int64_t end = (c + 1) * grain;
      fn(arg, c * grain, end < n ? end : n);
    }
    return;
  }
#endif
  for (int64_t c = 0; c < chunks; c++) {
    int64_t end = (c + 1) * grain;
    fn(arg, c * grain, end < n ? end : n);
  }
}
