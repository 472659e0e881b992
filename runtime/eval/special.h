/* special.h -- distribution functions that intervals and tests need. Each returns NaN outside its
** domain; errors are below 1e-12 relative in the ranges the tests cover. */
#ifndef KK_SPECIAL_H
#define KK_SPECIAL_H

#include <stdint.h>

double kk_beta_inc(double a, double b, double x);      /* regularised incomplete beta I_x(a,b), a b > 0 */
double kk_beta_inv(double a, double b, double p);      /* the x with I_x(a,b) = p                        */
double kk_normal_cdf(double z);
double kk_normal_quantile(double p);                   /* 0 < p < 1 */
double kk_t_cdf(double t, double df);                  /* Student, df > 0 */
double kk_t_quantile(double p, double df);
double kk_binomial_cdf(int64_t k, int64_t n, double p);   /* P(X <= k) */
/* P(no marked item) when `drawn` of `total` items, `marked` of them marked, are drawn without
** replacement: the chance that a hold-out has nothing of the minority. */
double kk_hypergeometric_none(int64_t total, int64_t marked, int64_t drawn);

#endif
