#include "net/server.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <microhttpd.h>
#include <string.h>

#include "base/clock.h"
#include "base/dl.h"
#include "base/mem.h"

#define MHD_CALLS(X) \
  X(start_daemon) X(stop_daemon) X(run_wait) X(get_daemon_info) X(get_connection_values) X(suspend_connection) \
  X(resume_connection) X(create_response_from_buffer) X(create_response_from_callback) X(add_response_header) \
  X(queue_response) X(destroy_response)
#define X(name) __typeof__(MHD_##name) *name;
static struct { MHD_CALLS(X) } mhd;
#undef X

static kk_status server_load(kk_err *e) {
  static kk_dl state;
#define X(name) {"MHD_" #name, (void **)&mhd.name},
  static const kk_dl_sym syms[] = {MHD_CALLS(X){NULL, NULL}};
#undef X
  static const char *const files[] = {"libmicrohttpd.so.12", "libmicrohttpd.so.13", "libmicrohttpd.12.dylib", NULL};
  return kk_dl_load(&state, "microhttpd", files, syms, e);
}

/* One request on its connection: arriving, queued, answered. */
typedef struct served {
  kk_served public;
  char *method, *path;
  struct MHD_Connection *connection;
  struct MHD_Response *response;         /* once answered */
  int status, drop, complete;
  struct served *next;
  kk_server *server;
} served;

struct kk_server {
  struct MHD_Daemon *daemon;
  size_t max_body;
  served *first, *last;                  /* complete, not yet answered; oldest first */
};

static void served_free(served *r) {
  for (served **p = &r->server->first; *p; p = &(*p)->next)
    if (*p == r) {
      *p = r->next;
      break;
    }
  r->server->last = NULL;
  for (served *q = r->server->first; q; q = q->next) r->server->last = q;
  if (r->response) mhd.destroy_response(r->response);
  kk_buf_free(&r->public.body);
  kk_buf_free(&r->public.headers);
  kk_buf_free(&r->public.query);
  kk_strfree(r->method);
  kk_strfree(r->path);
  kk_free(r, sizeof *r);
}

/* Name and value, each with its NUL, at the end of a buffer; header names in lower case. */
static enum MHD_Result server_pair(kk_buf *b, int lower, const char *name, const char *value) {
  size_t from = b->n, n = strlen(name);
  kk_err e;
  if (kk_buf_add(b, name, n + 1, &e)) return MHD_NO;
  for (size_t i = 0; lower && i < n; i++) b->p[from + i] = (char)tolower((unsigned char)b->p[from + i]);
  value = value ? value : "";
  return kk_buf_add(b, value, strlen(value) + 1, &e) ? MHD_NO : MHD_YES;
}

static enum MHD_Result server_on_header(void *arg, enum MHD_ValueKind kind, const char *name, const char *value) {
  (void)kind;
  return server_pair(arg, 1, name, value);
}

static enum MHD_Result server_on_query(void *arg, enum MHD_ValueKind kind, const char *name, const char *value) {
  (void)kind;
  return server_pair(arg, 0, name, value);
}

static served *served_new(kk_server *s, struct MHD_Connection *c, const char *path, const char *method) {
  served *r = kk_calloc(sizeof *r);
  if (!r) return NULL;
  r->server = s, r->connection = c;
  r->method = kk_strdup(method), r->path = kk_strdup(path);
  kk_buf_init(&r->public.body, s->max_body);
  kk_buf_init(&r->public.headers, 1 << 16);
  kk_buf_init(&r->public.query, 1 << 16);
  r->public.method = r->method, r->public.path = r->path;
  if (r->method && r->path) {
    mhd.get_connection_values(c, MHD_HEADER_KIND, server_on_header, &r->public.headers);
    mhd.get_connection_values(c, MHD_GET_ARGUMENT_KIND, server_on_query, &r->public.query);
    return r;
  }
  served_free(r);
  return NULL;
}

/* First call: the head. Then the body in pieces, then once with nothing left: queue and suspend.
** After kk_server_answer resumed the connection it comes once more and sends the response. */
static enum MHD_Result server_on_access(void *arg, struct MHD_Connection *c, const char *path, const char *method,
                                        const char *version, const char *data, size_t *n, void **state) {
  kk_server *s = arg;
  served *r = *state;
  kk_err e;
  (void)version;
  if (!r) return (*state = served_new(s, c, path, method)) ? MHD_YES : MHD_NO;
  if (*n) {
    size_t take = *n;
    *n = 0;
    return kk_buf_add(&r->public.body, data, take, &e) ? MHD_NO : MHD_YES;
  }
  if (!r->complete) {
    r->complete = 1;
    if (s->last) s->last->next = r;
    else s->first = r;
    s->last = r;
    mhd.suspend_connection(c);
    return MHD_YES;
  }
  if (r->drop || !r->response) return MHD_NO;
  return mhd.queue_response(c, (unsigned)r->status, r->response);
}

