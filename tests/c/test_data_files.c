/* safetensors and npy: what is saved loads equal; files that lie are refused; no byte crashes the readers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/mem.h"
#include "tensor/npy.h"
#include "tensor/random.h"
#include "tensor/safetensors.h"

static char path[64];

static void write_bytes(const void *p, size_t n) {
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(p, 1, n, f), n);
  fclose(f);
}

static size_t read_bytes(char *p, size_t max) {
  FILE *f = fopen(path, "rb");
  assert_non_null(f);
  size_t n = fread(p, 1, max, f);
  fclose(f);
  return n;
}

static kk_tensor *counted(kk_dtype d, int64_t a, int64_t b) {
  kk_shape s = {2, {a, b}};
  kk_tensor *t = NULL;
  kk_err e;
  assert_int_equal(kk_tensor_new(d, &s, &t, &e), KK_OK);
  for (int64_t i = 0; i < a * b; i++) switch (d) {
    case KK_F32: ((kk_real *)kk_data(t))[i] = (kk_real)(0.5 * (double)i); break;
    case KK_I32: ((int32_t *)kk_data(t))[i] = (int32_t)(-i); break;
    case KK_I64: ((int64_t *)kk_data(t))[i] = i << 40; break;
    default: ((uint8_t *)kk_data(t))[i] = (uint8_t)i;
  }
  return t;
}

/* {"F": [2,3] float32, "I": [1,5] int32, "u": [1,3] uint8} with metadata. */
static void save_small(void) {
  kk_tensor *t[3] = {counted(KK_F32, 2, 3), counted(KK_I32, 1, 5), counted(KK_U8, 1, 3)};
  kk_st_text names[3] = {{"F\"\n", 3}, {"I", 1}, {"\xC3\xBC", 2}};
  kk_st_meta meta[2] = {{{"b", 1}, {"x\ty", 3}}, {{"a", 1}, {"", 0}}};
  kk_err e;
  assert_int_equal(kk_st_save(path, names, t, 3, meta, 2, &e), KK_OK);
  for (int i = 0; i < 3; i++) kk_unref(t[i]);
}

static void named_tensors_and_metadata_come_back(void **state) {
  (void)state;
  size_t before = kk_mem_live();
  kk_st_file f;
  kk_err e;
  save_small();
  assert_int_equal(kk_st_open(path, &f, &e), KK_OK);
  assert_int_equal(f.nitems, 3);
  assert_string_equal(f.items[0].name.p, "F\"\n");
  assert_string_equal(f.items[1].name.p, "I");
  assert_string_equal(f.items[2].name.p, "\xC3\xBC");
  assert_int_equal(f.nmeta, 2);
  assert_string_equal(f.meta[1].value.p, "x\ty");
  assert_int_equal((f.data - (const char *)f.map.p) % 8, 0);
  kk_tensor *want[3] = {counted(KK_F32, 2, 3), counted(KK_I32, 1, 5), counted(KK_U8, 1, 3)};
  for (int i = 0; i < 3; i++) {
    kk_tensor *t = NULL;
    assert_int_equal(kk_st_load(&f, i, &t, &e), KK_OK);
    assert_int_equal(kk_type(t), kk_type(want[i]));
    assert_true(kk_shape_same(&t->shape, &want[i]->shape));
    assert_memory_equal(kk_data(t), kk_data(want[i]), (size_t)kk_numel(&t->shape) * kk_dtype_size(kk_type(t)));
    kk_unref(t);
    kk_unref(want[i]);
  }
  kk_st_close(&f);
  assert_int_equal(kk_mem_live(), before);
}

