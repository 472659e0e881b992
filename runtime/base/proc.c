#define _GNU_SOURCE
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/stop.h"

extern char **environ;

enum { PROC_MAX = 1 << 30, PROC_TICK_MS = 100 };

static void proc_close(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

/* ends[0] reads, ends[1] writes; ours does not block and neither survives exec. */
static kk_status proc_pipe(int ends[2], int ours, kk_err *e) {
#ifdef __linux__
  int bad = pipe2(ends, O_CLOEXEC) != 0;
#else
  int bad = pipe(ends) != 0 || fcntl(ends[0], F_SETFD, FD_CLOEXEC) || fcntl(ends[1], F_SETFD, FD_CLOEXEC);
#endif
  if (bad) {
    ends[0] = ends[1] = -1;
    return kk_fail_errno(e, errno, "spawn: cannot make a pipe");
  }
  (void)fcntl(ends[ours], F_SETFL, O_NONBLOCK);
  return KK_OK;
}

/* Whether setting s (NAME=value or NAME) speaks of the variable old (NAME=value). */
static int proc_same_name(const char *s, const char *old) {
  size_t n = strcspn(s, "=");
  return strncmp(s, old, n) == 0 && old[n] == '=';
}

/* The environment with the changes applied, as one block of *n pointers; strings are borrowed. */
static char **proc_env(const char *const *changes, size_t *n) {
  size_t have = 0, more = 0, k = 0;
  char **list;
  while (environ[have]) have++;
  while (changes[more]) more++;
  *n = have + more + 1;
  list = kk_alloc(*n * sizeof *list);
  if (!list) return NULL;
  for (size_t i = 0; i < have; i++) {
    size_t j = 0;
    while (j < more && !proc_same_name(changes[j], environ[i])) j++;
    if (j == more) list[k++] = environ[i];
  }
  for (size_t j = 0; j < more; j++)
    if (strchr(changes[j], '=')) list[k++] = (char *)(size_t)changes[j];
  list[k] = NULL;
  return list;
}

static int proc_wire(posix_spawn_file_actions_t *fa, const kk_child_opts *o, int in, int out) {
  int bad = 0;
  if (o->in == KK_STDIO_PIPE) bad |= posix_spawn_file_actions_adddup2(fa, in, 0);
  if (o->in == KK_STDIO_NULL) bad |= posix_spawn_file_actions_addopen(fa, 0, "/dev/null", O_RDONLY, 0);
  if (o->out == KK_STDIO_PIPE) bad |= posix_spawn_file_actions_adddup2(fa, out, 1);
  if (o->out == KK_STDIO_NULL) bad |= posix_spawn_file_actions_addopen(fa, 1, "/dev/null", O_WRONLY, 0);
  if (o->err == KK_STDIO_STDOUT) bad |= posix_spawn_file_actions_adddup2(fa, 1, 2);
  if (o->err == KK_STDIO_NULL) bad |= posix_spawn_file_actions_addopen(fa, 2, "/dev/null", O_WRONLY, 0);
  return bad;
}

/* Ignored signals would survive exec: the child starts with the system's own handling. */
static int proc_signals(posix_spawnattr_t *a, int own_group) {
  sigset_t defaults, none;
  sigemptyset(&none);
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGINT);
  sigaddset(&defaults, SIGPIPE);
  return posix_spawnattr_setsigdefault(a, &defaults) | posix_spawnattr_setsigmask(a, &none) |
         posix_spawnattr_setflags(a, (short)(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK |
                                             (own_group ? POSIX_SPAWN_SETPGROUP : 0)));
}

