/* test_tensor.c -- tensors without Lua: storage and its references, views, copies, printing of shapes, and exp. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/pool.h"
#include "grad/tape.h"
#include "op/vmath.h"

static kk_err e;

/* 1, 2, 3, ... in a shape. */
static kk_tensor *counted(kk_dtype d, kk_shape s) {
  kk_tensor *t = NULL;
  assert_int_equal(kk_tensor_new(d, &s, &t, &e), KK_OK);
  for (int64_t i = 0; i < t->store->n; i++) {
    if (d == KK_F32) ((kk_real *)t->store->data)[i] = (kk_real)(i + 1);
    else if (d == KK_I32) ((int32_t *)t->store->data)[i] = (int32_t)(i + 1);
    else if (d == KK_I64) ((int64_t *)t->store->data)[i] = i + 1;
    else ((uint8_t *)t->store->data)[i] = (uint8_t)(i + 1);
  }
  return t;
}

static void assert_values(const kk_tensor *t, int n, const double *want) {
  assert_int_equal(kk_numel(&t->shape), n);
  for (int i = 0; i < n; i++) assert_true(kk_get(t, kk_element_offset(t, i)) == want[i]);
}

static void a_view_keeps_its_storage_alive(void **state) {
  (void)state;
  size_t live = kk_mem_live();
  kk_tensor *t = counted(KK_F32, (kk_shape){2, {2, 3}}), *v = NULL;
  assert_int_equal(kk_view_select(t, 0, 1, &v, &e), KK_OK);
  kk_unref(t);
  assert_values(v, 3, (double[]){4, 5, 6});
  kk_unref(v);
  assert_int_equal(kk_mem_live(), live);
}

static void views_compose(void **state) {
  (void)state;
  kk_tensor *t = counted(KK_I32, (kk_shape){3, {2, 3, 4}}), *p = NULL, *n = NULL, *s = NULL, *r = NULL;
  assert_int_equal(kk_view_permute(t, (int[]){2, 0, 1}, &p, &e), KK_OK);
  assert_int_equal(kk_view_narrow(p, 0, 1, 2, 2, &n, &e), KK_OK);
  assert_int_equal(kk_view_select(n, 1, 1, &s, &e), KK_OK);
  assert_values(s, 6, (double[]){14, 18, 22, 16, 20, 24});
  assert_int_equal(kk_view_reshape(s, &(kk_shape){1, {6}}, &r, &e), KK_ESHAPE);
  assert_null(r);
  assert_int_equal(kk_view_reshape(p, &(kk_shape){3, {4, 1, 6}}, &r, &e), KK_OK);
  assert_values(r, 24, (double[]){1, 5, 9, 13, 17, 21, 2, 6, 10, 14, 18, 22, 3, 7, 11, 15, 19, 23, 4, 8, 12, 16, 20, 24});
  kk_unref(r);
  kk_unref(s);
  kk_unref(n);
  kk_unref(p);
  kk_unref(t);
}

/* Every view that reshape grants reads the same elements in the same order as a copy does. */
static void reshape_agrees_with_a_copy_wherever_it_gives_a_view(void **state) {
  static const kk_shape targets[] = {{1, {24}}, {2, {4, 6}}, {2, {6, 4}}, {3, {2, 3, 4}}, {3, {4, 3, 2}}, {4, {2, 1, 12, 1}}, {2, {-1, 8}}};
  static const int orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
  int granted = 0;
  (void)state;
  for (int o = 0; o < 6; o++)
    for (size_t k = 0; k < sizeof targets / sizeof *targets; k++) {
      kk_tensor *t = counted(KK_F32, (kk_shape){3, {2, 3, 4}}), *p = NULL, *v = NULL, *c = NULL;
      assert_int_equal(kk_view_permute(t, orders[o], &p, &e), KK_OK);
      assert_int_equal(kk_contiguous_copy(p, KK_F32, &c, &e), KK_OK);
      if (kk_view_reshape(p, &targets[k], &v, &e) == KK_OK) {
        granted++;
        for (int64_t i = 0; i < 24; i++) assert_true(kk_get(v, kk_element_offset(v, i)) == kk_get(c, i));
      } else {
        assert_true(o > 0);
      }
      kk_unref(v);
      kk_unref(c);
      kk_unref(p);
      kk_unref(t);
    }
  assert_true(granted >= 7);
}

