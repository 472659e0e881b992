/* metrics.h -- scores of predictions against labels, written so that one pass over rows with counts
** w gives every metric at once: w = NULL is the plain score, w from a bootstrap is a resample.
**
** What is not defined is NaN, never a silent 0: recall without positives, precision without
** predicted positives, ROC-AUC and balanced accuracy with one class, average precision without
** positives. Two conventions: F1 = 2tp/(2tp+fp+fn) is 0 (not NaN) when there are positives and none
** was found; MCC is 0 when both classes exist but the prediction is constant (its limit). */
#ifndef KK_METRICS_H
#define KK_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define KK_BINARY_LIST(X) \
  X(ACCURACY, "accuracy") X(PRECISION, "precision") X(RECALL, "recall") X(F1, "f1") \
  X(PRECISION_NEG, "precision_negative") X(RECALL_NEG, "recall_negative") X(F1_NEG, "f1_negative") \
  X(F1_MACRO, "f1_macro") X(BALANCED, "balanced_accuracy") X(MCC, "mcc") X(AUC, "roc_auc") \
  X(AP, "average_precision") X(LOGLOSS, "log_loss") X(BRIER, "brier")
typedef enum kk_binary_id {
#define X(id, name) KK_BIN_##id,
  KK_BINARY_LIST(X)
#undef X
  KK_BIN_N
} kk_binary_id;
const char *kk_binary_name(int id);

typedef struct kk_confusion { int64_t tp, fp, fn, tn; } kk_confusion;

/* Rows of a binary task sorted by falling probability. One block of memory, owned by the struct. */
typedef struct kk_ranked {
  int64_t n;
  double *prob, *loss;      /* falling probability of class 1; -ln p(label), p clipped to [eps, 1-eps] */
  int32_t *row;             /* where the row stood                              */
  uint8_t *pos, *pred;      /* label; probability > threshold                   */
  uint8_t *last;            /* the last row of a group of equal probabilities   */
  void *block;
  size_t bytes;
} kk_ranked;
/* prob in [0,1], label 0 or 1, n >= 1. KK_EARG names the first bad row (counted from 1). */
kk_status kk_ranked_new(kk_ranked *r, const double *prob, const uint8_t *label, int64_t n, double threshold,
                        double eps, kk_err *e);
void kk_ranked_free(kk_ranked *r);
/* ROC-AUC gives ties half a pair (midranks); average precision is sum (R_k - R_{k-1}) P_k over the
** distinct thresholds, without interpolation; Brier is mean (p - y)^2. */
void kk_binary_metrics(const kk_ranked *r, const int32_t *w, double out[KK_BIN_N], kk_confusion *c);
void kk_confusion_metrics(const kk_confusion *c, double out[KK_BIN_N]);   /* the ones that need no probability */

/* The threshold (a midpoint between neighbouring probabilities, or 0 or 1) with the best value of
** metric: one of F1, F1_MACRO, BALANCED, MCC, ACCURACY. Ties go to the one nearest to .5. Choose on
** training or out-of-fold rows: the value on the same rows is optimistic. */
kk_status kk_best_threshold(const kk_ranked *r, kk_binary_id metric, double *threshold, double *value, kk_err *e);

/* Multi-class: overall values, then five for each class. */
#define KK_MULTI_LIST(X) \
  X(ACCURACY, "accuracy") X(PRECISION_MACRO, "precision_macro") X(RECALL_MACRO, "recall_macro") \
  X(F1_MACRO, "f1_macro") X(BALANCED, "balanced_accuracy") X(MCC, "mcc") X(AUC_MACRO, "roc_auc_macro") \
  X(AP_MACRO, "average_precision_macro") X(LOGLOSS, "log_loss") X(BRIER, "brier")
typedef enum kk_multi_id {
#define X(id, name) KK_MULTI_##id,
  KK_MULTI_LIST(X)
#undef X
  KK_MULTI_N
} kk_multi_id;
const char *kk_multi_name(int id);
enum { KK_CLASS_PRECISION, KK_CLASS_RECALL, KK_CLASS_F1, KK_CLASS_AUC, KK_CLASS_AP, KK_CLASS_N };
static inline int kk_multi_count(int classes) { return KK_MULTI_N + KK_CLASS_N * classes; }

typedef struct kk_multi {
  int64_t n;
  int classes;
  int32_t *label, *pred;        /* [N]; pred is the first class with the highest probability */
  double *loss, *square;        /* [N]; square = sum over classes of (p - y)^2 */
  int32_t *row;                 /* [C,N] rows by falling probability of class c */
  uint8_t *last;                /* [C,N] */
  const uint8_t *in_macro;      /* [C] classes that the macro averages take; NULL = all. Borrowed. */
  void *block;
  size_t bytes;
} kk_multi;
/* prob [N,C] rows that sum to 1 within 1e-3, label 0..C-1. */
kk_status kk_multi_new(kk_multi *m, const double *prob, const int32_t *label, int64_t n, int classes,
                       const uint8_t *in_macro, double eps, kk_err *e);
void kk_multi_free(kk_multi *m);
/* Macro averages take the classes that occur among labels or predictions; balanced accuracy and
** AUC the classes that occur among labels. scratch: 3*C int64. MCC: Gorodkin 2004. */
void kk_multi_metrics(const kk_multi *m, const int32_t *w, int64_t *scratch, double *out);

enum { KK_REG_RMSE, KK_REG_MAE, KK_REG_R2, KK_REG_PEARSON, KK_REG_N };
typedef struct kk_regression { int64_t n; const double *pred, *target; } kk_regression;
void kk_regression_metrics(const kk_regression *g, const int32_t *w, double out[KK_REG_N]);

#endif
