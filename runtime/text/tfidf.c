/* tfidf.c -- terms are pieces of one buffer of normalised text: tokens stand there with one space
** between them, so that a run of tokens is a run of bytes and needs no copy. */
#include "text/tfidf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/stop.h"
#include "text/utf8.h"

enum { TFIDF_STOP_EVERY = 1024 };

/* ---- the vocabulary: an open hash table of byte strings */

typedef struct entry {
  size_t at, len;      /* the term in the text buffer; len 0: free     */
  uint32_t hash;
  int32_t col;         /* -1 until it is chosen                        */
  int64_t df, last;    /* texts that hold it; the last one of them + 1 */
} entry;

typedef struct table { entry *p; size_t cap, n; } table;

struct kk_tfidf {
  kk_tfidf_opts o;
  kk_buf text;         /* the terms, one after the other */
  table terms;
  double *idf;         /* one a column */
  size_t *at;          /* where term col begins in text, and one more: where the last ends */
  int32_t cols;
};

static uint32_t tfidf_hash(const char *p, size_t n) {
  uint64_t h = 0xCBF29CE484222325u;                          /* FNV-1a */
  for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)p[i]) * 0x100000001B3u;
  return (uint32_t)(h ^ h >> 32);
}

/* The slot of the term, or the free one where it belongs. */
static entry *table_slot(const table *t, const char *text, const char *p, size_t n, uint32_t hash) {
  size_t i = hash & (t->cap - 1);
  while (t->p[i].len && !(t->p[i].hash == hash && t->p[i].len == n && memcmp(text + t->p[i].at, p, n) == 0))
    i = (i + 1) & (t->cap - 1);
  return &t->p[i];
}

static kk_status table_grow(table *t, kk_err *e) {
  table g = {.cap = t->cap ? t->cap * 2 : 1 << 12, .n = t->n};
  if (t->n * 2 < t->cap) return KK_OK;
  g.p = kk_calloc(g.cap * sizeof *g.p);
  if (!g.p) return kk_fail(e, KK_ENOMEM, "tfidf: out of memory for %zu terms", t->n);
  for (size_t i = 0; i < t->cap; i++) {
    size_t j = t->p[i].hash & (g.cap - 1);
    if (!t->p[i].len) continue;
    while (g.p[j].len) j = (j + 1) & (g.cap - 1);
    g.p[j] = t->p[i];
  }
  kk_free(t->p, t->cap * sizeof *t->p);
  *t = g;
  return KK_OK;
}

/* ---- tokens */

static bool tfidf_sign(int32_t cp) {
  static const int32_t others[] = {0x201C, 0x201D, 0xA8, 0xAB, 0xBB, 0xAE, 0xB4, 0xB7, 0xBA, 0xBD, 0xBE,
                                   0xBF,   0xA1,   0xA7, 0xA3, 0x20A4, 0x2018, 0x2019};
  if (cp == '\\') return false;           /* in the notebook's pattern it escapes a bracket */
  if (cp < 0x80) return cp > ' ' && cp < 0x7F && !(cp >= '0' && cp <= '9') && !((cp | 32) >= 'a' && (cp | 32) <= 'z');
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    if (others[i] == cp) return true;
  return false;
}

/* Appends the words of a text in lower case to out, each with a space before and after it. */
static kk_status tfidf_padded(const char *p, size_t len, kk_buf *out, kk_err *e) {
  kk_status st = KK_OK;
  int32_t cp;
  for (size_t i = 0, from = 0, k; i <= len && !st; i += k) {
    k = i < len ? kk_utf8_next(p + i, len - i, &cp) : 1;
    if (i < len && !kk_utf8_is_space(cp)) continue;
    if (i > from) st = kk_buf_add(out, " ", 1, e);
    if (!st && i > from) st = kk_buf_add(out, p + from, i - from, e);
    if (!st && i > from) st = kk_buf_add(out, " ", 1, e);
    from = i + k;
  }
  return st;
}

