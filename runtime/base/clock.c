#define _GNU_SOURCE
#include "base/clock.h"

#include <time.h>

#include "base/stop.h"

static double clock_read(clockid_t id) {
  struct timespec t;
  clock_gettime(id, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double kk_clock_now(void) { return clock_read(CLOCK_MONOTONIC); }
double kk_clock_wall(void) { return clock_read(CLOCK_REALTIME); }

int kk_clock_sleep(double seconds) {
  double end = kk_clock_now() + seconds;
  for (;;) {
    double left = end - kk_clock_now();
    struct timespec t;
    if (kk_stop_requested()) return 1;
    if (left <= 0) return 0;
    if (left > 0.1) left = 0.1;         /* looks at the stop flag ten times a second */
    t.tv_sec = 0;
    t.tv_nsec = (long)(left * 1e9);
    nanosleep(&t, 0);
  }
}
