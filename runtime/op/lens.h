/* lens.h -- sequences of several lengths in one batch: rows sorted from long to short, so that the rows
** still alive at step t are the first ones, and live rows of all steps lie one behind the other. */
#ifndef KK_LENS_H
#define KK_LENS_H

#include "op/op.h"

/* lens: [B] int32 or NULL (every row has T steps). */
kk_status kk_lens_check(const char *op, const int32_t *lens, int64_t T, int64_t B, kk_err *e);
int64_t kk_lens_total(const int32_t *lens, int64_t T, int64_t B);                 /* live rows of all steps */
void kk_lens_first(const int32_t *lens, int64_t T, int64_t B, int64_t *first);    /* [T+1] where each step's begin */

#endif