/* Appends a text to out, with one space for each run of two or more. */
static kk_status tfidf_spaced(const char *p, size_t len, kk_buf *out, kk_err *e) {
  kk_status st = KK_OK;
  int32_t cp;
  for (size_t i = 0, k; i < len && !st; i += k) {
    size_t spaces = 0, next = i;
    for (k = 0; next < len; spaces++, next += k) {
      k = kk_utf8_next(p + next, len - next, &cp);
      if (!kk_utf8_is_space(cp)) break;
    }
    k = spaces ? next - i : k;
    st = spaces > 1 ? kk_buf_add(out, " ", 1, e) : kk_buf_add(out, p + i, k, e);
  }
  return st;
}

/* Appends the tokens of one text to out, a space after each; of characters: the words, padded; of cased ones: the text.
** scratch is for the normalised text. */
static kk_status tfidf_tokens(const kk_tfidf_opts *o, const char *s, size_t n, kk_buf scratch[2], kk_buf *out,
                              kk_err *e) {
  kk_status st;
  int32_t cp;
  kk_buf_clear(&scratch[0]);
  kk_buf_clear(&scratch[1]);
  st = kk_utf8_require(s, n, "text", e);
  if (!st && o->tokens == KK_CASED) return tfidf_spaced(s, n, out, e);
  if (!st) st = kk_utf8_map(KK_UTF8_LOWER, s, n, &scratch[0], e);
  if (!st && o->tokens == KK_CHARACTERS) return tfidf_padded(scratch[0].p, scratch[0].n, out, e);
  if (!st) st = kk_utf8_map(KK_UTF8_STRIP, scratch[0].p, scratch[0].n, &scratch[1], e);
  if (st) return st;
  const char *p = scratch[1].p;
  const bool words = o->tokens == KK_WORDS;
  size_t len = scratch[1].n, from = 0, chars = 0;
  for (size_t i = 0; i <= len && !st;) {
    size_t k = i < len ? kk_utf8_next(p + i, len - i, &cp) : 1;
    bool end = i == len, sign = false, inside;
    if (!end) sign = !words && tfidf_sign(cp);
    inside = !end && (words ? kk_utf8_is_word(cp) : !sign && !kk_utf8_is_space(cp));
    if (!inside) {
      if (chars > (words ? 1u : 0u)) st = kk_buf_add(out, p + from, i - from, e);
      if (!st && chars > (words ? 1u : 0u)) st = kk_buf_add(out, " ", 1, e);
      if (!st && sign) st = kk_buf_add(out, p + i, k, e);
      if (!st && sign) st = kk_buf_add(out, " ", 1, e);
      chars = 0;
      from = i + k;
    } else {
      chars++;
    }
    i += k;
  }
  return st;
}

/* Calls f for each term in text[begin, end), which holds tokens with a space after each. */
typedef kk_status (*term_fn)(void *arg, const char *text, size_t at, size_t len, kk_err *e);

/* The runs of up to `most` characters in text[begin, end): a padded word, or a text. */
static kk_status tfidf_runs(size_t most, const char *text, size_t begin, size_t end, term_fn f, void *arg, kk_err *e) {
  size_t starts[8] = {0}, seen = 0;
  int32_t cp;
  for (size_t i = begin; i < end;) {
    const size_t stop = i + kk_utf8_next(text + i, end - i, &cp);
    starts[seen % 8] = i;
    seen++;
    for (size_t g = 1; g <= most && g <= seen; g++) {
      kk_status st = f(arg, text, starts[(seen - g) % 8], stop - starts[(seen - g) % 8], e);
      if (st) return st;
    }
    i = stop;
  }
  return KK_OK;
}

