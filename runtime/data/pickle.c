#include "data/pickle.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8_valid.h"
#include "data/pickle_vm.h"

enum { NOTHING = 0xFFFFFFFF, LINE = 4096 };     /* LINE: a number or a name of protocol 0 */

kk_status kk_pvm_bad(kk_pvm *m, const char *fmt, ...) {
  char text[300];
  va_list args;
  va_start(args, fmt);
  vsnprintf(text, sizeof text, fmt, args);
  va_end(args);
  for (char *c = text; *c; c++)
    if ((unsigned char)*c < 32 || (unsigned char)*c > 126) *c = '?';
  return kk_fail(m->e, KK_EFORMAT, "%s: pickle, byte %zu (%s): %s", m->where, m->at, m->op, text);
}

const char *kk_pkind_name(int kind) {
  static const char *const names[] = {"None", "bool", "int", "long", "float", "str", "bytes", "list", "tuple", "dict", "set", "name",
                                      "call", "storage", "mark"};
  return kind >= 0 && kind <= KK_P_MARK ? names[kind] : "?";
}

/* ---- memory ---- */

static kk_status pvm_room(kk_pvm *m, size_t more) {
  size_t held = m->k->memory + m->lists;
  if (more > m->limit || held > m->limit - more)
    return kk_pvm_bad(m, "the values need more than %zu MB", m->limit >> 20);
  return KK_OK;
}

/* Room for want elements in a list that doubles; counted in *count. */
static kk_status pvm_grow(kk_pvm *m, void *list, uint32_t *cap, uint64_t want, size_t size, size_t *count) {
  uint64_t next = *cap ? *cap : 4;
  void *p;
  memcpy(&p, list, sizeof p);
  if (want <= *cap) return KK_OK;
  while (next < want) next *= 2;
  if (next >= NOTHING) return kk_pvm_bad(m, "too many values");
  kk_status st = pvm_room(m, (size_t)(next - *cap) * size);
  if (st) return st;
  p = kk_realloc(p, *cap * size, (size_t)next * size);
  if (!p) return kk_fail(m->e, KK_ENOMEM, "%s: out of memory", m->where);
  memcpy(list, &p, sizeof p);
  *count += (size_t)(next - *cap) * size;
  *cap = (uint32_t)next;
  return KK_OK;
}

kk_status kk_pvm_new(kk_pvm *m, int kind, kk_pref *out) {
  kk_status st = pvm_grow(m, &m->k->v, &m->k->cap, (uint64_t)m->k->n + 1, sizeof *m->k->v, &m->k->memory);
  if (st) return st;
  *out = m->k->n++;
  m->k->v[*out] = (kk_pvalue){.kind = (uint8_t)kind};
  return KK_OK;
}

kk_status kk_pvm_extend(kk_pvm *m, kk_pref container, const kk_pref *values, uint32_t n) {
  kk_pvalue *c = &m->k->v[container];
  kk_status st = pvm_grow(m, &c->u.c.p, &c->u.c.cap, (uint64_t)c->u.c.n + n, sizeof *values, &m->k->memory);
  if (st) return st;
  if (n) memcpy(c->u.c.p + c->u.c.n, values, n * sizeof *values);
  c->u.c.n += n;
  return KK_OK;
}

kk_status kk_pvm_append(kk_pvm *m, kk_pref container, kk_pref value) { return kk_pvm_extend(m, container, &value, 1); }

kk_status kk_pvm_text(kk_pvm *m, size_t n, char **out) {
  kk_status st = pvm_room(m, sizeof(kk_ptext) + n);
  kk_ptext *t;
  if (st) return st;
  t = kk_alloc(sizeof *t + n);
  if (!t) return kk_fail(m->e, KK_ENOMEM, "%s: out of memory", m->where);
  *t = (kk_ptext){m->k->texts, n};
  m->k->texts = t;
  m->k->memory += sizeof *t + n;
  *out = (char *)(t + 1);
  return KK_OK;
}

/* ---- the stack ---- */

static uint32_t pvm_floor(const kk_pvm *m) { return m->nmarks ? m->marks[m->nmarks - 1] : 0; }

