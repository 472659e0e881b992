/* spm_check.c -- is a file a sound SentencePiece model? Asked before the library sees it, because the
** library trusts the file: it would follow the offsets of a damaged normalizer table anywhere.
**
** A model is a protobuf message: field 1 the pieces {1 text, 2 score, 3 type}, 2 the trainer's
** settings, 3 and 5 the normalizers {2 table}. The table is a double-array trie (Aoe 1989) of
** 32-bit units and the strings that it points into. */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "text/spm.h"
#include "text/utf8.h"

enum { CHECK_MAX_PIECES = 1 << 20, CHECK_MAX_PIECE = 4096 };

typedef struct field { uint32_t number, type; uint64_t value; const unsigned char *p; size_t n; } field;
typedef struct reader { const unsigned char *p; size_t n; } reader;

static bool check_varint(reader *r, uint64_t *v) {
  *v = 0;
  for (unsigned shift = 0; shift < 64 && r->n; shift += 7) {
    unsigned char c = *r->p++;
    r->n--;
    *v |= (uint64_t)(c & 127) << shift;
    if (c < 128) return true;
  }
  return false;
}

/* Reads the next field of a message; false when it is broken. */
static bool check_field(reader *r, field *f) {
  uint64_t key, len;
  *f = (field){0};
  if (!check_varint(r, &key) || key >> 3 == 0 || key >> 3 > 0x1FFFFFFF) return false;
  f->number = (uint32_t)(key >> 3);
  f->type = (uint32_t)(key & 7);
  switch (f->type) {
  case 0: return check_varint(r, &f->value);
  case 1: len = 8; break;
  case 2:
    if (!check_varint(r, &len)) return false;
    break;
  case 5: len = 4; break;
  default: return false;
  }
  if (len > r->n) return false;
  f->p = r->p;
  f->n = (size_t)len;
  r->p += len;
  r->n -= (size_t)len;
  return true;
}

