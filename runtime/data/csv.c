#include "data/csv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/stop.h"
#include "base/utf8_valid.h"

enum { CSV_BLOCK = 1 << 16, CSV_END = -1 };
static const size_t csv_max_row = (size_t)64 << 20;

struct kk_csv {
  gzFile f;                               /* reads plain files as they are */
  char *path;
  kk_csv_opts o;
  int columns;                            /* fields of the first row, 0 before it */
  int64_t row, line, row_line;
  kk_buf text;                            /* the fields of the row, each with a NUL behind it */
  size_t *ends;                           /* where each of those NULs is */
  int n, cap;
  size_t at, got;                         /* of block */
  char block[CSV_BLOCK];
};

/* "FILE: row 3 (line 7), column 2: ". */
static kk_status csv_fail(const kk_csv *r, int column, kk_err *e, const char *what) {
  char where[64] = "header";
  if (r->row || !r->o.header) snprintf(where, sizeof where, "row %lld", (long long)r->row);
  if (column) return kk_fail(e, KK_EFORMAT, "%s: %s (line %lld), column %d: %s", r->path, where, (long long)r->row_line, column, what);
  return kk_fail(e, KK_EFORMAT, "%s: %s (line %lld): %s", r->path, where, (long long)r->row_line, what);
}

/* Fills the block; *end when nothing is left. */
static kk_status csv_fill(kk_csv *r, bool *end, kk_err *e) {
  kk_status st = kk_stop_check(e, r->path);
  if (st) return st;
  r->at = 0;
  int got = gzread(r->f, r->block, CSV_BLOCK), code;
  r->got = got > 0 ? (size_t)got : 0;
  *end = r->got == 0;
  const char *why = gzerror(r->f, &code);          /* a short gzip stream ends without -1 */
  if (code == Z_ERRNO) return kk_fail_errno(e, errno, "%s: cannot read", r->path);
  if (*end && code < 0) return kk_fail(e, KK_EFORMAT, "%s: gzip: %s", r->path, code == Z_BUF_ERROR ? "the file is cut short" : why);
  return KK_OK;
}

/* The next byte without taking it, CSV_END at the end of the file. */
static kk_status csv_peek(kk_csv *r, int *c, kk_err *e) {
  bool end = false;
  kk_status st = r->at < r->got ? KK_OK : csv_fill(r, &end, e);
  if (!st) *c = end ? CSV_END : (unsigned char)r->block[r->at];
  return st;
}

static kk_status csv_keep(kk_csv *r, const char *p, size_t n, kk_err *e) {
  char what[96];
  if (r->text.n + n < r->text.max) return kk_buf_add(&r->text, p, n, e);
  snprintf(what, sizeof what, "more than %zu bytes in one row (a quote that is never closed?)", r->o.max_row);
  return csv_fail(r, r->n + 1, e, what);
}

/* \n \r \t \\ in place; the new length, or SIZE_MAX for another escape. */
static size_t csv_unescape(char *p, size_t n) {
  size_t to = 0;
  for (size_t i = 0; i < n; i++) {
    char c = p[i];
    if (c == '\\') {
      char d = i + 1 < n ? p[++i] : 0;
      c = d == 'n' ? '\n' : d == 't' ? '\t' : d == 'r' ? '\r' : d == '\\' ? '\\' : 0;
      if (!c) return SIZE_MAX;
    }
    p[to++] = c;
  }
  return to;
}

/* Checks the field that began at byte begin of the row and closes it. */
static kk_status csv_end_field(kk_csv *r, size_t begin, kk_err *e) {
  char *p = r->text.p ? r->text.p + begin : "", what[128];
  size_t n = r->text.n - begin, good = kk_utf8_valid_to(p, n);
  if (good < n) {
    snprintf(what, sizeof what, "byte %zu of the field is 0x%02X: not UTF-8", good + 1, (unsigned char)p[good]);
    return csv_fail(r, r->n + 1, e, what);
  }
  if (n && memchr(p, 0, n)) return csv_fail(r, r->n + 1, e, "a zero byte: not a text file");
  if (r->o.escapes && n && memchr(p, '\\', n)) {
    n = csv_unescape(p, n);
    if (n == SIZE_MAX) return csv_fail(r, r->n + 1, e, "a backslash, expected \\n, \\r, \\t or \\\\");
    r->text.n = begin + n;
  }
  if (r->n == KK_CSV_MAX_COLUMNS) return csv_fail(r, r->n + 1, e, "too many columns");
  if (r->n == r->cap) {
    int cap = r->cap ? 2 * r->cap : 16;
    size_t *q = kk_realloc(r->ends, (size_t)r->cap * sizeof *q, (size_t)cap * sizeof *q);
    if (!q) return kk_fail(e, KK_ENOMEM, "%s: out of memory", r->path);
    r->ends = q;
    r->cap = cap;
  }
  r->ends[r->n++] = r->text.n;
  return csv_keep(r, "", 1, e);
}