static kk_status pvm_push(kk_pvm *m, kk_pref v) {
  kk_status st = pvm_grow(m, &m->stack, &m->stack_cap, (uint64_t)m->top + 1, sizeof *m->stack, &m->lists);
  if (!st) m->stack[m->top++] = v;
  return st;
}

static kk_status pvm_pop(kk_pvm *m, kk_pref *v) {
  if (m->top <= pvm_floor(m)) return kk_pvm_bad(m, "nothing is on the stack");
  *v = m->stack[--m->top];
  return KK_OK;
}

static kk_status pvm_peek(kk_pvm *m, int kind, kk_pref *v) {
  if (m->top <= pvm_floor(m)) return kk_pvm_bad(m, "nothing is on the stack");
  *v = m->stack[m->top - 1];
  if (kind >= 0 && m->k->v[*v].kind != kind)
    return kk_pvm_bad(m, "expected a %s, got a %s", kk_pkind_name(kind), kk_pkind_name(m->k->v[*v].kind));
  return KK_OK;
}

/* Takes the topmost mark and what lies above it; *values stay valid until the next push. */
static kk_status pvm_pop_mark(kk_pvm *m, const kk_pref **values, uint32_t *n) {
  if (!m->nmarks) return kk_pvm_bad(m, "no mark is on the stack");
  uint32_t from = m->marks[--m->nmarks];
  *values = m->stack + from;
  *n = m->top - from;
  m->top = from;
  return KK_OK;
}

static kk_status pvm_push_new(kk_pvm *m, kk_pvalue value) {
  kk_pref v;
  kk_status st = kk_pvm_new(m, value.kind, &v);
  if (st) return st;
  m->k->v[v] = value;
  return pvm_push(m, v);
}

static kk_status pvm_push_int(kk_pvm *m, int64_t i) { return pvm_push_new(m, (kk_pvalue){.kind = KK_P_INT, .u.i = i}); }
static kk_status pvm_push_bool(kk_pvm *m, bool b) { return pvm_push_new(m, (kk_pvalue){.kind = KK_P_BOOL, .u.i = b}); }

/* ---- bytes of the pickle ---- */

static kk_status pvm_take(kk_pvm *m, uint64_t n, const uint8_t **p) {
  if (n > (uint64_t)(m->end - m->p)) return kk_pvm_bad(m, "it ends in the middle (truncated?)");
  *p = m->p;
  m->p += n;
  return KK_OK;
}

static kk_status pvm_number(kk_pvm *m, int bytes, uint64_t *v) {
  const uint8_t *p = NULL;
  kk_status st = pvm_take(m, (uint64_t)bytes, &p);
  if (st) return st;
  *v = 0;
  while (bytes--) *v = *v << 8 | p[bytes];
  return KK_OK;
}

/* Up to the next line end, which is taken too. */
static kk_status pvm_line(kk_pvm *m, const char **p, size_t *n) {
  const uint8_t *nl = m->p < m->end ? memchr(m->p, '\n', (size_t)(m->end - m->p)) : NULL;
  if (!nl) return kk_pvm_bad(m, "the line does not end (truncated?)");
  *p = (const char *)m->p;
  *n = (size_t)(nl - m->p);
  m->p = nl + 1;
  return KK_OK;
}

/* A short line as a C string. */
static kk_status pvm_word(kk_pvm *m, char word[LINE]) {
  const char *p = NULL;
  size_t n = 0;
  kk_status st = pvm_line(m, &p, &n);
  if (st) return st;
  if (n >= LINE || memchr(p, 0, n)) return kk_pvm_bad(m, "not a number or a name");
  memcpy(word, p, n);
  word[n] = 0;
  return KK_OK;
}

static kk_status pvm_line_integer(kk_pvm *m, int64_t *v, bool *is_bool) {
  char word[LINE], *end;
  kk_status st = pvm_word(m, word);
  if (st) return st;
  size_t n = strlen(word);
  *is_bool = strcmp(word, "00") == 0 || strcmp(word, "01") == 0;
  if (n && word[n - 1] == 'L') word[--n] = 0;
  errno = 0;
  *v = strtoll(word, &end, 10);
  if (errno || end == word || *end || (*word != '-' && (*word < '0' || *word > '9')))
    return kk_pvm_bad(m, "\"%.40s\" is no integer of 64 bits", word);
  return KK_OK;
}

