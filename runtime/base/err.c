#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

kk_status kk_fail(kk_err *e, kk_status code, const char *fmt, ...) {
  va_list ap;
  e->code = code;
  va_start(ap, fmt);
  vsnprintf(e->msg, sizeof e->msg, fmt, ap);
  va_end(ap);
  return code;
}

kk_status kk_fail_errno(kk_err *e, int errno_value, const char *fmt, ...) {
  va_list ap;
  size_t n;
  e->code = KK_EIO;
  va_start(ap, fmt);
  vsnprintf(e->msg, sizeof e->msg, fmt, ap);
  va_end(ap);
  n = strlen(e->msg);
  snprintf(e->msg + n, sizeof e->msg - n, ": %s", strerror(errno_value));
  return KK_EIO;
}

const char *kk_status_name(kk_status code) {
  switch (code) {
#define X(id, name, world) case id: return name;
    KK_STATUS_LIST(X)
#undef X
  }
  return "unknown";
}

int kk_status_is_world(kk_status code) {
  switch (code) {
#define X(id, name, world) case id: return world;
    KK_STATUS_LIST(X)
#undef X
  }
  return 0;
}