static void server_on_completed(void *arg, struct MHD_Connection *c, void **state, enum MHD_RequestTerminationCode why) {
  (void)arg, (void)c, (void)why;
  if (*state) served_free(*state);
  *state = NULL;
}

kk_status kk_server_new(kk_server **out, int port, size_t max_body, kk_err *e) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  kk_status st = server_load(e);
  kk_server *s;
  if (st) return st;
  s = kk_calloc(sizeof *s);
  if (!s) return kk_fail(e, KK_ENOMEM, "server: out of memory");
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  s->max_body = max_body;
  s->daemon = mhd.start_daemon(MHD_ALLOW_SUSPEND_RESUME, (uint16_t)port, NULL, NULL, server_on_access, s,
                               MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&at, MHD_OPTION_NOTIFY_COMPLETED,
                               server_on_completed, NULL, MHD_OPTION_CONNECTION_TIMEOUT, 60u, MHD_OPTION_END);
  if (!s->daemon) {
    kk_free(s, sizeof *s);
    return kk_fail(e, KK_ENET, "server: cannot listen on 127.0.0.1 port %d", port);
  }
  *out = s;
  return KK_OK;
}

/* A connection that is still suspended when the daemon stops is a fatal error of the library. */
void kk_server_free(kk_server *s) {
  if (!s) return;
  for (served *r = s->first; r; r = r->next) {
    r->drop = 1;
    mhd.resume_connection(r->connection);
  }
  s->first = s->last = NULL;
  mhd.run_wait(s->daemon, 0);
  mhd.stop_daemon(s->daemon);
  kk_free(s, sizeof *s);
}

int kk_server_port(const kk_server *s) {
  const union MHD_DaemonInfo *i = mhd.get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT);
  return i ? i->port : 0;
}

kk_status kk_server_poll(kk_server *s, double wait, kk_err *e) {
  double end = kk_clock_now() + wait;
  do {
    double left = end - kk_clock_now();
    int ms = left > 0.1 ? 100 : left > 0 ? (int)(left * 1000) + 1 : 0;
    if (!s->first && mhd.run_wait(s->daemon, ms) != MHD_YES) return kk_fail(e, KK_ENET, "server: poll failed");
  } while (!s->first && kk_clock_now() < end);
  return KK_OK;
}

const kk_served *kk_server_request(kk_server *s) { return s->first ? &s->first->public : NULL; }

/* A body that ends before its announced length: the connection is closed under the reader. */
typedef struct server_part { size_t n, left; char p[]; } server_part;

static ssize_t server_part_read(void *arg, uint64_t pos, char *to, size_t max) {
  server_part *p = arg;
  size_t n = p->left - (size_t)pos;
  if (n == 0) return MHD_CONTENT_READER_END_WITH_ERROR;
  n = n < max ? n : max;
  memcpy(to, p->p + pos, n);
  return (ssize_t)n;
}

static void server_part_free(void *arg) {
  server_part *p = arg;
  kk_free(p, sizeof *p + p->n);
}

static struct MHD_Response *server_response(const kk_reply *r) {
  struct MHD_Response *m;
  if (r->truncate < 0)
    return mhd.create_response_from_buffer(r->body_n, (void *)(size_t)r->body, MHD_RESPMEM_MUST_COPY);
  server_part *p = kk_alloc(sizeof *p + r->body_n);
  if (!p) return NULL;
  p->n = r->body_n;
  p->left = (size_t)r->truncate < r->body_n ? (size_t)r->truncate : r->body_n;
  memcpy(p->p, r->body, r->body_n);
  m = mhd.create_response_from_callback(r->body_n, 4096, server_part_read, p, server_part_free);
  if (!m) server_part_free(p);
  return m;
}

kk_status kk_server_answer(kk_server *s, const kk_reply *a, kk_err *e) {
  served *r = s->first;
  if (!r) return kk_fail(e, KK_ESTATE, "server: no request waits for an answer");
  if (!a->drop) {
    r->response = server_response(a);
    if (!r->response) return kk_fail(e, KK_ENOMEM, "server: out of memory");
    for (const char *const *h = a->headers; h && h[0]; h += 2)
      if (mhd.add_response_header(r->response, h[0], h[1]) != MHD_YES) {
        mhd.destroy_response(r->response);
        r->response = NULL;
        return kk_fail(e, KK_EARG, "server: '%.60s' is not a header", h[0]);
      }
  }
  r->status = a->status, r->drop = a->drop;
  s->first = r->next;
  if (!s->first) s->last = NULL;
  r->next = NULL;
  mhd.resume_connection(r->connection);
  return KK_OK;
}