static kk_status pvm_line_float(kk_pvm *m) {
  char word[LINE], *end;
  kk_status st = pvm_word(m, word);
  if (st) return st;
  double f = strtod(word, &end);
  if (end == word || *end) return kk_pvm_bad(m, "\"%.40s\" is no number", word);
  return pvm_push_new(m, (kk_pvalue){.kind = KK_P_FLOAT, .u.f = f});
}

static kk_status pvm_bin_float(kk_pvm *m) {
  const uint8_t *p = NULL;
  uint64_t bits = 0;
  double f;
  kk_status st = pvm_take(m, 8, &p);
  if (st) return st;
  for (int i = 0; i < 8; i++) bits = bits << 8 | p[i];      /* the one big-endian number of the format */
  memcpy(&f, &bits, 8);
  return pvm_push_new(m, (kk_pvalue){.kind = KK_P_FLOAT, .u.f = f});
}

/* An integer of n bytes, two's complement. */
static kk_status pvm_long(kk_pvm *m, uint64_t n) {
  const uint8_t *p = NULL;
  uint64_t v = 0;
  if (n > INT32_MAX) return kk_pvm_bad(m, "a length of %llu", (unsigned long long)n);
  kk_status st = pvm_take(m, n, &p);
  if (st) return st;
  if (n > 8) return pvm_push_new(m, (kk_pvalue){.kind = KK_P_LONG, .u.s = {(const char *)p, (uint32_t)n}});
  if (n && p[n - 1] & 0x80) v = ~(uint64_t)0;
  while (n--) v = v << 8 | p[n];
  return pvm_push_int(m, (int64_t)v);
}

/* ---- text ---- */

static kk_status pvm_push_bytes(kk_pvm *m, int kind, const char *p, uint64_t n) {
  if (n >= NOTHING) return kk_pvm_bad(m, "a text of %llu bytes", (unsigned long long)n);
  if (kind == KK_P_STR && kk_utf8_valid_to(p, (size_t)n) < n) return kk_pvm_bad(m, "a text that is not UTF-8");
  return pvm_push_new(m, (kk_pvalue){.kind = (uint8_t)kind, .u.s = {p, (uint32_t)n}});
}

/* Text behind its length. Python 2's strings (old) may be either. */
static kk_status pvm_counted(kk_pvm *m, int width, int kind, bool old) {
  uint64_t n = 0;
  const uint8_t *p = NULL;
  kk_status st = pvm_number(m, width, &n);
  if (!st) st = pvm_take(m, n, &p);
  if (st) return st;
  if (old) kind = kk_utf8_valid_to((const char *)p, (size_t)n) == n ? KK_P_STR : KK_P_BYTES;
  return pvm_push_bytes(m, kind, (const char *)p, n);
}

static int pvm_hex(const char *p, const char *end, int digits, uint32_t *c) {
  *c = 0;
  if (end - p < digits) return 0;
  for (int i = 0; i < digits; i++) {
    int d = p[i] >= '0' && p[i] <= '9' ? p[i] - '0' : (p[i] | 32) >= 'a' && (p[i] | 32) <= 'f' ? (p[i] | 32) - 'a' + 10 : -1;
    if (d < 0) return 0;
    *c = *c << 4 | (uint32_t)d;
  }
  return digits;
}

static char *pvm_utf8(char *to, uint32_t c) {
  int more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
  static const uint8_t lead[] = {0, 0xC0, 0xE0, 0xF0};
  *to++ = (char)(lead[more] | c >> (6 * more));
  while (more--) *to++ = (char)(0x80 | (c >> (6 * more) & 63));
  return to;
}