static int proc_spawn(pid_t *pid, const char *const argv[], const kk_child_opts *o, int in, int out, char **env) {
  posix_spawn_file_actions_t fa;
  posix_spawnattr_t a;
  int code = posix_spawn_file_actions_init(&fa);
  if (code) return code;
  code = posix_spawnattr_init(&a);
  if (!code) {
    code = proc_wire(&fa, o, in, out) || proc_signals(&a, o->own_group) ? ENOMEM : 0;
    if (!code) code = posix_spawnp(pid, argv[0], &fa, &a, (char *const *)(size_t)argv, env);
    posix_spawnattr_destroy(&a);
  }
  posix_spawn_file_actions_destroy(&fa);
  return code;
}

kk_status kk_child_start(kk_child *c, const char *const argv[], const kk_child_opts *o, kk_err *e) {
  int in[2] = {-1, -1}, out[2] = {-1, -1};
  char **env = environ;
  size_t nenv = 0;
  kk_status st = KK_OK;
  *c = (kk_child){.in = -1, .out = -1};
  kk_buf_init(&c->read, PROC_MAX);
  if (o->in == KK_STDIO_PIPE) st = proc_pipe(in, 1, e);
  if (!st && o->out == KK_STDIO_PIPE) st = proc_pipe(out, 0, e);
  if (!st && o->env && !(env = proc_env(o->env, &nenv))) st = kk_fail(e, KK_ENOMEM, "spawn: out of memory");
  if (!st) {
    int code = proc_spawn(&c->pid, argv, o, in[0], out[1], env);
    if (code) {
      c->pid = 0;
      st = kk_fail_errno(e, code, "spawn: %s", argv[0]);
    }
  }
  if (nenv) kk_free(env, nenv * sizeof *env);
  proc_close(&in[0]);
  proc_close(&out[1]);
  c->in = in[1];
  c->out = out[0];
  if (st) kk_child_free(c);
  return st;
}

/* Reads what is there. Closes out at its end. */
static kk_status proc_drain(kk_child *c, kk_err *e) {
  char block[16384];
  for (;;) {
    ssize_t n = c->out < 0 ? 0 : read(c->out, block, sizeof block);
    if (n > 0) {
      kk_status st = kk_buf_add(&c->read, block, (size_t)n, e);
      if (st) {
        c->taken = 0;
        return st;
      }
    } else if (n == 0) {
      proc_close(&c->out);
      return KK_OK;
    } else if (errno == EAGAIN) {
      return KK_OK;
    } else if (errno != EINTR) {
      return kk_fail_errno(e, errno, "cannot read from the child program");
    }
  }
}

/* Waits a tick for out to be readable and, when want_in, in writable; keeps what it reads. */
static kk_status proc_poll(kk_child *c, int want_in, int *writable, int ms, kk_err *e) {
  struct pollfd p[2] = {{.fd = c->out, .events = POLLIN}, {.fd = want_in ? c->in : -1, .events = POLLOUT}};
  int n = poll(p, 2, ms);
  *writable = n > 0 && p[1].revents != 0;
  if (n < 0 && errno != EINTR) return kk_fail_errno(e, errno, "cannot wait for the child program");
  if (n > 0 && p[0].revents) return proc_drain(c, e);
  return KK_OK;
}

/* write() whose SIGPIPE, which would end a program that did not ask to ignore it, is taken away again. */
static ssize_t proc_write(int fd, const char *p, size_t n) {
  sigset_t pipe_set, old, pending;
  struct timespec now = {0, 0};
  int code, had;
  sigemptyset(&pipe_set);
  sigaddset(&pipe_set, SIGPIPE);
  sigpending(&pending);
  had = sigismember(&pending, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe_set, &old);
  ssize_t k = write(fd, p, n);
  code = errno;
  if (k < 0 && code == EPIPE && !had)
    while (sigtimedwait(&pipe_set, NULL, &now) < 0 && errno == EINTR) continue;
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  errno = code;
  return k;
}

