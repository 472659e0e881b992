#include "net/http.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/dl.h"
#include "base/mem.h"
#include "base/stop.h"

/* Documented in curl.h; the prototypes are variadic, the macros of the header do not apply here. */
static struct {
  CURLcode (*global_init)(long);
  CURL *(*init)(void);
  void (*cleanup)(CURL *);
  void (*reset)(CURL *);
  CURLcode (*setopt)(CURL *, CURLoption, ...);
  CURLcode (*getinfo)(CURL *, CURLINFO, ...);
  CURLcode (*perform)(CURL *);
  const char *(*strerror)(CURLcode);
  struct curl_slist *(*append)(struct curl_slist *, const char *);
  void (*free_all)(struct curl_slist *);
} cu;

static kk_status http_load(kk_err *e) {
  static kk_dl state;
  static const kk_dl_sym syms[] = {
    {"curl_global_init", (void **)&cu.global_init}, {"curl_easy_init", (void **)&cu.init},
    {"curl_easy_cleanup", (void **)&cu.cleanup}, {"curl_easy_reset", (void **)&cu.reset},
    {"curl_easy_setopt", (void **)&cu.setopt}, {"curl_easy_getinfo", (void **)&cu.getinfo},
    {"curl_easy_perform", (void **)&cu.perform}, {"curl_easy_strerror", (void **)&cu.strerror},
    {"curl_slist_append", (void **)&cu.append}, {"curl_slist_free_all", (void **)&cu.free_all}, {NULL, NULL}};
  static const char *const files[] = {"libcurl.so.4", "libcurl-gnutls.so.4", "libcurl.4.dylib", NULL};
  return kk_dl_load(&state, "curl", files, syms, e);
}

struct kk_http {
  CURL *easy;
  kk_http_answer *answer;                /* of the request under way */
  size_t max_bytes;
  kk_err err;                            /* why a callback refused */
  int refused;
  char text[CURL_ERROR_SIZE];
};

kk_status kk_http_new(kk_http **out, kk_err *e) {
  kk_status st = http_load(e);
  kk_http *h;
  if (st) return st;
  h = kk_calloc(sizeof *h);
  if (!h) return kk_fail(e, KK_ENOMEM, "http: out of memory");
  if (!cu.global_init(CURL_GLOBAL_DEFAULT)) h->easy = cu.init();
  if (!h->easy) {
    kk_free(h, sizeof *h);
    return kk_fail(e, KK_ELIB, "http: libcurl did not start");
  }
  *out = h;
  return KK_OK;
}

void kk_http_free(kk_http *h) {
  if (!h) return;
  cu.cleanup(h->easy);
  kk_free(h, sizeof *h);
}

void kk_http_answer_free(kk_http_answer *a) {
  kk_buf_free(&a->headers);
  kk_buf_free(&a->body);
}

void kk_http_show_url(const char *url, char *out, size_t n) {
  const char *scheme = strstr(url, "://"), *host = scheme ? scheme + 3 : url;
  size_t authority = strcspn(host, "/?#"), k;
  const char *at = NULL;
  for (size_t i = 0; i < authority; i++)
    if (host[i] == '@') at = host + i;
  k = strcspn(host, "?#");
  snprintf(out, n, "%.*s%.*s", (int)(host - url), url, (int)(at ? host + k - (at + 1) : (long)k), at ? at + 1 : host);
}

/* True for localhost, 127.x.y.z and [::1]: nothing that is sent there leaves the machine. */
static int http_is_loopback(const char *url) {
  const char *scheme = strstr(url, "://"), *host = scheme ? scheme + 3 : url;
  size_t n = strcspn(host, "/?#");
  for (size_t i = 0; i < n; i++)
    if (host[i] == '@') return 0;        /* user names hide the host: treat as far away */
  if (n >= 5 && !strncmp(host, "[::1]", 5)) return n == 5 || host[5] == ':';
  n = n < strcspn(host, ":") ? n : strcspn(host, ":");
  if (n == 9 && !strncasecmp(host, "localhost", 9)) return 1;
  return n >= 9 && !strncmp(host, "127.", 4) && strspn(host, "0123456789.") == n;
}

