/* spm.h -- sub-word models: SentencePiece behind a C interface that no exception leaves.
**
** Ids count from 0. Every function may be called from several threads at once on one model. */
#ifndef KK_SPM_H
#define KK_SPM_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kk_spm kk_spm;

/* Each gives a reference. KK_EFORMAT for bytes that are not a sound model: the file's structure, its
** pieces and its normalizer's table are checked before the library sees them (kk_spm_check). */
kk_status kk_spm_load(const char *path, kk_spm **out, kk_err *e);
kk_status kk_spm_parse(const void *bytes, size_t n, const char *what, kk_spm **out, kk_err *e);
kk_spm *kk_spm_ref(kk_spm *m);
void kk_spm_unref(kk_spm *m);                    /* NULL is fine */

/* The check alone; what names the bytes in messages. */
kk_status kk_spm_check(const void *bytes, size_t n, const char *what, kk_err *e);

/* 1 when the model cuts each word (text between spaces) as if it stood alone, so that words can be
** remembered: a BPE model whose pieces never reach over a space. bytes passed the check. */
int kk_spm_by_word(const void *bytes, size_t n);

int32_t kk_spm_size(const kk_spm *m);
int32_t kk_spm_id(const kk_spm *m, const char *piece);      /* -1 when it is no piece */
const char *kk_spm_piece(const kk_spm *m, int32_t id);      /* lent; NULL when id is out of range */
double kk_spm_score(const kk_spm *m, int32_t id);
typedef enum kk_spm_special { KK_SPM_UNK, KK_SPM_BOS, KK_SPM_EOS, KK_SPM_PAD } kk_spm_special;
int32_t kk_spm_special_id(const kk_spm *m, kk_spm_special s);   /* -1 when the model has none */

/* Ids of one text in a block of *n * 4 bytes (kk_free(*ids, *n * 4)). KK_EFORMAT: not UTF-8. */
kk_status kk_spm_encode(const kk_spm *m, const char *text, size_t len, int32_t **ids, size_t *n, kk_err *e);
/* The same, cut at random: for BPE each merge is left out with probability alpha (BPE-dropout,
** arXiv 1910.13267); for unigram a segmentation is drawn with probability ~ p^alpha among all (arXiv
** 1804.10959). The same seed gives the same ids. */
kk_status kk_spm_sample(const kk_spm *m, const char *text, size_t len, double alpha, uint32_t seed, int32_t **ids,
                        size_t *n, kk_err *e);
/* Many texts on all threads; text i is ids[offsets[i]] .. ids[offsets[i+1]-1]. prefix and suffix are
** put around each text, -1 = none. The caller owns ids (*nids * 4 bytes) and offsets ((n + 1) * 8). */
kk_status kk_spm_encode_many(const kk_spm *m, size_t n, const char *const *texts, const size_t *lens, int32_t prefix,
                             int32_t suffix, int32_t **ids, size_t *nids, int64_t **offsets, kk_err *e);
/* Appends the text of ids to out. KK_EARG for an id out of range. */
kk_status kk_spm_decode(const kk_spm *m, const int32_t *ids, size_t n, kk_buf *out, kk_err *e);

/* Trains on the lines of a file and writes the model to path, whole or not at all. args: name,
** value, name, value, ..., NULL in the words of spm_train. Only for a process of its own: the library
** may end it, and it is killed when its standard input closes, that is when its parent goes. */
kk_status kk_spm_train(const char *input, const char *path, const char *const *args, int verbose, kk_err *e);

#ifdef __cplusplus
}
#endif

#endif
