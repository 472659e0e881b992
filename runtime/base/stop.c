#include "base/stop.h"

#include <signal.h>

static volatile sig_atomic_t stop;

void kk_stop_request(void) { stop = 1; }
int kk_stop_requested(void) { return stop != 0; }
void kk_stop_clear(void) { stop = 0; }

kk_status kk_stop_check(kk_err *e, const char *what) {
  return stop ? kk_fail(e, KK_EINTR, "%s: interrupted", what) : KK_OK;
}