/* A field in quotes; the opening one has been taken, spaces behind the closing one are passed over. */
static kk_status csv_quoted(kk_csv *r, kk_err *e) {
  kk_status st;
  int64_t opened = r->line;
  char what[128];
  int c;
  for (;;) {
    if ((st = csv_peek(r, &c, e))) return st;
    if (c == CSV_END) {
      snprintf(what, sizeof what, "the quote opened on line %lld is never closed", (long long)opened);
      return csv_fail(r, r->n + 1, e, what);
    }
    const char *p = r->block + r->at, *q = memchr(p, '"', r->got - r->at);
    size_t n = q ? (size_t)(q - p) : r->got - r->at;
    for (const char *s = p; (s = memchr(s, '\n', (size_t)(p + n - s))); s++) r->line++;
    if ((st = csv_keep(r, p, n, e))) return st;
    r->at += n;
    if (!q) continue;
    r->at++;
    if ((st = csv_peek(r, &c, e))) return st;
    if (c != '"') break;
    if ((st = csv_keep(r, "\"", 1, e))) return st;
    r->at++;
  }
  while (c == ' ' && r->o.delimiter != ' ') {
    r->at++;
    if ((st = csv_peek(r, &c, e))) return st;
  }
  if (c != CSV_END && c != '\n' && c != '\r' && c != (unsigned char)r->o.delimiter) {
    snprintf(what, sizeof what, "0x%02X '%c' behind a closing quote, expected the delimiter '%c' or the end of the line", c,
             c > 32 && c < 127 ? c : ' ', r->o.delimiter);
    return csv_fail(r, r->n + 1, e, what);
  }
  return KK_OK;
}

static bool csv_only_spaces(const kk_csv *r, size_t begin) {
  while (begin < r->text.n && r->text.p[begin] == ' ') begin++;
  return begin == r->text.n;
}

/* A field without quotes: up to the delimiter, the end of the line or the end of the file. A carriage
** return stays in it unless a newline follows. Spaces and then a quote begin a field in quotes. */
static kk_status csv_plain(kk_csv *r, kk_err *e) {
  kk_status st;
  size_t begin = r->text.n;
  int c;
  for (;;) {
    if ((st = csv_peek(r, &c, e))) return st;
    if (c == CSV_END) return KK_OK;
    size_t i = r->at;
    char delimiter = r->o.delimiter, quote = r->o.quotes ? '"' : '\n';
    if (delimiter) while (i < r->got && r->block[i] != delimiter && r->block[i] != '\n' && r->block[i] != quote) i++;
    else while (i < r->got && r->block[i] != '\n') i++;
    if ((st = csv_keep(r, r->block + r->at, i - r->at, e))) return st;
    r->at = i;
    if (i == r->got) continue;
    if (r->o.quotes && r->block[i] == '"' && csv_only_spaces(r, begin)) {
      r->text.n = begin;
      r->at++;
      return csv_quoted(r, e);
    }
    if (r->o.quotes && r->block[i] == '"')
      return csv_fail(r, r->n + 1, e, "a quote inside a field that does not begin with one (quotes = false takes them as text)");
    return KK_OK;
  }
}

/* Behind a field: the delimiter (*more) or the end of the row. */
static kk_status csv_after(kk_csv *r, bool *more, kk_err *e) {
  int c;
  kk_status st = csv_peek(r, &c, e);
  if (st) return st;
  *more = c != CSV_END && c != '\n' && c != '\r';
  if (c != CSV_END) r->at++;
  if (c == '\r') {                        /* behind a closing quote only */
    if ((st = csv_peek(r, &c, e))) return st;
    if (c == '\n') r->at++;
  }
  if (!*more && c != CSV_END) r->line++;
  return KK_OK;
}

