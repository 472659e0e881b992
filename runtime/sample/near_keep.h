/* near_keep.h -- the candidates of one point while its neighbours are looked for. "Value" is the squared distance, or its
** negative where the farthest are wanted: small is good. */
#ifndef KK_NEAR_KEEP_H
#define KK_NEAR_KEEP_H

#include "sample/near.h"

typedef struct kk_candidate {
  double exact;            /* the value, once known */
  kk_real low, up;         /* bounds of it          */
  int32_t at;              /* position in data      */
  int32_t known;
} kk_candidate;

typedef struct kk_keep {
  int32_t n, measured;     /* candidates; how many were measured so far      */
  kk_real limit;           /* what lies above this cannot be among the k     */
} kk_keep;

/* What all points share. room: kk_keep_room(k) candidates a point. */
typedef struct kk_keeping {
  const kk_points *query, *data;
  int64_t k, room;
  double sign;
} kk_keeping;

int64_t kk_keep_room(int64_t k);
/* Makes place in c [room]; scratch: room numbers. */
void kk_keep_settle(const kk_keeping *j, int64_t point, kk_keep *s, kk_candidate *c, kk_real *scratch);
/* The best k, measured, in order. */
void kk_keep_finish(const kk_keeping *j, int64_t point, kk_keep *s, kk_candidate *c, kk_real *scratch);

#endif
