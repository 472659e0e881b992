/* clean.h -- what neighbours say of a row: how many are of another class, is it in a Tomek link, would they have given it
** its class. Classes are codes from 0. */
#ifndef KK_CLEAN_H
#define KK_CLEAN_H

#include <stdbool.h>
#include <stdint.h>

/* near [m,k]: positions in code. foreign[i]: how many neighbours of point i are not of class own[i]. */
void kk_clean_foreign(const int32_t *near, int64_t m, int64_t k, const int32_t *own, const int32_t *code, int32_t *foreign);
/* most[i]: the class that most neighbours of point i have, the lowest of those with as many; count: room for `classes`. */
void kk_clean_most(const int32_t *near, int64_t m, int64_t k, const int32_t *code, int32_t classes, int32_t *count, int32_t *most);
/* first [n]: each point's nearest other one. link[i]: i and its nearest are each other's and of two classes (Tomek 1976). */
void kk_clean_links(const int32_t *first, int64_t n, const int32_t *code, uint8_t *link);

#endif
