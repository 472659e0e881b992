/* weights.h -- forms of an op's weights that outlive the call, so that a message need not wait for packing. */
#ifndef KK_WEIGHTS_H
#define KK_WEIGHTS_H

#include "linalg/q8.h"
#include "op/op.h"
#include "tensor/derived.h"

enum { KK_WEIGHTS_LEAST = 1 << 14 };     /* elements below which packing costs nothing worth keeping */

/* Where the form `kind` of input i, in this layout, lies or will lie (filled says); NULL: make it for this call alone.
** While training weights change at each step and memory is dear: a recording call drops what there is. `room`: make room for it. */
kk_derived *kk_weights_form(const kk_call *c, int i, const void *kind, const void *layout, size_t size, bool room);

/* Input i, bytes [n,k], packed: in its kept form, or in `room` (kk_q8_bytes) where that is NULL. */
kk_q8 kk_weights_q8(const kk_call *c, int i, kk_derived *keep, void *room, int64_t k, int64_t n, int64_t parts);
kk_status kk_weights_q8_check(const kk_call *c, int64_t k, kk_err *e);     /* widths that sums in 32 bits can hold */

#endif
