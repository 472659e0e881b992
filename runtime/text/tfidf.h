/* tfidf.h -- words and word pairs, or runs of characters, of texts as sparse rows (term frequency * inverse document
** frequency).
**
** Texts become lower case without accents; a token is a run of non-spaces in which each sign of
** ASCII punctuation but \ and of “”¨«»®´·º½¾¿¡§£₤‘’ is a token of its own (the tokens of the NB-SVM
** baseline of HAHA 2019), or a run of two word characters or more (scikit-learn's default). Terms are
** tokens and runs of up to `ngrams` tokens. Of characters: texts become lower case and keep their accents; a word is a
** run of non-spaces with a space on each side, and terms are its runs of up to `ngrams` code points (scikit-learn's
** char_wb). Of cased characters: texts stay as they are but for runs of spaces, which become one; terms are all runs of up
** to `ngrams` code points, across words (scikit-learn's char with lowercase=False). With N texts of which df hold a term:
**   value = tf * (ln((1 + N) / (1 + df)) + 1), tf = 1 + ln(count) or count; rows have Euclidean norm 1. */
#ifndef KK_TFIDF_H
#define KK_TFIDF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct kk_tfidf kk_tfidf;

/* Non-spaces and signs; \w\w+; characters of words in lower case; characters as they stand. */
typedef enum kk_tokens { KK_SIGNS, KK_WORDS, KK_CHARACTERS, KK_CASED } kk_tokens;

typedef struct kk_tfidf_opts {
  int ngrams;          /* 1..8, tokens or characters of a term at most   */
  int64_t min_df;      /* terms of fewer texts are left out              */
  double max_df;       /* and of more than this share of the texts       */
  bool sublinear;      /* tf = 1 + ln(count)                             */
  kk_tokens tokens;
} kk_tfidf_opts;

#define KK_TFIDF_DEFAULTS ((kk_tfidf_opts){.ngrams = 2, .min_df = 3, .max_df = .9, .sublinear = true})

/* Sparse rows: row i holds columns col[k] (from 0, ascending) and values val[k], start[i] <= k < start[i+1]. */
typedef struct kk_csr {
  int64_t rows, cols;
  int64_t *start;      /* rows + 1 */
  int32_t *col;
  double *val;
} kk_csr;

void kk_csr_free(kk_csr *x);

/* Learns the terms of the texts and gives their rows. KK_EFORMAT for text that is not UTF-8, KK_EARG
** when no term is left. */
kk_status kk_tfidf_fit(size_t n, const char *const *texts, const size_t *lens, const kk_tfidf_opts *o, kk_tfidf **out,
                       kk_csr *x, kk_err *e);
/* Rows of other texts over the same terms; unknown terms do not count. */
kk_status kk_tfidf_rows(const kk_tfidf *t, size_t n, const char *const *texts, const size_t *lens, kk_csr *x,
                        kk_err *e);
int32_t kk_tfidf_size(const kk_tfidf *t);
const char *kk_tfidf_term(const kk_tfidf *t, int32_t col, size_t *len);   /* lent, not NUL-terminated */
void kk_tfidf_free(kk_tfidf *t);                                        /* NULL is fine */

#endif
