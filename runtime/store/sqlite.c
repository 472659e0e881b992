#include "store/sqlite.h"

#include <sqlite3.h>

#include "base/dl.h"
#include "base/mem.h"
#include "base/stop.h"

struct kk_db { sqlite3 *h; };
struct kk_stmt { kk_db *db; sqlite3_stmt *h; };

#define SQLITE_CALLS(X) \
  X(open_v2) X(close_v2) X(errmsg) X(extended_errcode) X(extended_result_codes) X(busy_timeout) X(progress_handler) \
  X(get_autocommit) X(changes) X(last_insert_rowid) X(prepare_v2) X(finalize) X(step) X(bind_parameter_count) \
  X(bind_null) X(bind_int64) X(bind_double) X(bind_text) X(column_count) X(column_name) X(column_type) \
  X(column_int64) X(column_double) X(column_blob) X(column_bytes) X(errstr) X(exec)

#define X(name) __typeof__(sqlite3_##name) *name;
static struct { SQLITE_CALLS(X) } sq;
#undef X

static kk_status sqlite_load(kk_err *e) {
  static kk_dl state;
#define X(name) {"sqlite3_" #name, (void **)&sq.name},
  static const kk_dl_sym syms[] = {SQLITE_CALLS(X){NULL, NULL}};
#undef X
  static const char *const files[] = {"libsqlite3.so.0", "libsqlite3.dylib", NULL};
  return kk_dl_load(&state, "sqlite", files, syms, e);
}

static kk_status sqlite_fail(kk_db *db, const char *what, int rc, kk_err *e) {
  if ((rc & 0xFF) == SQLITE_INTERRUPT) return kk_fail(e, KK_EINTR, "%s: interrupted", what);
  if ((rc & 0xFF) == SQLITE_NOMEM) return kk_fail(e, KK_ENOMEM, "%s: out of memory", what);
  return kk_fail(e, KK_EDB, "%s: %s (SQLite %d)", what, db && db->h ? sq.errmsg(db->h) : sq.errstr(rc), rc);
}

static int sqlite_progress(void *arg) {
  (void)arg;
  return kk_stop_requested();
}

kk_status kk_db_open(kk_db **out, const char *path, int flags, int busy_ms, kk_err *e) {
  int mode = flags & KK_DB_READONLY ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, rc;
  kk_status st = sqlite_load(e);
  kk_db *db;
  if (st) return st;
  db = kk_calloc(sizeof *db);
  if (!db) return kk_fail(e, KK_ENOMEM, "sqlite.open: out of memory");
  rc = sq.open_v2(path, &db->h, mode, NULL);
  if (rc) {
    st = kk_fail(e, KK_EDB, "sqlite.open: %s: %s", path, db->h ? sq.errmsg(db->h) : sq.errstr(rc));
    kk_db_close(db);
    return st;
  }
  sq.extended_result_codes(db->h, 1);
  sq.busy_timeout(db->h, busy_ms);
  sq.progress_handler(db->h, 100000, sqlite_progress, NULL);
  *out = db;
  return KK_OK;
}

void kk_db_close(kk_db *db) {
  if (!db) return;
  if (db->h) sq.close_v2(db->h);
  kk_free(db, sizeof *db);
}

kk_status kk_db_run(kk_db *db, const char *sql, kk_err *e) {
  int rc = sq.exec(db->h, sql, NULL, NULL, NULL);
  return rc ? sqlite_fail(db, "sqlite", rc, e) : KK_OK;
}

int kk_db_in_transaction(const kk_db *db) { return !sq.get_autocommit(db->h); }
int64_t kk_db_changes(const kk_db *db) { return sq.changes(db->h); }
int64_t kk_db_last_id(const kk_db *db) { return sq.last_insert_rowid(db->h); }

kk_status kk_stmt_new(kk_stmt **out, kk_db *db, const char *sql, size_t n, size_t *used, kk_err *e) {
  const char *tail = sql;
  kk_stmt *s;
  int rc;
  *out = NULL;
  if (n > 1 << 30) return kk_fail(e, KK_EARG, "sqlite: a statement of %zu bytes, at most %d", n, 1 << 30);
  s = kk_calloc(sizeof *s);
  if (!s) return kk_fail(e, KK_ENOMEM, "sqlite: out of memory");
  s->db = db;
  rc = sq.prepare_v2(db->h, sql, (int)n, &s->h, &tail);
  if (rc || !s->h) {
    kk_free(s, sizeof *s);
    s = NULL;
  }
  if (rc) return sqlite_fail(db, "sqlite", rc, e);
  *used = (size_t)(tail - sql);
  *out = s;
  return KK_OK;
}

void kk_stmt_free(kk_stmt *s) {
  if (!s) return;
  sq.finalize(s->h);
  kk_free(s, sizeof *s);
}

int kk_stmt_parameters(const kk_stmt *s) { return sq.bind_parameter_count(s->h); }

static kk_status stmt_bound(kk_stmt *s, int rc, kk_err *e) {
  return rc ? sqlite_fail(s->db, "sqlite: parameter", rc, e) : KK_OK;
}

kk_status kk_stmt_bind_null(kk_stmt *s, int i, kk_err *e) { return stmt_bound(s, sq.bind_null(s->h, i + 1), e); }

kk_status kk_stmt_bind_int(kk_stmt *s, int i, int64_t v, kk_err *e) {
  return stmt_bound(s, sq.bind_int64(s->h, i + 1, v), e);
}

kk_status kk_stmt_bind_double(kk_stmt *s, int i, double v, kk_err *e) {
  return stmt_bound(s, sq.bind_double(s->h, i + 1, v), e);
}

kk_status kk_stmt_bind_text(kk_stmt *s, int i, const char *p, size_t n, kk_err *e) {
  if (n > 1 << 30) return kk_fail(e, KK_EARG, "sqlite: text of %zu bytes, at most %d", n, 1 << 30);
  return stmt_bound(s, sq.bind_text(s->h, i + 1, p, (int)n, SQLITE_TRANSIENT), e);
}

kk_status kk_stmt_step(kk_stmt *s, int *row, kk_err *e) {
  int rc = sq.step(s->h);
  *row = rc == SQLITE_ROW;
  return rc == SQLITE_ROW || rc == SQLITE_DONE ? KK_OK : sqlite_fail(s->db, "sqlite", rc, e);
}

int kk_stmt_columns(const kk_stmt *s) { return sq.column_count(s->h); }
const char *kk_stmt_name(const kk_stmt *s, int column) { return sq.column_name(s->h, column); }

kk_cell kk_stmt_cell(kk_stmt *s, int column) {
  kk_cell c = {.type = KK_CELL_NULL};
  switch (sq.column_type(s->h, column)) {
  case SQLITE_INTEGER:
    c.type = KK_CELL_INT;
    c.i = sq.column_int64(s->h, column);
    break;
  case SQLITE_FLOAT:
    c.type = KK_CELL_DOUBLE;
    c.d = sq.column_double(s->h, column);
    break;
  case SQLITE_TEXT:
  case SQLITE_BLOB:
    c.type = KK_CELL_TEXT;
    c.p = sq.column_blob(s->h, column);
    c.n = (size_t)sq.column_bytes(s->h, column);
    if (!c.p) c.p = "", c.n = 0;        /* empty, or out of memory: the next step reports that */
    break;
  default: break;
  }
  return c;
}