kk_status kk_child_write(kk_child *c, const void *data, size_t n, kk_err *e) {
  const char *p = data;
  if (c->in < 0) return kk_fail(e, KK_ESTATE, "write: the child's standard input is closed or not a pipe");
  while (n) {
    int writable;
    kk_status st = proc_poll(c, 1, &writable, PROC_TICK_MS, e);
    if (!st) st = kk_stop_check(e, "write");
    if (st) return st;
    if (!writable) continue;
    ssize_t k = proc_write(c->in, p, n);
    if (k >= 0) {
      p += k;
      n -= (size_t)k;
    } else if (errno != EAGAIN && errno != EINTR) {
      return kk_fail_errno(e, errno, "cannot write to the child program");
    }
  }
  return KK_OK;
}

void kk_child_close_in(kk_child *c) { proc_close(&c->in); }

/* Moves what was handed over out of the buffer, rarely enough to stay linear. */
static void proc_compact(kk_child *c) {
  if (c->taken < c->read.n / 2 || !c->taken) return;
  memmove(c->read.p, c->read.p + c->taken, c->read.n - c->taken);
  c->read.n -= c->taken;
  c->taken = 0;
}

kk_status kk_child_line(kk_child *c, const char **line, size_t *n, kk_err *e) {
  size_t seen = 0;
  proc_compact(c);
  for (;;) {
    size_t have = c->read.n - c->taken;
    const char *from = have ? c->read.p + c->taken : "", *nl = have > seen ? memchr(from + seen, '\n',
        have - seen) : NULL;
    int unused;
    kk_status st;
    if (nl || (c->out < 0 && have)) {
      *line = from;
      *n = nl ? (size_t)(nl - from) : have;
      c->taken += *n + (nl ? 1 : 0);
      return KK_OK;
    }
    if (c->out < 0) {
      *line = NULL;
      *n = 0;
      return KK_OK;
    }
    seen = have;
    st = proc_poll(c, 0, &unused, PROC_TICK_MS, e);
    if (!st) st = kk_stop_check(e, "read_line");
    if (st) return st;
  }
}

kk_status kk_child_rest(kk_child *c, const char **text, size_t *n, kk_err *e) {
  while (c->out >= 0) {
    int unused;
    kk_status st = proc_poll(c, 0, &unused, PROC_TICK_MS, e);
    if (!st) st = kk_stop_check(e, "read_all");
    if (st) return st;
  }
  *text = c->read.n > c->taken ? c->read.p + c->taken : "";
  *n = c->read.n - c->taken;
  c->taken = c->read.n;
  return KK_OK;
}

static int proc_reap(kk_child *c, int flags) {
  int status;
  pid_t got;
  do got = waitpid(c->pid, &status, flags);
  while (got < 0 && errno == EINTR && !kk_stop_requested());
  if (got == 0) return 0;
  if (got == c->pid) c->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  else c->status = 127;                 /* somebody else reaped it */
  c->pid = 0;
  return 1;
}

kk_status kk_child_wait(kk_child *c, double seconds, int *done, kk_err *e) {
  double end = kk_clock_now() + seconds;
  int ms = 1;
  *done = !c->pid;
  while (!*done) {
    int unused;
    kk_status st = kk_stop_check(e, "wait");
    if (st) return st;
    *done = proc_reap(c, WNOHANG);
    if (*done || (seconds >= 0 && kk_clock_now() >= end)) break;
    st = proc_poll(c, 0, &unused, ms, e);       /* a child that waits for us to read would never end */
    if (st) return st;
    if (ms < 20) ms += ms;
  }
  return *done && c->out >= 0 ? proc_drain(c, e) : KK_OK;
}

kk_status kk_child_kill(kk_child *c, int sig, kk_err *e) {
  if (c->pid && kill(c->pid, sig) != 0) return kk_fail_errno(e, errno, "kill: child %ld", (long)c->pid);
  return KK_OK;
}

void kk_child_free(kk_child *c) {
  int status;
  proc_close(&c->in);
  proc_close(&c->out);
  if (c->pid > 0) {
    kill(c->pid, SIGKILL);
    while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR) continue;
  }
  c->pid = 0;
  kk_buf_free(&c->read);
  c->taken = 0;
}