static uint32_t check_u32(const unsigned char *p) {
  return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Every unit of the trie leads to a whole block of 256 units inside the trie, and every value to a
** string inside the rest: then no text can lead the search out of the table. */
static bool check_table(const unsigned char *p, size_t n) {
  if (n == 0) return true;
  if (n < 4 + 1024 + 1) return false;
  size_t bytes = check_u32(p), units = bytes / 4, strings;
  if (bytes > n - 5 || bytes % 1024 != 0 || units == 0) return false;
  const unsigned char *trie = p + 4;
  strings = n - 4 - bytes;
  if (trie[bytes + strings - 1] != 0) return false;
  for (size_t i = 0; i < units; i++) {
    uint32_t u = check_u32(trie + 4 * i);
    if (u >> 31) continue;                                  /* a value, reached below */
    size_t base = i ^ (size_t)((u >> 10) << ((u & (1u << 9)) >> 6));
    if ((base | 255) >= units) return false;
    if ((u >> 8 & 1) && (check_u32(trie + 4 * base) & 0x7FFFFFFF) >= strings) return false;
  }
  return !memchr(trie + bytes, 0xFF, strings) && kk_utf8_check((const char *)trie + bytes, strings) == strings;
}

static bool check_normalizer(const field *f) {
  reader r = {f->p, f->n};
  field g;
  if (f->type != 2) return false;
  while (r.n)
    if (!check_field(&r, &g) || (g.number == 2 && (g.type != 2 || !check_table(g.p, g.n)))) return false;
  return true;
}

static bool check_message(const field *f) {
  reader r = {f->p, f->n};
  field g;
  if (f->type != 2) return false;
  while (r.n)
    if (!check_field(&r, &g)) return false;
  return true;
}

enum { PIECE_NORMAL = 1, PIECE_UNKNOWN, PIECE_CONTROL, PIECE_USER, PIECE_UNUSED, PIECE_BYTE };

static bool check_byte_name(const unsigned char *p, size_t n) {
  return n == 6 && memcmp(p, "<0x", 3) == 0 && p[5] == '>' && strchr("0123456789ABCDEF", p[3]) &&
         strchr("0123456789ABCDEF", p[4]) && p[3] && p[4];
}

static bool check_piece(const field *f, size_t *unknown) {
  reader r = {f->p, f->n};
  field g, text = {0};
  uint64_t type = PIECE_NORMAL;
  float score = 0;
  if (f->type != 2) return false;
  while (r.n) {
    if (!check_field(&r, &g)) return false;
    if (g.number == 1) text = g;
    else if (g.number == 2 && g.type == 5) memcpy(&score, g.p, 4);
    else if (g.number == 3 && g.type == 0) type = g.value;
  }
  if (text.type != 2 || text.n == 0 || text.n > CHECK_MAX_PIECE || memchr(text.p, 0, text.n)) return false;
  if (kk_utf8_check((const char *)text.p, text.n) != text.n) return false;
  if (!isfinite(score) || type < PIECE_NORMAL || type > PIECE_BYTE) return false;
  if (type == PIECE_BYTE && !check_byte_name(text.p, text.n)) return false;
  *unknown += type == PIECE_UNKNOWN;
  return true;
}

kk_status kk_spm_check(const void *bytes, size_t n, const char *what, kk_err *e) {
  reader r = {bytes, n};
  field f;
  size_t pieces = 0, unknown = 0;
  if (n == 0) return kk_fail(e, KK_EFORMAT, "%s: empty, expected a SentencePiece model", what);
  while (r.n) {
    size_t at = n - r.n;
    if (!check_field(&r, &f))
      return kk_fail(e, KK_EFORMAT, "%s: not a SentencePiece model, or truncated (byte %zu)", what, at + 1);
    if (f.number == 1 && (++pieces > CHECK_MAX_PIECES || !check_piece(&f, &unknown)))
      return kk_fail(e, KK_EFORMAT, "%s: piece %zu of the SentencePiece model is damaged (byte %zu)", what, pieces, at + 1);
    if ((f.number == 3 || f.number == 5) && !check_normalizer(&f))
      return kk_fail(e, KK_EFORMAT, "%s: the normalizer of the SentencePiece model is damaged (byte %zu)", what, at + 1);
    if ((f.number == 2 || f.number == 4) && !check_message(&f))
      return kk_fail(e, KK_EFORMAT, "%s: the settings of the SentencePiece model are damaged (byte %zu)", what, at + 1);
  }
  if (pieces == 0) return kk_fail(e, KK_EFORMAT, "%s: a SentencePiece model has pieces, this has none", what);
  if (unknown != 1)
    return kk_fail(e, KK_EFORMAT, "%s: a SentencePiece model has one unknown piece, this has %zu", what, unknown);
  return KK_OK;
}

/* The number in a field of a message, or dflt when it is not there. */
static uint64_t check_number(const field *f, uint32_t number, uint64_t dflt) {
  reader r = {f->p, f->n};
  field g;
  while (r.n && check_field(&r, &g))
    if (g.number == number && g.type == 0) dflt = g.value;
  return dflt;
}

static bool check_inner_space(const field *piece) {
  reader r = {piece->p, piece->n};
  field g;
  while (r.n && check_field(&r, &g))
    if (g.number == 1)
      for (size_t i = 1; i + 3 <= g.n; i++)
        if (memcmp(g.p + i, "\xE2\x96\x81", 3) == 0) return true;   /* U+2581 stands for a space */
  return false;
}

int kk_spm_by_word(const void *bytes, size_t n) {
  enum { BPE = 2 };
  reader r = {bytes, n};
  field f;
  bool bpe = false, plain = true;
  while (r.n && check_field(&r, &f)) {
    if (f.number == 1 && check_inner_space(&f)) return 0;
    if (f.number == 2) bpe = check_number(&f, 3, 1) == BPE && !check_number(&f, 24, 0);   /* spaces lead words */
    if (f.number == 3) plain = check_number(&f, 3, 1) && check_number(&f, 4, 1) && check_number(&f, 5, 1);
  }
  return bpe && plain;
}
