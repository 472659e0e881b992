#include "eval/special.h"

#include <math.h>

/* Thread-safe log-gamma: the arguments here are positive, so the sign is not wanted. */
static double special_lgamma(double x) {
  int sign;
  return lgamma_r(x, &sign);
}

static double special_log_beta(double a, double b) {
  return special_lgamma(a) + special_lgamma(b) - special_lgamma(a + b);
}

/* The continued fraction of I_x(a,b) (DLMF 8.17.22), evaluated forward by the method of Lentz. */
static double special_beta_fraction(double a, double b, double x) {
  const double tiny = 1e-300;
  double c = 1, d = 1 - (a + b) * x / (a + 1), f;
  d = 1 / (fabs(d) < tiny ? tiny : d);
  f = d;
  for (int m = 1; m < 100000; m++) {
    double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 + even * d;
    c = 1 + even / c;
    d = 1 / (fabs(d) < tiny ? tiny : d);
    c = fabs(c) < tiny ? tiny : c;
    f *= c * d;
    d = 1 + odd * d;
    c = 1 + odd / c;
    d = 1 / (fabs(d) < tiny ? tiny : d);
    c = fabs(c) < tiny ? tiny : c;
    f *= c * d;
    if (fabs(c * d - 1) < 1e-16) break;
  }
  return f;
}

double kk_beta_inc(double a, double b, double x) {
  if (!(a > 0 && b > 0 && x >= 0 && x <= 1)) return NAN;
  if (x == 0 || x == 1) return x;
  double front = exp(a * log(x) + b * log1p(-x) - special_log_beta(a, b));
  /* The fraction converges fast below the mean; above it use I_x(a,b) = 1 - I_{1-x}(b,a). */
  if (x < (a + 1) / (a + b + 2)) return front * special_beta_fraction(a, b, x) / a;
  return 1 - front * special_beta_fraction(b, a, 1 - x) / b;
}

/* Newton inside a bracket that shrinks at every step; bisects when Newton would leave it. */
double kk_beta_inv(double a, double b, double p) {
  if (!(a > 0 && b > 0 && p >= 0 && p <= 1)) return NAN;
  if (p == 0 || p == 1) return p;
  double low = 0, high = 1, x = a / (a + b), lb = special_log_beta(a, b);
  for (int i = 0; i < 400 && high - low > 1e-16 * high; i++) {
    double f = kk_beta_inc(a, b, x) - p;
    if (f == 0) return x;
    if (f > 0) high = x; else low = x;
    double next = x - f / exp((a - 1) * log(x) + (b - 1) * log1p(-x) - lb);
    if (!(next > low && next < high)) next = low > 0 || high > 1e-3 ? (low + high) / 2 : high * 1e-3;
    if (fabs(next - x) <= 1e-16 * x) return next;
    x = next;
  }
  return x;
}

double kk_normal_cdf(double z) { return 0.5 * erfc(-z * M_SQRT1_2); }

double kk_normal_quantile(double p) {
  if (!(p > 0 && p < 1)) return p == 0 ? -INFINITY : p == 1 ? INFINITY : NAN;
  if (p > 0.5) return -kk_normal_quantile(1 - p);
  double low = -39, high = 0, z = p > 0.02 ? (p - 0.5) * 2.5066 : -sqrt(-2 * log(p));
  for (int i = 0; i < 200; i++) {
    double f = kk_normal_cdf(z) - p;
    if (f > 0) high = z; else low = z;
    double next = z - f / (exp(-z * z / 2) * 0.39894228040143267794);
    if (!(next > low && next < high)) next = (low + high) / 2;
    if (fabs(next - z) <= 1e-15 * (1 + fabs(z))) return next;
    z = next;
  }
  return z;
}

double kk_t_cdf(double t, double df) {
  if (!(df > 0) || isnan(t)) return NAN;
  if (isinf(t)) return t > 0;
  double tail = kk_beta_inc(df / 2, 0.5, df / (df + t * t)) / 2;
  return t > 0 ? 1 - tail : tail;
}

double kk_t_quantile(double p, double df) {
  if (!(df > 0 && p > 0 && p < 1)) return NAN;
  if (p == 0.5) return 0;
  double tail = p < 0.5 ? p : 1 - p;
  /* Both forms of t^2 from the beta quantile: the one whose x is small is the exact one. */
  double x = kk_beta_inv(df / 2, 0.5, 2 * tail), t;
  if (x < 0.5) {
    t = sqrt(df * (1 - x) / x);
  } else {
    double y = kk_beta_inv(0.5, df / 2, 1 - 2 * tail);
    t = sqrt(df * y / (1 - y));
  }
  return p < 0.5 ? -t : t;
}

double kk_binomial_cdf(int64_t k, int64_t n, double p) {
  if (n < 0 || !(p >= 0 && p <= 1)) return NAN;
  if (k < 0) return 0;
  if (k >= n) return 1;
  return kk_beta_inc((double)(n - k), (double)(k + 1), 1 - p);
}

double kk_hypergeometric_none(int64_t total, int64_t marked, int64_t drawn) {
  if (total < 0 || marked < 0 || drawn < 0 || marked > total || drawn > total) return NAN;
  if (drawn > total - marked) return 0;
  double t = (double)total, m = (double)marked, d = (double)drawn;
  return exp(special_lgamma(t - m + 1) - special_lgamma(t - m - d + 1) + special_lgamma(t - d + 1) -
             special_lgamma(t + 1));
}
