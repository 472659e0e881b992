/* err.h -- status codes and error text for the whole core. No globals, no jumps, no printing. */
#ifndef KK_ERR_H
#define KK_ERR_H

/* One list gives the enum, the code that Lua sees and the class of the error.
** misuse: the caller is wrong, the binding raises.  world: files, networks, databases and
** child programs said no, the binding answers nil, message, code. */
#define KK_STATUS_LIST(X) \
  X(KK_OK, "ok", 0)               /* nothing happened that needs a word              */ \
  X(KK_ENOMEM, "nomem", 0)        /* an allocation was refused                       */ \
  X(KK_ESHAPE, "shape", 0)        /* shapes do not fit each other or the signature   */ \
  X(KK_ETYPE, "dtype", 0)         /* wrong element type                              */ \
  X(KK_EARG, "argument", 0)       /* value out of range, unknown option              */ \
  X(KK_ESTATE, "state", 0)        /* object closed, tape used twice, written after   */ \
  X(KK_EINTR, "interrupted", 0)   /* the stop flag was seen                          */ \
  X(KK_EIO, "io", 1)              /* the file system refused                         */ \
  X(KK_EFORMAT, "format", 1)      /* a file or an answer is not what it claims to be */ \
  X(KK_ENET, "net", 1)            /* no connection, timed out, TLS refused           */ \
  X(KK_EDB, "database", 1)        /* the database refused or is busy                 */ \
  X(KK_ELIB, "library", 1)        /* a shared library is missing or too old          */

typedef enum kk_status {
#define X(id, name, world) id,
  KK_STATUS_LIST(X)
#undef X
} kk_status;

/* Filled by the callee only when it returns something other than KK_OK. */
typedef struct kk_err {
  kk_status code;
  char msg[512];
} kk_err;

/* Writes the message and returns code, so that `return kk_fail(...)` reads well. */
kk_status kk_fail(kk_err *e, kk_status code, const char *fmt, ...)
  __attribute__((format(printf, 3, 4)));

/* The same with ": " and the text of errno_value behind the message; always KK_EIO. */
kk_status kk_fail_errno(kk_err *e, int errno_value, const char *fmt, ...)
  __attribute__((format(printf, 3, 4)));

const char *kk_status_name(kk_status code);   /* "shape", "io", ... */
int kk_status_is_world(kk_status code);

#endif