static kk_status tfidf_terms(const kk_tfidf_opts *o, const char *text, size_t begin, size_t end, term_fn f, void *arg,
                             kk_err *e) {
  size_t starts[8] = {0}, seen = 0;
  if (o->tokens == KK_CASED) return tfidf_runs((size_t)o->ngrams, text, begin, end, f, arg, e);
  for (size_t i = begin; o->tokens == KK_CHARACTERS && i < end;) {
    const size_t stop = (size_t)((const char *)memchr(text + i + 1, ' ', end - i - 1) - text) + 1;
    kk_status st = tfidf_runs((size_t)o->ngrams, text, i, stop, f, arg, e);
    if (st) return st;
    i = stop;
  }
  if (o->tokens == KK_CHARACTERS) return KK_OK;
  for (size_t i = begin; i < end;) {
    const char *space = memchr(text + i, ' ', end - i);
    size_t stop = (size_t)(space - text);
    starts[seen % 8] = i;
    seen++;
    for (size_t g = 1; g <= (size_t)o->ngrams && g <= seen; g++) {
      size_t at = starts[(seen - g) % 8];
      kk_status st = f(arg, text, at, stop - at, e);
      if (st) return st;
    }
    i = stop + 1;
  }
  return KK_OK;
}

/* ---- counting */

typedef struct counter { table t; int64_t doc; } counter;

static kk_status count_term(void *arg, const char *text, size_t at, size_t len, kk_err *e) {
  counter *c = arg;
  kk_status st = table_grow(&c->t, e);
  if (st) return st;
  uint32_t h = tfidf_hash(text + at, len);
  entry *x = table_slot(&c->t, text, text + at, len, h);
  if (!x->len) {
    *x = (entry){.at = at, .len = len, .hash = h, .col = -1};
    c->t.n++;
  }
  if (x->last != c->doc + 1) {
    x->df++;
    x->last = c->doc + 1;
  }
  return KK_OK;
}

static int entry_order(const void *a, const void *b) {
  const entry *x = a, *y = b;
  return x->at != y->at ? (x->at < y->at ? -1 : 1) : x->len < y->len ? -1 : x->len > y->len;
}

/* Keeps the terms that occur often but not everywhere, in the order in which they first appeared. */
static kk_status tfidf_choose(kk_tfidf *t, counter *c, const kk_buf *text, int64_t ndocs, kk_err *e) {
  size_t kept = 0, slot = 0;
  double most = t->o.max_df * (double)ndocs;
  kk_status st = KK_OK;
  for (size_t i = 0; i < c->t.cap; i++) {
    entry x = c->t.p[i];
    c->t.p[i] = (entry){0};
    if (x.len && x.df >= t->o.min_df && (double)x.df <= most) c->t.p[kept++] = x;
  }
  if (kept == 0)
    return kk_fail(e, KK_EARG, "tfidf: no term is in %lld texts or more of %lld", (long long)t->o.min_df,
                   (long long)ndocs);
  if (kept > INT32_MAX / 2) return kk_fail(e, KK_EARG, "tfidf: too many terms (%zu)", kept);
  qsort(c->t.p, kept, sizeof *c->t.p, entry_order);
  for (t->terms.cap = 16; t->terms.cap < kept * 2; t->terms.cap *= 2) {}
  t->terms.p = kk_calloc(t->terms.cap * sizeof *t->terms.p);
  t->idf = kk_alloc(kept * sizeof *t->idf);
  t->at = kk_alloc((kept + 1) * sizeof *t->at);
  t->cols = (int32_t)kept;
  if (!t->terms.p || !t->idf || !t->at) return kk_fail(e, KK_ENOMEM, "tfidf: out of memory for %zu terms", kept);
  for (size_t i = 0; i < kept && !st; i++) {
    entry x = c->t.p[i];
    for (slot = x.hash & (t->terms.cap - 1); t->terms.p[slot].len; slot = (slot + 1) & (t->terms.cap - 1)) {}
    t->at[i] = t->text.n;
    t->terms.p[slot] = (entry){.at = t->text.n, .len = x.len, .hash = x.hash, .col = (int32_t)i};
    t->idf[i] = log((1 + (double)ndocs) / (1 + (double)x.df)) + 1;
    st = kk_buf_add(&t->text, text->p + x.at, x.len, e);
  }
  t->at[kept] = t->text.n;
  return st;
}

