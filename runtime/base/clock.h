/* clock.h -- time. */
#ifndef KK_CLOCK_H
#define KK_CLOCK_H

double kk_clock_now(void);             /* seconds from a fixed point, never goes back */
double kk_clock_wall(void);            /* seconds since 1970-01-01 UTC                */
int kk_clock_sleep(double seconds);    /* 1 when the stop flag ended it early, else 0 */

#endif
