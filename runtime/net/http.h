/* http.h -- one HTTP(S) request through libcurl, which is opened when first used. TLS is always
** verified. No message holds a query, a user name or a header: they may be secrets. */
#ifndef KK_HTTP_H
#define KK_HTTP_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

/* Keeps connections between requests. */
typedef struct kk_http kk_http;

typedef struct kk_http_request {
  const char *method, *url;
  const char *const *headers;            /* "Name: value" lines, ends with NULL; may be NULL */
  const char *body;                      /* NULL: none */
  size_t body_n;
  const char *ca_file;                   /* NULL: the system's certificates */
  double timeout, connect_timeout;       /* seconds */
  size_t max_bytes;                      /* of the decompressed body */
  int redirects;                         /* followed at most; 0: none */
} kk_http_request;

typedef struct kk_http_answer {
  int status;
  kk_buf headers;                        /* the lines of the last answer, as sent, each ended by CR LF */
  kk_buf body;
} kk_http_answer;

kk_status kk_http_new(kk_http **h, kk_err *e);
void kk_http_free(kk_http *h);           /* NULL is fine */

/* Fills *a, whose buffers the caller frees with kk_http_answer_free; on failure they are empty.
** KK_ENET: no connection, time, truncated answer, TLS. KK_EFORMAT: larger than max_bytes.
** KK_EINTR: the stop flag. KK_EARG: the URL or a header is not one. */
kk_status kk_http_perform(kk_http *h, const kk_http_request *r, kk_http_answer *a, kk_err *e);
void kk_http_answer_free(kk_http_answer *a);

/* url without user name, query and fragment into out[0..n), for messages. */
void kk_http_show_url(const char *url, char *out, size_t n);

#endif