/* \uXXXX and \UXXXXXXXX, and every other byte for itself; pairs of surrogates are one character. */
static kk_status pvm_line_unicode(kk_pvm *m) {
  const char *p = NULL, *end;
  char *to = NULL, *out = NULL;
  size_t n = 0;
  kk_status st = pvm_line(m, &p, &n);
  if (!st) st = kk_pvm_text(m, 2 * n, &out);
  if (st) return st;
  for (to = out, end = p + n; p < end;) {
    uint32_t c = (uint8_t)*p++, low;
    if (c == '\\' && p < end && (*p == 'u' || *p == 'U')) {
      int digits = *p == 'u' ? 4 : 8;
      if (!pvm_hex(p + 1, end, digits, &c)) return kk_pvm_bad(m, "a broken escape");
      p += 1 + digits;
      if (c >= 0xD800 && c < 0xDC00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u' && pvm_hex(p + 2, end, 4, &low) && low >= 0xDC00 &&
          low < 0xE000) {
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
        p += 6;
      }
      if (c > 0x10FFFF) return kk_pvm_bad(m, "a broken escape");
    }
    to = pvm_utf8(to, c);
  }
  return pvm_push_bytes(m, KK_P_STR, out, (uint64_t)(to - out));
}

/* 'text' with Python's escapes. */
static kk_status pvm_line_string(kk_pvm *m) {
  static const char from[] = "\\'\"nrtabfv0", into[] = "\\'\"\n\r\t\a\b\f\v\0";
  const char *p = NULL, *end;
  char *out = NULL, *to;
  size_t n = 0;
  kk_status st = pvm_line(m, &p, &n);
  if (!st) st = kk_pvm_text(m, n, &out);
  if (st) return st;
  if (n < 2 || (*p != '\'' && *p != '"') || p[n - 1] != *p) return kk_pvm_bad(m, "a string without its quotes");
  for (to = out, end = p + n - 1, p++; p < end;) {
    uint32_t c = (uint8_t)*p++;
    if (c == '\\') {
      const char *k = p < end && *p ? strchr(from, *p) : NULL;
      if (k) c = (uint8_t)into[k - from], p++;
      else if (p < end && *p == 'x' && pvm_hex(p + 1, end, 2, &c)) p += 3;
      else return kk_pvm_bad(m, "a broken escape");
    }
    *to++ = (char)c;
  }
  n = (size_t)(to - out);
  return pvm_push_bytes(m, kk_utf8_valid_to(out, n) == n ? KK_P_STR : KK_P_BYTES, out, n);
}

/* ---- containers ---- */

static kk_status pvm_collect(kk_pvm *m, int kind) {
  const kk_pref *values = NULL;
  uint32_t n = 0;
  kk_pref v = 0;
  kk_status st = pvm_pop_mark(m, &values, &n);
  if (!st && kind == KK_P_DICT && n % 2) st = kk_pvm_bad(m, "a key without its value");
  if (!st) st = kk_pvm_new(m, kind, &v);
  if (!st) st = kk_pvm_extend(m, v, values, n);
  return st ? st : pvm_push(m, v);
}

static kk_status pvm_tuple(kk_pvm *m, uint32_t n) {
  kk_pref v = 0;
  kk_status st;
  if (m->top - pvm_floor(m) < n) return kk_pvm_bad(m, "nothing is on the stack");
  st = kk_pvm_new(m, KK_P_TUPLE, &v);
  if (!st) st = kk_pvm_extend(m, v, m->stack + m->top - n, n);
  if (st) return st;
  m->top -= n;
  return pvm_push(m, v);
}

/* One value, or a key and its value, into the container below. */
static kk_status pvm_put_one(kk_pvm *m, int kind) {
  kk_pref pair[2] = {0, 0}, to = 0;
  kk_status st = pvm_pop(m, &pair[1]);
  if (!st && kind == KK_P_DICT) st = pvm_pop(m, &pair[0]);
  if (!st) st = pvm_peek(m, kind, &to);
  if (st) return st;
  return kind == KK_P_DICT ? kk_pvm_extend(m, to, pair, 2) : kk_pvm_append(m, to, pair[1]);
}

static kk_status pvm_put_all(kk_pvm *m, int kind) {
  const kk_pref *values = NULL;
  uint32_t n = 0;
  kk_pref to = 0;
  kk_status st = pvm_pop_mark(m, &values, &n);
  if (!st) st = pvm_peek(m, kind, &to);
  if (!st && kind == KK_P_DICT && n % 2) st = kk_pvm_bad(m, "a key without its value");
  return st ? st : kk_pvm_extend(m, to, values, n);
}

