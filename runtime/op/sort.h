/* sort.h -- orderings of lines, shared by sort, argsort and topk. */
#ifndef KK_SORT_H
#define KK_SORT_H

#include "op/axis.h"

/* A key that orders as the element does, nan above everything; and the place. Orders are total: equal keys by place. */
typedef struct kk_sort_item { uint64_t key; int64_t at; } kk_sort_item;

/* Element i of a contiguous tensor as a key; descending: the order turned round. */
uint64_t kk_sort_key(const kk_tensor *t, int64_t i, bool descending);
/* Stable merge sort of n items, ascending by key. spare: room for as many. */
void kk_sort_items(kk_sort_item *v, kk_sort_item *spare, int64_t n);
/* Sorts every line of input 0 along option 0, option 1: descending; calls put for every place of the result.
** c->scratch has kk_sort_scratch bytes. */
typedef void kk_sort_put(kk_call *c, int64_t to, int64_t from, int64_t place);
void kk_sort_lines(kk_call *c, kk_sort_put *put);
size_t kk_sort_scratch(const kk_call *c, bool backward);
kk_status kk_sort_check(const kk_call *c, kk_err *e);

#endif