static void expanded_views_repeat_and_refuse_writes(void **state) {
  (void)state;
  kk_tensor *t = counted(KK_F32, (kk_shape){2, {2, 1}}), *v = NULL;
  assert_int_equal(kk_view_expand(t, &(kk_shape){3, {2, 2, 3}}, &v, &e), KK_OK);
  assert_values(v, 12, (double[]){1, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2});
  assert_int_equal(kk_writable(v, "fill", &e), KK_ESTATE);
  assert_non_null(strstr(e.msg, "expanded"));
  assert_int_equal(t->store->writes, 0);
  assert_int_equal(kk_writable(t, "fill", &e), KK_OK);
  assert_int_equal(t->store->writes, 1);
  kk_unref(v);
  kk_unref(t);
}

static void copies_convert_and_a_failing_one_writes_nothing(void **state) {
  (void)state;
  kk_tensor *f = counted(KK_F32, (kk_shape){2, {2, 2}}), *v = NULL, *u = NULL;
  kk_real_data(f)[3] = 300;
  assert_int_equal(kk_view_permute(f, (int[]){1, 0}, &v, &e), KK_OK);
  assert_int_equal(kk_tensor_zeros(KK_U8, &(kk_shape){2, {2, 2}}, &u, &e), KK_OK);
  assert_int_equal(kk_copy(u, v, &e), KK_ETYPE);
  assert_values(u, 4, (double[]){0, 0, 0, 0});
  kk_real_data(f)[3] = (kk_real)255.9;
  assert_int_equal(kk_copy(u, v, &e), KK_OK);
  assert_values(u, 4, (double[]){1, 3, 2, 255});
  kk_unref(u);
  u = NULL;
  assert_int_equal(kk_contiguous_copy(v, KK_I64, &u, &e), KK_OK);
  assert_values(u, 4, (double[]){1, 3, 2, 255});
  kk_unref(u);
  kk_unref(v);
  kk_unref(f);
}

static void gradients_of_views_add_into_the_base(void **state) {
  (void)state;
  kk_tensor *t = counted(KK_F32, (kk_shape){2, {2, 3}}), *v = NULL, *w = NULL;
  const kk_real g[] = {1, 2, 3, 4, 5, 6};
  assert_int_equal(kk_tensor_need_grad(t, &e), KK_OK);
  assert_int_equal(kk_view_permute(t, (int[]){1, 0}, &v, &e), KK_OK);
  kk_grad_add(v, g);
  kk_grad_add(v, g);
  for (int i = 0; i < 6; i++) assert_true(t->store->grad[i] == 2 * g[i % 3 * 2 + i / 3]);
  assert_int_equal(kk_view_narrow(t, 1, 0, 1, 1, &w, &e), KK_OK);
  kk_unref(v);
  assert_int_equal(kk_view_expand(w, &(kk_shape){2, {2, 3}}, &v, &e), KK_OK);
  kk_grad_add(v, g);
  assert_true(t->store->grad[0] == 2 + 6 && t->store->grad[3] == 4 + 15);
  kk_unref(v);
  kk_unref(w);
  kk_unref(t);
}

static void shapes_broadcast_by_the_rule(void **state) {
  kk_shape out;
  char b[KK_SHAPE_STR];
  (void)state;
  assert_true(kk_shape_broadcast(&(kk_shape){3, {4, 1, 3}}, &(kk_shape){2, {2, 1}}, &out));
  assert_string_equal(kk_shape_str(&out, b), "(4,2,3)");
  assert_false(kk_shape_broadcast(&(kk_shape){1, {4}}, &(kk_shape){2, {2, 3}}, &out));
  assert_true(kk_shape_broadcast(&(kk_shape){1, {0}}, &(kk_shape){1, {1}}, &out));
  assert_int_equal(out.n[0], 0);
}

static void too_large_shapes_are_refused(void **state) {
  kk_tensor *t = NULL;
  (void)state;
  assert_int_equal(kk_tensor_new(KK_F32, &(kk_shape){3, {1 << 30, 1 << 30, 1 << 30}}, &t, &e), KK_ENOMEM);
  assert_int_equal(kk_tensor_new(KK_F32, &(kk_shape){1, {-1}}, &t, &e), KK_ESHAPE);
  assert_null(t);
}

static kk_tensor *run2(const char *op, kk_tensor *a, kk_tensor *b, const double *opt) {
  kk_tensor *out[KK_MAXOUT] = {0};
  kk_args args = {.nin = b ? 2 : 1, .in = {a, b}, .opt = opt};
  if (kk_op_run(kk_op_find(op), &args, NULL, out, &e)) fail_msg("%s", e.msg);
  for (int i = 1; i < KK_MAXOUT; i++) kk_unref(out[i]);
  return out[0];
}