static void equal_contents_give_equal_files(void **state) {
  (void)state;
  char a[1024], b[1024];
  kk_tensor *x = counted(KK_F32, 2, 2), *y = counted(KK_I64, 1, 2);
  kk_tensor *one[] = {x, y}, *two[] = {y, x};
  kk_st_text n1[] = {{"x", 1}, {"y", 1}}, n2[] = {{"y", 1}, {"x", 1}};
  kk_err e;
  assert_int_equal(kk_st_save(path, n1, one, 2, NULL, 0, &e), KK_OK);
  size_t n = read_bytes(a, sizeof a);
  assert_int_equal(kk_st_save(path, n2, two, 2, NULL, 0, &e), KK_OK);
  assert_int_equal(read_bytes(b, sizeof b), n);
  assert_memory_equal(a, b, n);
  kk_unref(x);
  kk_unref(y);
}

static void a_view_is_written_as_it_looks(void **state) {
  (void)state;
  static const int order[] = {1, 0};
  kk_tensor *t = counted(KK_I32, 2, 3), *v = NULL, *back = NULL;
  kk_st_text name = {"v", 1};
  kk_st_file f;
  kk_err e;
  static const int32_t want[] = {0, -3, -1, -4, -2, -5};
  assert_int_equal(kk_view_permute(t, order, &v, &e), KK_OK);
  assert_int_equal(kk_st_save(path, &name, &v, 1, NULL, 0, &e), KK_OK);
  assert_int_equal(kk_st_open(path, &f, &e), KK_OK);
  assert_int_equal(kk_st_load(&f, 0, &back, &e), KK_OK);
  assert_memory_equal(kk_data(back), want, sizeof want);
  kk_unref(back);
  kk_st_close(&f);
  assert_int_equal(kk_npy_save(path, v, &e), KK_OK);
  assert_int_equal(kk_npy_load(path, &back, &e), KK_OK);
  assert_memory_equal(kk_data(back), want, sizeof want);
  kk_unref(back);
  kk_unref(v);
  kk_unref(t);
}

static void names_that_cannot_be_are_refused(void **state) {
  (void)state;
  kk_tensor *t = counted(KK_I32, 1, 1), *two[] = {t, t};
  kk_st_text same[] = {{"a", 1}, {"a", 1}}, reserved = {"__metadata__", 12}, broken = {"\xFF", 1};
  kk_err e;
  assert_int_equal(kk_st_save(path, same, two, 2, NULL, 0, &e), KK_EARG);
  assert_int_equal(kk_st_save(path, &reserved, two, 1, NULL, 0, &e), KK_EARG);
  assert_int_equal(kk_st_save(path, &broken, two, 1, NULL, 0, &e), KK_EARG);
  kk_unref(t);
}

/* A file with this header and that many bytes of data. */
static kk_status open_header(const char *header, size_t data, kk_err *e) {
  char bytes[2048] = {0};
  uint64_t n = strlen(header);
  kk_st_file f;
  kk_status st;
  memcpy(bytes, &n, 8);
  memcpy(bytes + 8, header, n);
  write_bytes(bytes, 8 + n + data);
  st = kk_st_open(path, &f, e);
  if (!st) kk_st_close(&f);
  return st;
}