/* ---- the memo ---- */

/* A pickler numbers what it puts, so that no number is beyond the bytes read so far. */
static kk_status pvm_memo_put(kk_pvm *m, uint64_t i) {
  kk_pref v = 0;
  kk_status st = pvm_peek(m, -1, &v);
  if (st) return st;
  if (i > m->at) return kk_pvm_bad(m, "memo number %llu", (unsigned long long)i);
  st = pvm_grow(m, &m->memo, &m->memo_cap, i + 1, sizeof *m->memo, &m->lists);
  if (st) return st;
  while (m->nmemo <= i) m->memo[m->nmemo++] = NOTHING;
  m->memo[i] = v;
  return KK_OK;
}

static kk_status pvm_memo_get(kk_pvm *m, uint64_t i) {
  if (i >= m->nmemo || m->memo[i] == NOTHING) return kk_pvm_bad(m, "nothing was put under memo number %llu", (unsigned long long)i);
  return pvm_push(m, m->memo[i]);
}

static kk_status pvm_memo_line(kk_pvm *m, bool put) {
  int64_t i = 0;
  bool is_bool;
  kk_status st = pvm_line_integer(m, &i, &is_bool);
  if (st) return st;
  if (i < 0) return kk_pvm_bad(m, "memo number %lld", (long long)i);
  return put ? pvm_memo_put(m, (uint64_t)i) : pvm_memo_get(m, (uint64_t)i);
}

static kk_status pvm_memo_number(kk_pvm *m, int width, bool put) {
  uint64_t i = 0;
  kk_status st = pvm_number(m, width, &i);
  if (st) return st;
  return put ? pvm_memo_put(m, i) : pvm_memo_get(m, i);
}

/* ---- names, calls ---- */

static kk_status pvm_push_name(kk_pvm *m, const char *module, size_t module_n, const char *name, size_t name_n) {
  const kk_pname *g = kk_pickle_name(module, module_n, name, name_n);
  if (g) return pvm_push_new(m, (kk_pvalue){.kind = KK_P_GLOBAL, .u.g = g});
  return kk_pvm_bad(m, "it asks for %.*s.%.*s, which is not allowed: only tensors and plain values are read", (int)(module_n < 80 ? module_n : 80),
                    module, (int)(name_n < 80 ? name_n : 80), name);
}

static kk_status pvm_global(kk_pvm *m) {
  const char *module = NULL, *name = NULL;
  size_t module_n = 0, name_n = 0;
  kk_status st = pvm_line(m, &module, &module_n);
  if (!st) st = pvm_line(m, &name, &name_n);
  return st ? st : pvm_push_name(m, module, module_n, name, name_n);
}

static kk_status pvm_stack_global(kk_pvm *m) {
  kk_pref module = 0, name = 0;
  kk_status st = pvm_pop(m, &name);
  if (!st) st = pvm_pop(m, &module);
  if (st) return st;
  const kk_pvalue *a = &m->k->v[module], *b = &m->k->v[name];
  if (a->kind != KK_P_STR || b->kind != KK_P_STR) return kk_pvm_bad(m, "a name that is no text");
  return pvm_push_name(m, a->u.s.p, a->u.s.n, b->u.s.p, b->u.s.n);
}

static kk_status pvm_reduce(kk_pvm *m) {
  kk_pref f = 0, args = 0, v = 0;
  kk_status st = pvm_pop(m, &args);
  if (!st) st = pvm_pop(m, &f);
  if (!st) st = kk_pvm_call(m, f, args, &v);
  return st ? st : pvm_push(m, v);
}

static kk_status pvm_build(kk_pvm *m) {
  kk_pref state = 0, object = 0;
  kk_status st = pvm_pop(m, &state);
  if (!st) st = pvm_peek(m, -1, &object);
  return st ? st : kk_pvm_build(m, object, state);
}

static kk_status pvm_persistent(kk_pvm *m) {
  kk_pref id = 0;
  kk_status st = pvm_pop(m, &id);
  return st ? st : pvm_push_new(m, (kk_pvalue){.kind = KK_P_PERSISTENT, .u.pair = {id, 0}});
}