/* ---- rows */

typedef struct rower { const kk_tfidf *t; kk_buf cols; } rower;

static kk_status row_term(void *arg, const char *text, size_t at, size_t len, kk_err *e) {
  rower *r = arg;
  const entry *x = table_slot(&r->t->terms, r->t->text.p, text + at, len, tfidf_hash(text + at, len));
  return x->len ? kk_buf_add(&r->cols, &x->col, sizeof x->col, e) : KK_OK;
}

static int column_order(const void *a, const void *b) {
  const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
  return (x > y) - (x < y);
}

/* Turns the columns of one text's terms, with repeats, into the row's values behind cols and vals. */
static kk_status row_values(rower *r, kk_buf *cols, kk_buf *vals, kk_err *e) {
  int32_t *c = (int32_t *)(void *)r->cols.p;
  size_t n = r->cols.n / sizeof *c, first = vals->n / sizeof(double);
  double norm = 0;
  kk_status st = KK_OK;
  if (n) qsort(c, n, sizeof *c, column_order);
  for (size_t i = 0, j; i < n && !st; i = j) {
    for (j = i; j < n && c[j] == c[i]; j++) {}
    double count = (double)(j - i), v = (r->t->o.sublinear ? 1 + log(count) : count) * r->t->idf[c[i]];
    norm += v * v;
    st = kk_buf_add(cols, &c[i], sizeof *c, e);
    if (!st) st = kk_buf_add(vals, &v, sizeof v, e);
  }
  double *v = (double *)(void *)vals->p;
  for (size_t i = first; !st && i < vals->n / sizeof *v; i++) v[i] /= sqrt(norm);
  return st;
}

/* Rows of texts whose tokens are text[ends[i-1], ends[i]). */
static kk_status tfidf_make(const kk_tfidf *t, const char *text, const size_t *ends, size_t n, kk_csr *x, kk_err *e) {
  rower r = {.t = t};
  kk_buf cols, vals;
  kk_status st = KK_OK;
  *x = (kk_csr){.rows = (int64_t)n, .cols = t->cols, .start = kk_alloc((n + 1) * sizeof *x->start)};
  if (!x->start) return kk_fail(e, KK_ENOMEM, "tfidf: out of memory for %zu texts", n);
  kk_buf_init(&r.cols, SIZE_MAX / 4);
  kk_buf_init(&cols, SIZE_MAX / 4);
  kk_buf_init(&vals, SIZE_MAX / 4);
  x->start[0] = 0;
  for (size_t i = 0; i < n && !st; i++) {
    kk_buf_clear(&r.cols);
    st = tfidf_terms(&t->o, text, i ? ends[i - 1] : 0, ends[i], row_term, &r, e);
    if (!st) st = row_values(&r, &cols, &vals, e);
    x->start[i + 1] = (int64_t)(vals.n / sizeof(double));
    if (!st && i % TFIDF_STOP_EVERY == 0) st = kk_stop_check(e, "tfidf");
  }
  if (!st) {
    x->col = kk_alloc(cols.n);
    x->val = kk_alloc(vals.n);
    if (!x->col || !x->val) st = kk_fail(e, KK_ENOMEM, "tfidf: out of memory for %zu values", vals.n / sizeof(double));
  }
  if (!st && cols.n) {
    memcpy(x->col, cols.p, cols.n);
    memcpy(x->val, vals.p, vals.n);
  }
  kk_buf_free(&r.cols);
  kk_buf_free(&cols);
  kk_buf_free(&vals);
  if (st) kk_csr_free(x);
  return st;
}

void kk_csr_free(kk_csr *x) {
  size_t nnz = x->col || x->val ? (size_t)x->start[x->rows] : 0;
  kk_free(x->val, nnz * sizeof *x->val);
  kk_free(x->col, nnz * sizeof *x->col);
  kk_free(x->start, ((size_t)x->rows + 1) * sizeof *x->start);
  *x = (kk_csr){0};
}

