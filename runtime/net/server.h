/* server.h -- a small HTTP server on 127.0.0.1 through libmicrohttpd, which is opened when first
** used. It has no thread: the caller polls. A request is handed out when it is complete; its
** connection waits until it is answered. */
#ifndef KK_SERVER_H
#define KK_SERVER_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

typedef struct kk_server kk_server;

typedef struct kk_served {
  const char *method, *path;             /* path without the query, decoded */
  kk_buf body;
  kk_buf headers, query;                 /* name NUL value NUL ... ; names of headers in lower case */
} kk_served;

typedef struct kk_reply {
  int status;
  const char *body;
  size_t body_n;
  const char *const *headers;            /* name, value, name, value, ..., NULL */
  long long truncate;                    /* >= 0: close after so many bytes of the announced body (tests) */
  int drop;                              /* close without an answer (tests) */
} kk_reply;

/* port 0: any free one. */
kk_status kk_server_new(kk_server **s, int port, size_t max_body, kk_err *e);
void kk_server_free(kk_server *s);       /* NULL is fine; closes every connection */
int kk_server_port(const kk_server *s);

/* Works on connections for at most wait seconds; ends early when a request is complete. */
kk_status kk_server_poll(kk_server *s, double wait, kk_err *e);
/* The oldest complete request, or NULL. It lives until it is answered. */
const kk_served *kk_server_request(kk_server *s);
/* Answers that request. Everything in r is copied. */
kk_status kk_server_answer(kk_server *s, const kk_reply *r, kk_err *e);

#endif
