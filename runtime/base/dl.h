/* dl.h -- libraries that are opened when first used, so that a program which needs none of them
** starts in a few milliseconds and a missing one is an error message, not a crash.
**
** A user declares a struct of function pointers and a table that names each one:
**   static struct { __typeof__(curl_easy_init) *easy_init; } curl;
**   static const kk_dl_sym syms[] = { {"curl_easy_init", (void **)&curl.easy_init}, {NULL, NULL} };
**   static const char *const files[] = { "libcurl.so.4", "libcurl.4.dylib", NULL };
**   kk_dl_load(&state, "curl", files, syms, e) */
#ifndef KK_DL_H
#define KK_DL_H

#include "base/err.h"

typedef struct kk_dl_sym { const char *name; void **to; } kk_dl_sym;
typedef struct kk_dl { void *handle; } kk_dl;

/* Opens the first of files that exists and fills every pointer; does nothing when already done.
** KK_ELIB names the library, the package to install and what the system said. */
kk_status kk_dl_load(kk_dl *d, const char *what, const char *const *files, const kk_dl_sym *syms, kk_err *e);

#endif