static void headers_of_the_format_are_accepted(void **state) {
  (void)state;
  kk_err e;
  assert_int_equal(open_header("{}", 0, &e), KK_OK);
  assert_int_equal(open_header("{}      ", 0, &e), KK_OK);
  assert_int_equal(open_header("{\"__metadata__\":{}}", 0, &e), KK_OK);
  assert_int_equal(open_header("{ \"a\" : {\"shape\" : [ ] , \"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, &e), KK_OK);
  assert_int_equal(open_header("{\"a\":{\"dtype\":\"F32\",\"shape\":[3,0],\"data_offsets\":[0,0]}}", 0, &e), KK_OK);
  assert_int_equal(open_header("{\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]},"
                               "\"a\":{\"dtype\":\"BOOL\",\"shape\":[1],\"data_offsets\":[0,1]}}", 2, &e), KK_OK);
  assert_int_equal(open_header("{\"\\u00fc\\ud83d\\ude00\":{\"dtype\":\"F8_E4M3\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2, &e), KK_OK);
}

static void headers_that_lie_are_refused(void **state) {
  (void)state;
  static const struct { const char *header; size_t data; } bad[] = {
    {"", 0}, {"[]", 0}, {" {}", 0}, {"{}x", 0}, {"{", 0}, {"{\"a\"", 0}, {"{\"a\":", 0}, {"{\"a\":1}", 0}, {"{\"a\":{}}", 0}, {"{,}", 0},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 3},                      /* truncated */
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 5},                      /* more than said */
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[1,5]}}", 5},                      /* a hole */
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],}}", 4},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"offsets\":[0,4]}}", 4},
    {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}", 4},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[01],\"data_offsets\":[0,4]}}", 4},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,4]}}", 4},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0},   /* the product wraps to 0 */
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}", 4},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4},
    {"{\"__metadata__\":{\"a\":1}}", 0}, {"{\"__metadata__\":{\"a\":\"x\",\"a\":\"y\"}}", 0}, {"{\"__metadata__\":{},\"__metadata__\":{}}", 0},
    {"{\"\\ud800\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0},
    {"{\"\\x\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0},
    {"{\"\xFF\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0},
    {"{\"\n\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0},
  };
  kk_err e;
  size_t before = kk_mem_live();
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    if (open_header(bad[i].header, bad[i].data, &e) == KK_OK) print_message("accepted: %s\n", bad[i].header);
    assert_int_equal(open_header(bad[i].header, bad[i].data, &e), KK_EFORMAT);
    assert_non_null(strstr(e.msg, path));
  }
  assert_int_equal(kk_mem_live(), before);
}

static void a_huge_header_length_is_refused_before_anything_is_allocated(void **state) {
  (void)state;
  char bytes[64] = {0};
  kk_st_file f;
  kk_err e;
  kk_mem_peak_reset();
  size_t before = kk_mem_peak();
  memset(bytes, 0xFF, 8);
  write_bytes(bytes, sizeof bytes);
  assert_int_equal(kk_st_open(path, &f, &e), KK_EFORMAT);
  assert_int_equal(kk_mem_peak(), before);
}

/* The grammar has no place for nesting, so that no header can make the reader go deep. */
static void deep_nesting_is_refused_where_it_begins(void **state) {
  (void)state;
  enum { DEEP = 1000000 };
  static const char *const begins[] = {"{\"a\":", "{\"a\":{\"shape\":", "{\"__metadata__\":{\"a\":"};
  char *bytes = kk_alloc(DEEP + 64);
  kk_st_file f;
  kk_err e;
  for (size_t i = 0; i < sizeof begins / sizeof *begins; i++)
    for (int list = 0; list < 2; list++) {
      uint64_t n = DEEP;
      memset(bytes + 8, list ? '[' : '{', DEEP);
      memcpy(bytes, &n, 8);
      memcpy(bytes + 8, begins[i], strlen(begins[i]));
      write_bytes(bytes, DEEP + 8);
      assert_int_equal(kk_st_open(path, &f, &e), KK_EFORMAT);
      assert_non_null(strstr(e.msg, "header, byte "));
    }
  kk_free(bytes, DEEP + 64);
}

/* Six bytes an entry, 32 in memory: the count is limited, so that 100 MB of header do not take gigabytes. */
static void huge_counts_of_entries_are_refused(void **state) {
  (void)state;
  static const char begin[] = "{\"__metadata__\":{", entry[] = "\"\":\"\",";
  const size_t entries = KK_ST_MAX_ITEMS + 1, size = 8 + sizeof begin + entries * (sizeof entry - 1);
  char *bytes = kk_alloc(size);
  uint64_t n = size - 8;
  kk_st_file f;
  kk_err e;
  memcpy(bytes, &n, 8);
  memset(bytes + 8, ' ', size - 8);
  memcpy(bytes + 8, begin, sizeof begin - 1);
  for (size_t i = 0; i < entries; i++) memcpy(bytes + 8 + sizeof begin - 1 + i * (sizeof entry - 1), entry, sizeof entry - 1);
  write_bytes(bytes, size);
  assert_int_equal(kk_st_open(path, &f, &e), KK_EFORMAT);
  assert_non_null(strstr(e.msg, "more than a million entries"));
  kk_free(bytes, size);
}

/* Opens and loads everything that opens; the answer only has to be an answer. */
static int try_safetensors(void) {
  kk_st_file f;
  kk_err e;
  if (kk_st_open(path, &f, &e)) {
    assert_int_equal(e.code, KK_EFORMAT);
    return 0;
  }
  for (int64_t i = 0; i < f.nitems; i++) {
    kk_tensor *t = NULL;
    if (kk_st_load(&f, i, &t, &e)) assert_int_equal(e.code, KK_EFORMAT);
    kk_unref(t);
  }
  kk_st_close(&f);
  return 1;
}

static int try_npy(void) {
  kk_tensor *t = NULL;
  kk_err e;
  if (kk_npy_load(path, &t, &e)) {
    assert_int_equal(e.code, KK_EFORMAT);
    return 0;
  }
  kk_unref(t);
  return 1;
}

/* Every truncation, then random damage of one to four bytes. */
static void damage(int (*try)(void)) {
  char good[1024], bad[1024];
  size_t n = read_bytes(good, sizeof good), before = kk_mem_live();
  uint64_t draw = 0;
  assert_true(try());
  kk_mem_peak_reset();
  for (size_t k = 0; k < n; k++) {
    write_bytes(good, k);
    assert_false(try());
  }
  for (int round = 0; round < 4000; round++) {
    memcpy(bad, good, n);
    for (uint64_t k = kk_random_below(1, draw++, 4) + 1; k > 0; k--) {
      uint64_t at = kk_random_below(1, draw++, n);
      bad[at] = (char)kk_random_below(1, draw++, 256);
    }
    write_bytes(bad, n);
    (void)try();
  }
  assert_int_equal(kk_mem_live(), before);
  assert_true(kk_mem_peak() < before + 65536);
}

static void damaged_safetensors_never_crash(void **state) {
  (void)state;
  save_small();
  damage(try_safetensors);
}

static void damaged_npy_never_crashes(void **state) {
  (void)state;
  kk_tensor *t = counted(KK_F32, 5, 7);
  kk_err e;
  assert_int_equal(kk_npy_save(path, t, &e), KK_OK);
  kk_unref(t);
  damage(try_npy);
}

/* Bit patterns from IEEE 754: halves 1.5, -2, the smallest subnormal, infinity; bfloat16 is the upper half of a float. */
static void narrow_floats_are_widened(void **state) {
  (void)state;
  static const char header[] = "{\"b\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[8,12]},"
                               "\"h\":{\"dtype\":\"F16\",\"shape\":[4],\"data_offsets\":[0,8]},"
                               "\"n\":{\"dtype\":\"I16\",\"shape\":[1],\"data_offsets\":[12,14]},"
                               "\"z\":{\"dtype\":\"U64\",\"shape\":[1],\"data_offsets\":[14,22]}}";
  static const uint16_t data[11] = {0x3E00, 0xC000, 0x0001, 0x7C00, 0x3FC0, 0xC000, 0x8000};
  char bytes[512];
  uint64_t n = sizeof header - 1;
  kk_st_file f;
  kk_tensor *t = NULL;
  kk_err e;
  memcpy(bytes, &n, 8);
  memcpy(bytes + 8, header, n);
  memcpy(bytes + 8 + n, data, sizeof data);
  write_bytes(bytes, 8 + n + sizeof data);
  assert_int_equal(kk_st_open(path, &f, &e), KK_OK);
  assert_int_equal(kk_st_load(&f, 0, &t, &e), KK_OK);
  assert_true(kk_get(t, 0) == 1.5 && kk_get(t, 1) == -2);
  kk_unref(t);
  assert_int_equal(kk_st_load(&f, 1, &t, &e), KK_OK);
  assert_true(kk_get(t, 0) == 1.5 && kk_get(t, 1) == -2 && kk_get(t, 2) == 0x1p-24 && kk_get(t, 3) == (double)INFINITY);
  kk_unref(t);
  assert_int_equal(kk_st_load(&f, 2, &t, &e), KK_OK);
  assert_true(kk_get(t, 0) == -32768);
  kk_unref(t);
  assert_int_equal(kk_st_load(&f, 3, &t, &e), KK_EFORMAT);
  assert_non_null(strstr(e.msg, "U64"));
  kk_st_close(&f);
}

static void npy_of_every_rank_comes_back(void **state) {
  (void)state;
  kk_err e;
  for (int rank = 0; rank <= 6; rank++) {
    kk_shape s = {.ndim = rank, .n = {2, 3, 1, 2, 1, 2}};
    kk_tensor *t = NULL, *back = NULL;
    assert_int_equal(kk_tensor_zeros(KK_I64, &s, &t, &e), KK_OK);
    for (int64_t i = 0; i < kk_numel(&s); i++) ((int64_t *)kk_data(t))[i] = i * i;
    assert_int_equal(kk_npy_save(path, t, &e), KK_OK);
    assert_int_equal(kk_npy_load(path, &back, &e), KK_OK);
    assert_true(kk_shape_same(&t->shape, &back->shape));
    assert_memory_equal(kk_data(t), kk_data(back), (size_t)kk_numel(&s) * 8);
    kk_unref(t);
    kk_unref(back);
  }
}

static void npy_with_the_first_axis_fastest_is_turned(void **state) {
  (void)state;
  static const char header[] = "\x93NUMPY\1\0\x38\0{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3)}";
  char bytes[128] = {0};
  kk_tensor *t = NULL;
  kk_err e;
  size_t n = sizeof header - 1;
  memcpy(bytes, header, n);
  memcpy(bytes + n, "\0\3\1\4\2\5", 6);
  write_bytes(bytes, n + 6);
  assert_int_equal(kk_npy_load(path, &t, &e), KK_OK);
  for (int64_t i = 0; i < 6; i++) assert_true(kk_get(t, i) == (double)i);
  kk_unref(t);
}

static void every_failing_allocation_leaves_nothing_behind(void **state) {
  (void)state;
  kk_err e;
  save_small();
  size_t before = kk_mem_live();
  for (long k = 0;; k++) {
    kk_st_file f;
    kk_mem_fail_after(k);
    kk_status st = kk_st_open(path, &f, &e);
    kk_mem_fail_after(-1);
    if (!st) {
      kk_st_close(&f);
      assert_true(k >= 3);
      break;
    }
    assert_int_equal(st, KK_ENOMEM);
    assert_int_equal(kk_mem_live(), before);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(named_tensors_and_metadata_come_back),
    cmocka_unit_test(equal_contents_give_equal_files),
    cmocka_unit_test(a_view_is_written_as_it_looks),
    cmocka_unit_test(names_that_cannot_be_are_refused),
    cmocka_unit_test(headers_of_the_format_are_accepted),
    cmocka_unit_test(headers_that_lie_are_refused),
    cmocka_unit_test(a_huge_header_length_is_refused_before_anything_is_allocated),
    cmocka_unit_test(deep_nesting_is_refused_where_it_begins),
    cmocka_unit_test(huge_counts_of_entries_are_refused),
    cmocka_unit_test(damaged_safetensors_never_crash),
    cmocka_unit_test(damaged_npy_never_crashes),
    cmocka_unit_test(narrow_floats_are_widened),
    cmocka_unit_test(npy_of_every_rank_comes_back),
    cmocka_unit_test(npy_with_the_first_axis_fastest_is_turned),
    cmocka_unit_test(every_failing_allocation_leaves_nothing_behind),
  };
  cmocka_set_message_output(CM_OUTPUT_TAP);
  snprintf(path, sizeof path, "/tmp/kk-files-%ld", (long)getpid());
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  unlink(path);
  return failed;
}
