/* sqlite.h -- SQLite, opened when first used: one connection, statements with bound values. */
#ifndef KK_SQLITE_H
#define KK_SQLITE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct kk_db kk_db;
typedef struct kk_stmt kk_stmt;

enum { KK_DB_READONLY = 1 };

/* path ":memory:" keeps the database in memory. busy_ms: how long to wait for another writer.
** Long statements end with KK_EINTR when the stop flag is set. */
kk_status kk_db_open(kk_db **db, const char *path, int flags, int busy_ms, kk_err *e);
void kk_db_close(kk_db *db);                     /* NULL is fine; open statements must be finished */
/* Statements without values whose rows nobody wants; needs no memory of ours, so ROLLBACK works when there is none. */
kk_status kk_db_run(kk_db *db, const char *sql, kk_err *e);
int kk_db_in_transaction(const kk_db *db);
int64_t kk_db_changes(const kk_db *db);          /* rows that the last insert, update or delete touched */
int64_t kk_db_last_id(const kk_db *db);

/* Compiles the first statement of sql[0..n). *rest: bytes of sql used. *s is NULL for blanks and comments. */
kk_status kk_stmt_new(kk_stmt **s, kk_db *db, const char *sql, size_t n, size_t *used, kk_err *e);
void kk_stmt_free(kk_stmt *s);                   /* NULL is fine */
int kk_stmt_parameters(const kk_stmt *s);

/* Parameters count from 0. Text is copied. */
kk_status kk_stmt_bind_null(kk_stmt *s, int i, kk_err *e);
kk_status kk_stmt_bind_int(kk_stmt *s, int i, int64_t v, kk_err *e);
kk_status kk_stmt_bind_double(kk_stmt *s, int i, double v, kk_err *e);
kk_status kk_stmt_bind_text(kk_stmt *s, int i, const char *p, size_t n, kk_err *e);

/* *row is 1 when a row is there to be read, 0 at the end. */
kk_status kk_stmt_step(kk_stmt *s, int *row, kk_err *e);

typedef enum kk_cell_type { KK_CELL_NULL, KK_CELL_INT, KK_CELL_DOUBLE, KK_CELL_TEXT } kk_cell_type;
typedef struct kk_cell {
  kk_cell_type type;
  int64_t i;
  double d;
  const char *p;                                 /* lives until the next step */
  size_t n;
} kk_cell;
int kk_stmt_columns(const kk_stmt *s);
const char *kk_stmt_name(const kk_stmt *s, int column);
kk_cell kk_stmt_cell(kk_stmt *s, int column);

#endif