static kk_status pvm_mark(kk_pvm *m) {
  kk_status st = pvm_grow(m, &m->marks, &m->marks_cap, (uint64_t)m->nmarks + 1, sizeof *m->marks, &m->lists);
  if (!st) m->marks[m->nmarks++] = m->top;
  return st;
}

static kk_status pvm_drop_mark(kk_pvm *m) {
  const kk_pref *values;
  uint32_t n;
  return pvm_pop_mark(m, &values, &n);
}

/* POP also takes an empty mark. */
static kk_status pvm_drop(kk_pvm *m) {
  kk_pref v;
  if (m->nmarks && m->top == pvm_floor(m)) return pvm_drop_mark(m);
  return pvm_pop(m, &v);
}

static kk_status pvm_dup(kk_pvm *m) {
  kk_pref v = 0;
  kk_status st = pvm_peek(m, -1, &v);
  return st ? st : pvm_push(m, v);
}

static kk_status pvm_int_line(kk_pvm *m) {
  int64_t v = 0;
  bool is_bool = false;
  kk_status st = pvm_line_integer(m, &v, &is_bool);
  if (st) return st;
  return is_bool ? pvm_push_bool(m, v != 0) : pvm_push_int(m, v);
}

static kk_status pvm_int(kk_pvm *m, int width) {
  uint64_t v = 0;
  kk_status st = pvm_number(m, width, &v);
  return st ? st : pvm_push_int(m, width == 4 ? (int64_t)(int32_t)(uint32_t)v : (int64_t)v);
}

static kk_status pvm_counted_long(kk_pvm *m, int width) {
  uint64_t n = 0;
  kk_status st = pvm_number(m, width, &n);
  return st ? st : pvm_long(m, n);
}

static kk_status pvm_protocol(kk_pvm *m) {
  uint64_t v = 0;
  kk_status st = pvm_number(m, 1, &v);
  return st || v <= 5 ? st : kk_pvm_bad(m, "protocol %d, 0 to 5 are known", (int)v);
}

static kk_status pvm_frame(kk_pvm *m) {
  uint64_t n = 0;
  kk_status st = pvm_number(m, 8, &n);
  if (st || n <= (uint64_t)(m->end - m->p)) return st;
  return kk_pvm_bad(m, "a frame of %llu bytes is longer than the file (truncated?)", (unsigned long long)n);
}

/* ---- opcodes ---- */

static kk_status pvm_refuse(kk_pvm *m) { return kk_pvm_bad(m, "an opcode that is not allowed"); }
static kk_status pvm_none(kk_pvm *m) { return pvm_push(m, 0); }
static kk_status pvm_true(kk_pvm *m) { return pvm_push_bool(m, true); }
static kk_status pvm_false(kk_pvm *m) { return pvm_push_bool(m, false); }
static kk_status pvm_memoize(kk_pvm *m) { return pvm_memo_put(m, m->nmemo); }

/* An opcode, its name, and what it does: f alone, or g with its two numbers. */
typedef struct opcode {
  const char *name;
  kk_status (*f)(kk_pvm *m);
  kk_status (*g)(kk_pvm *m, int a);
  int a;
} opcode;

static kk_status pvm_str(kk_pvm *m, int width) { return pvm_counted(m, width, KK_P_STR, false); }
static kk_status pvm_bytes(kk_pvm *m, int width) { return pvm_counted(m, width, KK_P_BYTES, false); }
static kk_status pvm_old(kk_pvm *m, int width) { return pvm_counted(m, width, KK_P_STR, true); }
static kk_status pvm_get(kk_pvm *m, int width) { return width ? pvm_memo_number(m, width, false) : pvm_memo_line(m, false); }
static kk_status pvm_put(kk_pvm *m, int width) { return width ? pvm_memo_number(m, width, true) : pvm_memo_line(m, true); }
static kk_status pvm_tuples(kk_pvm *m, int n) { return pvm_tuple(m, (uint32_t)n); }
static kk_status pvm_empty(kk_pvm *m, int kind) { return pvm_push_new(m, (kk_pvalue){.kind = (uint8_t)kind}); }