/* Element-wise loops on every pair of layouts against the obvious reading. */
static void strided_loops_agree_with_single_elements(void **state) {
  (void)state;
  for (int layout = 0; layout < 16; layout++) {
    kk_tensor *a = counted(KK_F32, (kk_shape){3, {3, 4, 5}}), *b = counted(KK_F32, (kk_shape){3, {3, 4, 5}}), *v, *z;
    kk_tensor **side[] = {&a, &b};
    for (int k = 0; k < 2; k++) {
      int kind = layout >> (2 * k) & 3;
      v = NULL;
      if (kind == 1) assert_int_equal(kk_view_narrow(*side[k], 2, 0, 1, 1, &v, &e), KK_OK);
      if (kind == 2) assert_int_equal(kk_view_select(*side[k], 0, 1, &v, &e), KK_OK);
      if (kind == 3) {
        kk_unref(*side[k]);
        *side[k] = counted(KK_F32, (kk_shape){3, {5, 3, 4}});
        assert_int_equal(kk_view_permute(*side[k], (int[]){1, 2, 0}, &v, &e), KK_OK);
      }
      if (v) {
        kk_unref(*side[k]);
        *side[k] = v;
      }
    }
    z = run2("sub", a, b, NULL);
    kk_tensor *xa = NULL, *xb = NULL;
    assert_int_equal(kk_view_expand(a, &z->shape, &xa, &e), KK_OK);
    assert_int_equal(kk_view_expand(b, &z->shape, &xb, &e), KK_OK);
    for (int64_t i = 0, n = kk_numel(&z->shape); i < n; i++)
      assert_true(kk_get(z, i) == kk_get(xa, kk_element_offset(xa, i)) - kk_get(xb, kk_element_offset(xb, i)));
    kk_unref(xa);
    kk_unref(xb);
    kk_unref(z);
    kk_unref(a);
    kk_unref(b);
  }
}

/* Rows, columns, blocks and the whole: against one sum after the other in long double. */
static void sums_agree_with_the_obvious_loop_on_odd_sizes(void **state) {
  static const int64_t sizes[][3] = {{1, 1, 1}, {1, 40001, 1}, {3, 17, 1}, {5, 9, 3}, {2, 1000, 130}, {1, 3, 65}, {7, 1, 64}};
  (void)state;
  for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
    int64_t O = sizes[k][0], N = sizes[k][1], I = sizes[k][2];
    kk_tensor *x = counted(KK_F32, (kk_shape){3, {O, N, I}}), *y;
    for (int64_t i = 0; i < O * N * I; i++) kk_real_data(x)[i] = (kk_real)(kk_random_uniform(9, (uint64_t)i) - 0.5);
    y = run2("sum", x, NULL, (double[]){2, 0});
    for (int64_t o = 0; o < O; o++)
      for (int64_t i = 0; i < I; i++) {
        long double s = 0;
        for (int64_t n = 0; n < N; n++) s += kk_real_data(x)[(o * N + n) * I + i];
        assert_true(fabsl(s - kk_real_data(y)[o * I + i]) <= 1e-6L * (1 + fabsl(s)));
      }
    kk_unref(y);
    kk_unref(x);
  }
}

static void exp_is_good_to_two_units_in_the_last_place(void **state) {
  double worst = 0;
  (void)state;
  for (double x = -87; x < 88.7; x += 1e-3) {
    float f = (float)x;
    double r = fabs((double)kk_expf(f) / exp((double)f) - 1);
    if (r > worst) worst = r;
  }
  assert_true(worst < 2.4e-7);
  assert_true(kk_expf(-200) == 0 && isinf(kk_expf(100)) && isnan(kk_expf(NAN)) && kk_expf(0) == 1);
  assert_true(isinf(kk_expf(INFINITY)) && kk_expf(-INFINITY) == 0);
  assert_true(kk_expf(-100) == 0 && kk_expf(-87) > 0);          /* denormals flush */
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_view_keeps_its_storage_alive),
    cmocka_unit_test(views_compose),
    cmocka_unit_test(reshape_agrees_with_a_copy_wherever_it_gives_a_view),
    cmocka_unit_test(expanded_views_repeat_and_refuse_writes),
    cmocka_unit_test(copies_convert_and_a_failing_one_writes_nothing),
    cmocka_unit_test(gradients_of_views_add_into_the_base),
    cmocka_unit_test(shapes_broadcast_by_the_rule),
    cmocka_unit_test(too_large_shapes_are_refused),
    cmocka_unit_test(strided_loops_agree_with_single_elements),
    cmocka_unit_test(sums_agree_with_the_obvious_loop_on_odd_sizes),
    cmocka_unit_test(exp_is_good_to_two_units_in_the_last_place),
  };
  return cmocka_run_group_tests_name("tensor", tests, NULL, NULL);
}
