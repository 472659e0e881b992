/* csv.h -- reads delimited text one row at a time: RFC 4180 (quotes, newlines inside quotes), TSV with
** backslash escapes, or plain lines; compressed by gzip or not. Strict UTF-8, bounded rows; errors name the
** file, row and column. */
#ifndef KK_CSV_H
#define KK_CSV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct kk_csv_opts {
  char delimiter;         /* ',', '\t', ...; 0: the whole line is one field            */
  bool quotes;            /* a field that begins with " ends at the next lone "        */
  bool escapes;           /* \n \r \t \\ stand for one character                       */
  bool header;            /* the first row names the columns                           */
  size_t max_row;         /* bytes of one row, 0: 64 MiB                               */
} kk_csv_opts;

enum { KK_CSV_MAX_COLUMNS = 16384 };

typedef struct kk_csv kk_csv;

/* Opens and, with opts->header, reads the first row, which then stands in the fields. An empty file
** with header is KK_EFORMAT. A leading byte order mark is skipped. */
kk_status kk_csv_open(const char *path, const kk_csv_opts *opts, kk_csv **out, kk_err *e);
/* Reads the next row; *more is false at the end. Every row has as many fields as the first one; empty
** lines are skipped when that is more than one. The fields live until the next call. */
kk_status kk_csv_next(kk_csv *r, bool *more, kk_err *e);
void kk_csv_close(kk_csv *r);                  /* NULL is fine */

int kk_csv_fields(const kk_csv *r);
const char *kk_csv_field(const kk_csv *r, int i, size_t *n);    /* i from 0; ends with a NUL that is not counted */
int64_t kk_csv_row(const kk_csv *r);           /* data rows so far: the number of the current one, from 1 */
int64_t kk_csv_line(const kk_csv *r);          /* line of the file on which the current row begins, from 1 */

#endif
