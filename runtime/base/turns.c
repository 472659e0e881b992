#include "base/turns.h"

#include "base/pool.h"

void kk_turns_begin(kk_turns *t, int64_t n) {
  const int threads = kk_pool_threads();
  t->n = n;
  t->shares = threads < KK_TURNS_SHARES ? threads : KK_TURNS_SHARES;
  t->back = !t->back;
  for (int i = 0; i < t->shares; i++) atomic_store_explicit(&t->share[i].taken, 0, memory_order_relaxed);
}

static int64_t turns_first(const kk_turns *t, int share) { return share * t->n / t->shares; }

/* The i-th piece of a share, or -1. */
static int64_t turns_piece(const kk_turns *t, int share, int64_t i) {
  const int64_t first = turns_first(t, share), n = turns_first(t, share + 1) - first;
  return i >= n ? -1 : t->back ? first + n - 1 - i : first + i;
}

int64_t kk_turns_take(kk_turns *t) {
  for (int share = kk_pool_self() % t->shares;; share = (share + 1) % t->shares) {
    const int64_t i = atomic_fetch_add_explicit(&t->share[share].taken, 1, memory_order_relaxed);
    const int64_t piece = turns_piece(t, share, i);
    if (piece >= 0) return piece;
  }
}

int64_t kk_turns_next(const kk_turns *t, int64_t piece) {
  const int share = kk_pool_self() % t->shares;
  const int64_t next = turns_piece(t, share, atomic_load_explicit(&t->share[share].taken, memory_order_relaxed));
  return next < 0 ? piece : next;
}
