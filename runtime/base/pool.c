/* pool.c -- threads that take chunks when they can.
**
** The caller works too and waits only for chunks that a worker has begun: where a worker does not get
** the processor (a busy machine, two virtual processors on one core), the caller does all the work itself. A barrier for
** all threads, as OpenMP has, then costs a time slice of the scheduler for each loop: an LSTM layer of 140 loops took ten times as long.
**
** A loop is published as a ticket: its number in the upper half, the next chunk in the lower. A worker reads the ticket, then
** the loop's fields, then takes the chunk by compare-and-swap on the same ticket: if it succeeds, the fields were that loop's.
** Before the fields change the ticket is closed (next chunk = NONE); fields are stored with release and read with
** acquire, so that who has seen a new field also sees the ticket closed, on processors that reorder stores as well.
** Idle workers look for a new ticket for SPIN rounds, then sleep. */
#define _GNU_SOURCE
#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

enum { MOST = 256, SPIN = 4000, PATIENCE = 2000 };
#define NONE 0xFFFFFFFFu

static struct {
  _Atomic uint64_t ticket;
  _Atomic(kk_chunk_fn) fn;
  _Atomic(void *) arg;
  _Atomic int64_t n, grain;
  _Atomic uint32_t chunks, done;
  atomic_int sleeping;
  pthread_mutex_t lock;             /* of sleeping workers, and of starting some */
  pthread_cond_t wake;
  atomic_int threads;               /* wanted; 0: not asked yet */
  int started;                      /* workers that run */
  atomic_flag busy;                 /* a loop is on: others run theirs alone */
} pool = {.ticket = NONE, .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER, .busy = ATOMIC_FLAG_INIT};

static _Thread_local bool inside;   /* this thread is running a chunk */
static _Thread_local int self;      /* 0: not one of the pool's */

int kk_pool_self(void) { return self; }

static void pool_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static int pool_allowed(void) {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
  long n = sysconf(_SC_NPROCESSORS_ONLN);
  return n > 0 ? (int)n : 1;
}

int kk_pool_threads(void) {
  if (!pool.threads) {
    const char *limit = getenv("OMP_NUM_THREADS");   /* the name that people know from other programs */
    long want = limit ? strtol(limit, NULL, 10) : 0;
    int have = pool_allowed();
    pool.threads = want > 0 && want < have ? (int)want : have;
    if (pool.threads > MOST) pool.threads = MOST;
  }
  return pool.threads;
}

void kk_pool_set_threads(int n) {
  pool.threads = n < 1 ? pool_allowed() : n;
  if (pool.threads > MOST) pool.threads = MOST;
}

/* Takes chunks of the loop on offer until there is none. Answers how many. */
static uint32_t pool_work(void) {
  uint32_t taken = 0;
  for (;;) {
    uint64_t t = atomic_load_explicit(&pool.ticket, memory_order_acquire);
    kk_chunk_fn fn = atomic_load_explicit(&pool.fn, memory_order_acquire);
    void *arg = atomic_load_explicit(&pool.arg, memory_order_acquire);
    int64_t n = atomic_load_explicit(&pool.n, memory_order_acquire);
    int64_t grain = atomic_load_explicit(&pool.grain, memory_order_acquire);
    uint32_t k = (uint32_t)t;
    if (k == NONE || k >= atomic_load_explicit(&pool.chunks, memory_order_acquire)) return taken;
    if (!atomic_compare_exchange_weak_explicit(&pool.ticket, &t, t + 1, memory_order_acq_rel, memory_order_relaxed)) continue;
    int64_t begin = (int64_t)k * grain, end = begin + grain;
    inside = true;
    fn(arg, begin, end < n ? end : n);
    inside = false;
    taken++;
    atomic_fetch_add_explicit(&pool.done, 1, memory_order_release);
  }
}

static bool pool_offered(void) {
  uint64_t t = atomic_load(&pool.ticket);
  return (uint32_t)t != NONE && (uint32_t)t < atomic_load_explicit(&pool.chunks, memory_order_relaxed);
}

static void *pool_worker(void *number) {
  const int mine = self = (int)(intptr_t)number;
  for (;;) {
    int spin = 0;
    if (mine < pool.threads) pool_work();
    while (spin < SPIN && !pool_offered()) {
      pool_pause();
      spin++;
    }
    if (spin < SPIN && mine < pool.threads) continue;
    pthread_mutex_lock(&pool.lock);
    atomic_fetch_add(&pool.sleeping, 1);
    while (!pool_offered() || mine >= pool.threads) pthread_cond_wait(&pool.wake, &pool.lock);
    atomic_fetch_sub(&pool.sleeping, 1);
    pthread_mutex_unlock(&pool.lock);
  }
  return NULL;
}

/* A forked child has no workers: it starts its own when it needs them. */
static void pool_child(void) {
  pool.started = 0;
  atomic_store(&pool.sleeping, 0);
  atomic_store(&pool.ticket, NONE);
  pthread_mutex_init(&pool.lock, NULL);
  pthread_cond_init(&pool.wake, NULL);
  atomic_flag_clear(&pool.busy);
}

/* Starts what is missing of threads - 1 workers. Fewer than wanted is no failure. */
static void pool_start(void) {
  static bool registered;
  pthread_attr_t attr;
  if (!registered) registered = pthread_atfork(NULL, NULL, pool_child) == 0;
  if (pthread_attr_init(&attr)) return;
  pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  while (pool.started < pool.threads - 1) {
    pthread_t id;
    if (pthread_create(&id, &attr, pool_worker, (void *)(intptr_t)(pool.started + 1))) break;
    pool.started++;
  }
  pthread_attr_destroy(&attr);
}

static void pool_alone(int64_t n, int64_t grain, kk_chunk_fn fn, void *arg) {
  for (int64_t begin = 0; begin < n; begin += grain) fn(arg, begin, begin + grain < n ? begin + grain : n);
}

void kk_pool_for(int64_t n, int64_t grain, kk_chunk_fn fn, void *arg) {
  if (n <= 0) return;
  if (grain < 1) grain = 1;
  int64_t chunks = (n + grain - 1) / grain;
  if (chunks < 2 || inside || kk_pool_threads() < 2 || chunks >= NONE || atomic_flag_test_and_set(&pool.busy)) {
    pool_alone(n, grain, fn, arg);
    return;
  }
  if (pool.started < pool.threads - 1) pool_start();
  uint64_t number = (atomic_load(&pool.ticket) >> 32) + 1;
  atomic_store_explicit(&pool.ticket, number << 32 | NONE, memory_order_seq_cst);
  atomic_store_explicit(&pool.fn, fn, memory_order_release);
  atomic_store_explicit(&pool.arg, arg, memory_order_release);
  atomic_store_explicit(&pool.n, n, memory_order_release);
  atomic_store_explicit(&pool.grain, grain, memory_order_release);
  atomic_store_explicit(&pool.chunks, (uint32_t)chunks, memory_order_release);
  atomic_store_explicit(&pool.done, 0, memory_order_relaxed);
  atomic_store_explicit(&pool.ticket, number << 32, memory_order_seq_cst);
  if (atomic_load(&pool.sleeping) > 0) {
    pthread_mutex_lock(&pool.lock);
    pthread_cond_broadcast(&pool.wake);
    pthread_mutex_unlock(&pool.lock);
  }
  pool_work();
  for (int spin = 0; atomic_load_explicit(&pool.done, memory_order_acquire) < (uint32_t)chunks; spin++) {
    if (spin < PATIENCE) pool_pause();
    else sched_yield();
  }
  atomic_flag_clear(&pool.busy);
}
