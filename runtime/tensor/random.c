#include "tensor/random.h"

double kk_random_normal(uint64_t key, uint64_t i) {
  uint32_t w[4];
  kk_philox(key, i, w);
  double u = ((double)w[0] + 1.0) * (1.0 / 4294967296.0), v = (double)w[1] * (1.0 / 4294967296.0);
  return sqrt(-2.0 * log(u)) * cos(6.283185307179586476925286766559 * v);
}

uint64_t kk_random_below(uint64_t key, uint64_t i, uint64_t n) {
  uint32_t w[4];
  kk_philox(key, i, w);
  return (uint64_t)(((unsigned __int128)(((uint64_t)w[0] << 32) | w[1]) * n) >> 64);
}

/* FNV-1a over the name, mixed with the seed by one Philox block: streams do not overlap in practice. */
kk_stream kk_stream_named(uint64_t seed, const char *name) {
  uint64_t h = 0xCBF29CE484222325u;
  uint32_t w[4];
  for (; *name; name++) h = (h ^ (uint8_t)*name) * 0x100000001B3u;
  kk_philox(seed, h, w);
  return (kk_stream){.seed = ((uint64_t)w[0] << 32) | w[1], .count = 0};
}

uint64_t kk_stream_key(kk_stream *s) {
  uint32_t w[4];
  kk_philox(s->seed, s->count++, w);
  return ((uint64_t)w[2] << 32) | w[3];
}

void kk_random_shuffle(uint64_t key, int64_t *order, int64_t n) {
  for (int64_t i = n - 1; i > 0; i--) {
    int64_t j = (int64_t)kk_random_below(key, (uint64_t)i, (uint64_t)i + 1), t = order[i];
    order[i] = order[j];
    order[j] = t;
  }
}