static size_t http_on_body(char *p, size_t size, size_t n, void *arg) {
  kk_http *h = arg;
  if (size * n > h->max_bytes - h->answer->body.n) {
    h->refused = 1;
    kk_fail(&h->err, KK_EFORMAT, "the answer is larger than max_bytes = %zu", h->max_bytes);
    return 0;
  }
  if (kk_buf_add(&h->answer->body, p, size * n, &h->err)) {
    h->refused = 1;
    return 0;
  }
  return size * n;
}

static size_t http_on_header(char *p, size_t size, size_t n, void *arg) {
  kk_http *h = arg;
  if (size * n >= 5 && !memcmp(p, "HTTP/", 5)) kk_buf_clear(&h->answer->headers);   /* 100 Continue, a redirect */
  if (kk_buf_add(&h->answer->headers, p, size * n, &h->err)) {
    h->refused = 1;
    return 0;
  }
  return size * n;
}

static int http_on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
  (void)arg, (void)a, (void)b, (void)c, (void)d;
  return kk_stop_requested();
}

static kk_status http_check(const kk_http_request *r, kk_err *e) {
  int secure = !strncasecmp(r->url, "https://", 8);
  if (!secure && strncasecmp(r->url, "http://", 7) != 0)
    return kk_fail(e, KK_EARG, "http: the URL must begin with http:// or https://");
  for (const char *p = r->url; *p; p++)
    if ((unsigned char)*p <= 0x20 || *p == 0x7F)
      return kk_fail(e, KK_EARG, "http: the URL has a blank or control character at byte %zu", (size_t)(p - r->url) + 1);
  for (const char *const *h = r->headers; h && *h; h++) {
    if (strpbrk(*h, "\r\n") || !strchr(*h, ':'))
      return kk_fail(e, KK_EARG, "http: a header must be one line \"Name: value\"");
    if (!secure && !strncasecmp(*h, "authorization:", 14) && !http_is_loopback(r->url))
      return kk_fail(e, KK_EARG, "http: Authorization is only sent over https:// (or to this machine)");
  }
  return KK_OK;
}

/* Name and value of a curl failure in the caller's words. */
static kk_status http_explain(kk_http *h, const kk_http_request *r, CURLcode rc, kk_err *e) {
  static const char *const stores[] = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem", "/etc/ssl/ca-bundle.pem", NULL};
  const char *text = h->text[0] ? h->text : cu.strerror(rc);
  char url[200];
  int store = 0;
  kk_http_show_url(r->url, url, sizeof url);
  if (h->refused) {
    char why[256];
    snprintf(why, sizeof why, "%.250s", h->err.msg);
    return kk_fail(e, h->err.code, "%s %s: %s", r->method, url, why);
  }
  for (int i = 0; stores[i]; i++) store |= access(stores[i], R_OK) == 0;
  switch (rc) {
  case CURLE_ABORTED_BY_CALLBACK: return kk_fail(e, KK_EINTR, "%s %s: interrupted", r->method, url);
  case CURLE_OUT_OF_MEMORY: return kk_fail(e, KK_ENOMEM, "%s %s: out of memory", r->method, url);
  case CURLE_OPERATION_TIMEDOUT:
    return kk_fail(e, KK_ENET, "%s %s: no complete answer in time (connect %g s, total %g s)", r->method, url,
                   r->connect_timeout, r->timeout);
  case CURLE_PARTIAL_FILE: return kk_fail(e, KK_ENET, "%s %s: the answer ended early (%s)", r->method, url, text);
  case CURLE_SSL_CACERT_BADFILE:
  case CURLE_PEER_FAILED_VERIFICATION:
    if (r->ca_file && access(r->ca_file, R_OK) != 0)
      return kk_fail(e, KK_ENET, "%s %s: cannot read the certificates %s", r->method, url, r->ca_file);
    if (!r->ca_file && !store)
      return kk_fail(e, KK_ENET, "%s %s: this machine has no CA certificates, so no server can be trusted; "
                     "install the package ca-certificates", r->method, url);
    return kk_fail(e, KK_ENET, "%s %s: the server's certificate is not trusted (%s)", r->method, url, text);
  default: return kk_fail(e, KK_ENET, "%s %s: %s (curl %d)", r->method, url, text, (int)rc);
  }
}

