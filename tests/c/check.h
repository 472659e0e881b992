/* check.h -- what the C tests share: cmocka and its includes in the order that it needs. */
#ifndef KK_CHECK_H
#define KK_CHECK_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

#include "base/err.h"

/* Fails the test with the message of e unless st is KK_OK. */
#define check_ok(st, e) \
  do { \
    if ((st) != KK_OK) fail_msg("%s", (e)->msg); \
  } while (0)

/* The call must answer code, and its message must contain text. */
#define check_fails(st, code_, e, text) \
  do { \
    assert_int_equal((st), (code_)); \
    assert_int_equal((e)->code, (code_)); \
    if (!strstr((e)->msg, (text))) fail_msg("message '%s' lacks '%s'", (e)->msg, (text)); \
  } while (0)

#endif
