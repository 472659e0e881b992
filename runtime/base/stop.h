/* stop.h -- the flag that Ctrl-C sets. Long loops poll it between blocks and return KK_EINTR. */
#ifndef KK_STOP_H
#define KK_STOP_H

#include "base/err.h"

void kk_stop_request(void);            /* safe inside a signal handler */
int kk_stop_requested(void);
void kk_stop_clear(void);
kk_status kk_stop_check(kk_err *e, const char *what);   /* KK_OK, or KK_EINTR "what: interrupted" */

#endif