static kk_status csv_read_row(kk_csv *r, bool *found, kk_err *e) {
  kk_status st;
  bool more = true;
  int c;
  kk_buf_clear(&r->text);
  r->n = 0;
  r->row_line = r->line;
  if ((st = csv_peek(r, &c, e))) return st;
  *found = c != CSV_END;
  if (!*found) return KK_OK;
  while (more) {
    size_t begin = r->text.n;
    bool quoted;
    if ((st = csv_peek(r, &c, e))) return st;
    quoted = r->o.quotes && c == '"';
    if (quoted) r->at++;
    if ((st = quoted ? csv_quoted(r, e) : csv_plain(r, e))) return st;
    if ((st = csv_after(r, &more, e))) return st;
    if (!more && !quoted && r->text.n > begin && r->text.p[r->text.n - 1] == '\r') r->text.n--;
    if ((st = csv_end_field(r, begin, e))) return st;
  }
  return KK_OK;
}

kk_status kk_csv_next(kk_csv *r, bool *more, kk_err *e) {
  char what[96];
  kk_status st;
  r->row++;
  do st = csv_read_row(r, more, e);
  while (!st && *more && r->n == 1 && r->ends[0] == 0 && r->columns > 1);
  if (st || !*more) {
    r->n = 0;
    r->row--;
    return st;
  }
  if (!r->columns) r->columns = r->n;
  if (r->n == r->columns) return KK_OK;
  snprintf(what, sizeof what, "%d fields, expected %d", r->n, r->columns);
  return csv_fail(r, 0, e, what);
}

/* Byte order mark, and the two marks of the encoding that Windows programs like to write. */
static kk_status csv_begin(kk_csv *r, kk_err *e) {
  bool end;
  kk_status st = csv_fill(r, &end, e);
  if (st) return st;
  if (r->got >= 3 && memcmp(r->block, "\xEF\xBB\xBF", 3) == 0) r->at = 3;
  else if (r->got >= 2 && (memcmp(r->block, "\xFF\xFE", 2) == 0 || memcmp(r->block, "\xFE\xFF", 2) == 0))
    return kk_fail(e, KK_EFORMAT, "%s: it is UTF-16, expected UTF-8", r->path);
  if (!r->o.header) return KK_OK;
  st = csv_read_row(r, &end, e);
  if (st) return st;
  if (!end) return kk_fail(e, KK_EFORMAT, "%s: it is empty, expected a header with the names of the columns", r->path);
  r->columns = r->n;
  return KK_OK;
}

kk_status kk_csv_open(const char *path, const kk_csv_opts *opts, kk_csv **out, kk_err *e) {
  kk_csv *r = kk_alloc(sizeof *r);
  kk_status st;
  if (!r) return kk_fail(e, KK_ENOMEM, "%s: out of memory", path);
  memset(r, 0, offsetof(kk_csv, block));
  r->o = *opts;
  if (!r->o.max_row) r->o.max_row = csv_max_row;
  r->line = 1;
  kk_buf_init(&r->text, r->o.max_row);
  r->path = kk_strdup(path);
  st = r->path ? KK_OK : kk_fail(e, KK_ENOMEM, "%s: out of memory", path);
  if (!st && !(r->f = gzopen(path, "rb"))) st = kk_fail_errno(e, errno, "%s", path);
  if (!st) st = csv_begin(r, e);
  if (st) kk_csv_close(r);
  else *out = r;
  return st;
}

void kk_csv_close(kk_csv *r) {
  if (!r) return;
  if (r->f) gzclose(r->f);
  kk_strfree(r->path);
  kk_buf_free(&r->text);
  kk_free(r->ends, (size_t)r->cap * sizeof *r->ends);
  kk_free(r, sizeof *r);
}

int kk_csv_fields(const kk_csv *r) { return r->n; }
int64_t kk_csv_row(const kk_csv *r) { return r->row; }
int64_t kk_csv_line(const kk_csv *r) { return r->row_line; }

const char *kk_csv_field(const kk_csv *r, int i, size_t *n) {
  size_t begin = i ? r->ends[i - 1] + 1 : 0;
  *n = r->ends[i] - begin;
  return r->text.p + begin;
}
