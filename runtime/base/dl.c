#include "base/dl.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static kk_status dl_load_locked(kk_dl *d, const char *what, const char *const *files,
                                const kk_dl_sym *syms, kk_err *e) {
  void *h = NULL;
  if (d->handle) return KK_OK;
  for (int i = 0; files[i] && !h; i++) h = dlopen(files[i], RTLD_NOW | RTLD_LOCAL);
  if (!h)
    return kk_fail(e, KK_ELIB, "%s: the shared library %s is missing; run `sh vendor/install.sh` (%s)", what,
                   files[0], dlerror());
  for (int i = 0; syms[i].name; i++) {
    *syms[i].to = dlsym(h, syms[i].name);
    if (!*syms[i].to) {
      kk_status st = kk_fail(e, KK_ELIB, "%s: %s has no function %s: too old", what, files[0], syms[i].name);
      dlclose(h);
      return st;
    }
  }
  d->handle = h;
  return KK_OK;
}

kk_status kk_dl_load(kk_dl *d, const char *what, const char *const *files, const kk_dl_sym *syms, kk_err *e) {
  kk_status st;
  pthread_mutex_lock(&lock);
  st = dl_load_locked(d, what, files, syms, e);
  pthread_mutex_unlock(&lock);
  return st;
}