static void http_set(kk_http *h, const kk_http_request *r, struct curl_slist *lines) {
  CURL *c = h->easy;
  cu.reset(c);                           /* options go, connections stay */
  cu.setopt(c, CURLOPT_ERRORBUFFER, h->text);
  cu.setopt(c, CURLOPT_URL, r->url);
  if (cu.setopt(c, CURLOPT_PROTOCOLS_STR, "http,https")) cu.setopt(c, (CURLoption)181, 3L);   /* before 7.85 */
  /* a redirect never leaves https */
  const char *next = strncasecmp(r->url, "https:", 6) ? "http,https" : "https";
  if (cu.setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, next)) cu.setopt(c, (CURLoption)182, next[4] == 's' ? 2L : 3L);
  cu.setopt(c, CURLOPT_NOPROXY, "localhost,127.0.0.1,::1");
  cu.setopt(c, CURLOPT_NOSIGNAL, 1L);
  cu.setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);
  cu.setopt(c, CURLOPT_SSL_VERIFYHOST, 2L);
  if (r->ca_file) cu.setopt(c, CURLOPT_CAINFO, r->ca_file);
  cu.setopt(c, CURLOPT_TIMEOUT_MS, (long)(r->timeout * 1000));
  cu.setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)(r->connect_timeout * 1000));
  cu.setopt(c, CURLOPT_FOLLOWLOCATION, r->redirects > 0 ? 1L : 0L);
  cu.setopt(c, CURLOPT_MAXREDIRS, (long)r->redirects);
  cu.setopt(c, CURLOPT_ACCEPT_ENCODING, "");
  cu.setopt(c, CURLOPT_USERAGENT, "kookaburra");
  cu.setopt(c, CURLOPT_HTTPHEADER, lines);
  cu.setopt(c, CURLOPT_WRITEFUNCTION, http_on_body);
  cu.setopt(c, CURLOPT_WRITEDATA, h);
  cu.setopt(c, CURLOPT_HEADERFUNCTION, http_on_header);
  cu.setopt(c, CURLOPT_HEADERDATA, h);
  cu.setopt(c, CURLOPT_XFERINFOFUNCTION, http_on_progress);
  cu.setopt(c, CURLOPT_NOPROGRESS, 0L);
  if (r->body) {
    cu.setopt(c, CURLOPT_POSTFIELDS, r->body);
    cu.setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_n);
  }
  if (!strcmp(r->method, "HEAD")) cu.setopt(c, CURLOPT_NOBODY, 1L);
  else cu.setopt(c, CURLOPT_CUSTOMREQUEST, r->method);
}

kk_status kk_http_perform(kk_http *h, const kk_http_request *r, kk_http_answer *a, kk_err *e) {
  struct curl_slist *lines = NULL;
  kk_status st = http_check(r, e);
  long status = 0;
  CURLcode rc;
  *a = (kk_http_answer){0};
  if (st) return st;
  for (const char *const *s = r->headers; s && *s; s++) {
    struct curl_slist *more = cu.append(lines, *s);
    if (!more) {
      cu.free_all(lines);
      return kk_fail(e, KK_ENOMEM, "http: out of memory");
    }
    lines = more;
  }
  kk_buf_init(&a->headers, 1 << 20);
  kk_buf_init(&a->body, r->max_bytes);
  h->answer = a, h->max_bytes = r->max_bytes, h->refused = 0, h->text[0] = 0;
  http_set(h, r, lines);
  rc = cu.perform(h->easy);
  if (!rc) cu.getinfo(h->easy, CURLINFO_RESPONSE_CODE, &status);
  cu.reset(h->easy);                     /* forgets the caller's pointers */
  cu.free_all(lines);
  if (rc) {
    kk_http_answer_free(a);
    return http_explain(h, r, rc, e);
  }
  a->status = (int)status;
  return KK_OK;
}