static const opcode opcodes[256] = {
  ['('] = {"MARK", pvm_mark, 0, 0},                   ['0'] = {"POP", pvm_drop, 0, 0},
  ['1'] = {"POP_MARK", pvm_drop_mark, 0, 0},          ['2'] = {"DUP", pvm_dup, 0, 0},
  ['F'] = {"FLOAT", pvm_line_float, 0, 0},            ['G'] = {"BINFLOAT", pvm_bin_float, 0, 0},
  ['I'] = {"INT", pvm_int_line, 0, 0},                ['L'] = {"LONG", pvm_int_line, 0, 0},
  ['J'] = {"BININT", 0, pvm_int, 4},                  ['K'] = {"BININT1", 0, pvm_int, 1},
  ['M'] = {"BININT2", 0, pvm_int, 2},                 [0x8a] = {"LONG1", 0, pvm_counted_long, 1},
  [0x8b] = {"LONG4", 0, pvm_counted_long, 4},         ['N'] = {"NONE", pvm_none, 0, 0},
  [0x88] = {"NEWTRUE", pvm_true, 0, 0},               [0x89] = {"NEWFALSE", pvm_false, 0, 0},
  ['S'] = {"STRING", pvm_line_string, 0, 0},          ['T'] = {"BINSTRING", 0, pvm_old, 4},
  ['U'] = {"SHORT_BINSTRING", 0, pvm_old, 1},         ['V'] = {"UNICODE", pvm_line_unicode, 0, 0},
  ['X'] = {"BINUNICODE", 0, pvm_str, 4},              [0x8c] = {"SHORT_BINUNICODE", 0, pvm_str, 1},
  [0x8d] = {"BINUNICODE8", 0, pvm_str, 8},            ['B'] = {"BINBYTES", 0, pvm_bytes, 4},
  ['C'] = {"SHORT_BINBYTES", 0, pvm_bytes, 1},        [0x8e] = {"BINBYTES8", 0, pvm_bytes, 8},
  [0x96] = {"BYTEARRAY8", 0, pvm_bytes, 8},           [']'] = {"EMPTY_LIST", 0, pvm_empty, KK_P_LIST},
  ['}'] = {"EMPTY_DICT", 0, pvm_empty, KK_P_DICT},    [')'] = {"EMPTY_TUPLE", 0, pvm_empty, KK_P_TUPLE},
  [0x8f] = {"EMPTY_SET", 0, pvm_empty, KK_P_SET},     ['l'] = {"LIST", 0, pvm_collect, KK_P_LIST},
  ['t'] = {"TUPLE", 0, pvm_collect, KK_P_TUPLE},      ['d'] = {"DICT", 0, pvm_collect, KK_P_DICT},
  [0x91] = {"FROZENSET", 0, pvm_collect, KK_P_SET},   [0x85] = {"TUPLE1", 0, pvm_tuples, 1},
  [0x86] = {"TUPLE2", 0, pvm_tuples, 2},              [0x87] = {"TUPLE3", 0, pvm_tuples, 3},
  ['a'] = {"APPEND", 0, pvm_put_one, KK_P_LIST},      ['s'] = {"SETITEM", 0, pvm_put_one, KK_P_DICT},
  ['e'] = {"APPENDS", 0, pvm_put_all, KK_P_LIST},     ['u'] = {"SETITEMS", 0, pvm_put_all, KK_P_DICT},
  [0x90] = {"ADDITEMS", 0, pvm_put_all, KK_P_SET},    ['g'] = {"GET", 0, pvm_get, 0},
  ['h'] = {"BINGET", 0, pvm_get, 1},                  ['j'] = {"LONG_BINGET", 0, pvm_get, 4},
  ['p'] = {"PUT", 0, pvm_put, 0},                     ['q'] = {"BINPUT", 0, pvm_put, 1},
  ['r'] = {"LONG_BINPUT", 0, pvm_put, 4},             [0x94] = {"MEMOIZE", pvm_memoize, 0, 0},
  ['c'] = {"GLOBAL", pvm_global, 0, 0},               [0x93] = {"STACK_GLOBAL", pvm_stack_global, 0, 0},
  ['R'] = {"REDUCE", pvm_reduce, 0, 0},               [0x81] = {"NEWOBJ", pvm_reduce, 0, 0},
  ['b'] = {"BUILD", pvm_build, 0, 0},                 ['Q'] = {"BINPERSID", pvm_persistent, 0, 0},
  [0x80] = {"PROTO", pvm_protocol, 0, 0},             [0x95] = {"FRAME", pvm_frame, 0, 0},
  /* make objects of classes, or refer to what only the writing program has */
  ['P'] = {"PERSID", pvm_refuse, 0, 0},               ['i'] = {"INST", pvm_refuse, 0, 0},
  ['o'] = {"OBJ", pvm_refuse, 0, 0},                  [0x92] = {"NEWOBJ_EX", pvm_refuse, 0, 0},
  [0x82] = {"EXT1", pvm_refuse, 0, 0},                [0x83] = {"EXT2", pvm_refuse, 0, 0},
  [0x84] = {"EXT4", pvm_refuse, 0, 0},                [0x97] = {"NEXT_BUFFER", pvm_refuse, 0, 0},
  [0x98] = {"READONLY_BUFFER", pvm_refuse, 0, 0},
};

