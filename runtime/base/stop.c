#include "base/stop.h"

#include <signal.h>

static volatile sig_atomic_t stop, held;

void kk_stop_request(void) { if (stop < 100) stop = stop + 1; }
int kk_stop_requested(void) { return stop > (held > 0); }
int kk_stop_asked(void) { return stop; }
void kk_stop_clear(void) { stop = 0; }
void kk_stop_hold(void) { held = held + 1; }
void kk_stop_release(void) { if (held > 0) held = held - 1; }

kk_status kk_stop_check(kk_err *e, const char *what) {
  return kk_stop_requested() ? kk_fail(e, KK_EINTR, "%s: interrupted", what) : KK_OK;
}
