/* stop.h -- the flag that Ctrl-C sets. Long loops poll it between blocks and return KK_EINTR.
**
** A loop that can end by itself at a good place (a training loop that writes a checkpoint) holds
** the flag: the first request is then seen only by kk_stop_asked, a second one by everybody. */
#ifndef KK_STOP_H
#define KK_STOP_H

#include "base/err.h"

void kk_stop_request(void);            /* safe inside a signal handler */
int kk_stop_requested(void);           /* more requests than the holder asked to see first */
int kk_stop_asked(void);               /* requests since the last clear, held or not */
void kk_stop_clear(void);
void kk_stop_hold(void);               /* nests */
void kk_stop_release(void);
kk_status kk_stop_check(kk_err *e, const char *what);   /* KK_OK, or KK_EINTR "what: interrupted" */

#endif