/* The tokens of all texts in one buffer; ends[i] is where text i ends. */
static kk_status tfidf_read(const kk_tfidf_opts *o, size_t n, const char *const *texts, const size_t *lens,
                            kk_buf *text, size_t *ends, kk_err *e) {
  kk_buf scratch[2];
  kk_status st = KK_OK;
  kk_buf_init(&scratch[0], SIZE_MAX / 4);
  kk_buf_init(&scratch[1], SIZE_MAX / 4);
  for (size_t i = 0; i < n && !st; i++) {
    kk_err why = {0};
    st = tfidf_tokens(o, texts[i], lens[i], scratch, text, &why);
    ends[i] = text->n;
    if (st) kk_fail(e, st, "text %zu: %s", i + 1, why.msg);
    else if (i % TFIDF_STOP_EVERY == 0) st = kk_stop_check(e, "tfidf");
  }
  kk_buf_free(&scratch[0]);
  kk_buf_free(&scratch[1]);
  return st;
}

kk_status kk_tfidf_rows(const kk_tfidf *t, size_t n, const char *const *texts, const size_t *lens, kk_csr *x,
                        kk_err *e) {
  size_t *ends = kk_alloc((n + 1) * sizeof *ends);
  kk_buf text;
  kk_buf_init(&text, SIZE_MAX / 4);
  if (!ends) return kk_fail(e, KK_ENOMEM, "tfidf: out of memory for %zu texts", n);
  kk_status st = tfidf_read(&t->o, n, texts, lens, &text, ends, e);
  if (!st) st = tfidf_make(t, text.p, ends, n, x, e);
  kk_buf_free(&text);
  kk_free(ends, (n + 1) * sizeof *ends);
  return st;
}

kk_status kk_tfidf_fit(size_t n, const char *const *texts, const size_t *lens, const kk_tfidf_opts *o, kk_tfidf **out,
                       kk_csr *x, kk_err *e) {
  counter c = {0};
  kk_buf text;
  size_t *ends = kk_alloc((n + 1) * sizeof *ends);
  kk_tfidf *t = kk_calloc(sizeof *t);
  kk_status st = ends && t ? KK_OK : kk_fail(e, KK_ENOMEM, "tfidf: out of memory for %zu texts", n);
  kk_buf_init(&text, SIZE_MAX / 4);
  if (!st) {
    t->o = *o;
    kk_buf_init(&t->text, SIZE_MAX / 4);
    st = tfidf_read(o, n, texts, lens, &text, ends, e);
  }
  for (size_t i = 0; i < n && !st; i++) {
    c.doc = (int64_t)i;
    st = tfidf_terms(o, text.p, i ? ends[i - 1] : 0, ends[i], count_term, &c, e);
  }
  if (!st) st = tfidf_choose(t, &c, &text, (int64_t)n, e);
  kk_free(c.t.p, c.t.cap * sizeof *c.t.p);
  if (!st) st = tfidf_make(t, text.p, ends, n, x, e);
  kk_buf_free(&text);
  kk_free(ends, (n + 1) * sizeof *ends);
  if (st) kk_tfidf_free(t);
  else *out = t;
  return st;
}

int32_t kk_tfidf_size(const kk_tfidf *t) { return t->cols; }

const char *kk_tfidf_term(const kk_tfidf *t, int32_t col, size_t *len) {
  *len = t->at[col + 1] - t->at[col];
  return t->text.p + t->at[col];
}

void kk_tfidf_free(kk_tfidf *t) {
  if (!t) return;
  kk_buf_free(&t->text);
  kk_free(t->terms.p, t->terms.cap * sizeof *t->terms.p);
  kk_free(t->idf, (size_t)t->cols * sizeof *t->idf);
  kk_free(t->at, ((size_t)t->cols + 1) * sizeof *t->at);
  kk_free(t, sizeof *t);
}