static kk_status pvm_run(kk_pvm *m) {
  kk_status st = KK_OK;
  while (!st) {
    m->at = (size_t)(m->p - m->begin);
    m->op = "end";
    if (m->p == m->end) return kk_pvm_bad(m, "it ends without STOP (truncated?)");
    uint8_t c = *m->p++;
    if (c == '.') break;
    const opcode *o = &opcodes[c];
    if (!o->name) {
      m->op = "?";
      return kk_pvm_bad(m, "unknown opcode 0x%02x", c);
    }
    m->op = o->name;
    st = o->f ? o->f(m) : o->g(m, o->a);
  }
  m->op = "STOP";
  if (!st && (m->nmarks || m->top != 1)) st = kk_pvm_bad(m, "%u values are left, expected one", m->top);
  return st;
}

kk_status kk_pickle_read(kk_pickle *k, const char *where, const void *p, size_t n, kk_pickle_limits limits, kk_err *e) {
  kk_pvm m = {.k = k, .where = where, .begin = p, .p = p, .end = (const uint8_t *)p + n, .op = "begin", .limit = limits.memory, .e = e};
  kk_pref none;
  kk_status st;
  *k = (kk_pickle){0};
  st = kk_pvm_new(&m, KK_P_NONE, &none);
  if (!st) st = pvm_run(&m);
  if (!st) k->root = m.stack[0];
  k->used = (size_t)(m.p - m.begin);
  kk_free(m.stack, m.stack_cap * sizeof *m.stack);
  kk_free(m.marks, m.marks_cap * sizeof *m.marks);
  kk_free(m.memo, m.memo_cap * sizeof *m.memo);
  if (st) kk_pickle_close(k);
  return st;
}

void kk_pickle_close(kk_pickle *k) {
  for (uint32_t i = 0; i < k->n; i++) {
    kk_pvalue *v = &k->v[i];
    if (v->kind >= KK_P_LIST && v->kind <= KK_P_SET) kk_free(v->u.c.p, v->u.c.cap * sizeof *v->u.c.p);
  }
  for (kk_ptext *t = k->texts, *next; t; t = next) {
    next = t->next;
    kk_free(t, sizeof *t + t->n);
  }
  kk_free(k->v, k->cap * sizeof *k->v);
  *k = (kk_pickle){0};
}

bool kk_pvalue_is(const kk_pvalue *v, const char *text) {
  return v->kind == KK_P_STR && v->u.s.n == strlen(text) && memcmp(v->u.s.p, text, v->u.s.n) == 0;
}

const kk_pvalue *kk_pickle_field(const kk_pickle *k, const kk_pvalue *dict, const char *key) {
  if (dict->kind != KK_P_DICT) return NULL;
  for (uint32_t i = dict->u.c.n; i >= 2; i -= 2)           /* the last one counts */
    if (kk_pvalue_is(&k->v[dict->u.c.p[i - 2]], key)) return &k->v[dict->u.c.p[i - 1]];
  return NULL;
}
