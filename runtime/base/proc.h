/* proc.h -- child programs, started without a shell and without fork handlers. */
#ifndef KK_PROC_H
#define KK_PROC_H

#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

typedef enum kk_stdio {
  KK_STDIO_INHERIT,      /* the parent's */
  KK_STDIO_PIPE,
  KK_STDIO_NULL,         /* /dev/null    */
  KK_STDIO_STDOUT        /* stderr only: where stdout goes */
} kk_stdio;

typedef struct kk_child {
  pid_t pid;             /* 0: none, or already waited for          */
  int in, out;           /* our ends of its stdin and stdout, or -1 */
  int status;            /* exit status, 128 + signal when killed   */
  kk_buf read;           /* read from out, not yet handed over      */
  size_t taken;          /* bytes of read that were handed over     */
} kk_child;

typedef struct kk_child_opts {
  const char *const *env;        /* NAME=value sets, NAME alone removes; the rest is inherited; NULL: nothing */
  kk_stdio in, out, err;
  int own_group;                 /* Ctrl-C at the terminal does not reach it */
} kk_child_opts;

/* argv[0] is looked up along PATH. */
kk_status kk_child_start(kk_child *c, const char *const argv[], const kk_child_opts *o, kk_err *e);
/* Writes all; what the child prints meanwhile is kept, so that neither waits for the other. */
kk_status kk_child_write(kk_child *c, const void *p, size_t n, kk_err *e);
void kk_child_close_in(kk_child *c);
/* *line points at the next line (without the newline) until the next call; NULL at the end. */
kk_status kk_child_line(kk_child *c, const char **line, size_t *n, kk_err *e);
/* The rest of what it prints, until it closes its stdout. */
kk_status kk_child_rest(kk_child *c, const char **text, size_t *n, kk_err *e);
/* Waits up to seconds (negative: for ever). *done is 0 when it still runs. */
kk_status kk_child_wait(kk_child *c, double seconds, int *done, kk_err *e);
kk_status kk_child_kill(kk_child *c, int sig, kk_err *e);
void kk_child_free(kk_child *c);   /* closes the pipes; a child that still runs is killed and reaped */

#endif
