"""peer.py -- the other side of `kooka bench`: PyTorch, scikit-learn, imbalanced-learn, sentencepiece and fastai doing
the same work.

Started as `python -u peer.py THREADS tuned|installed wall|cpu`. Reads lines `run NAME KEY=VALUE ...` and answers
`SECONDS PEAK_BYTES LABEL`, or `error TEXT`; `drop` releases what was made and answers `dropped`. The first run of a
name makes its inputs and works once untimed. PEAK_BYTES is the resident memory of this process at its highest since then.
"""
import ctypes
import gc
import sys
import time

THREADS = int(sys.argv[1])
clock = time.process_time if sys.argv[3] == "cpu" else time.perf_counter


def reset_peak():
    try:
        with open("/proc/self/clear_refs", "w") as f:
            f.write("5")
    except OSError:
        pass


def peak():
    try:
        with open("/proc/self/status") as f:
            for line in f:
                if line.startswith("VmHWM"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def lines(path):
    with open(path, encoding="utf-8") as f:
        return f.read().split("\n")[:-1]


def tokenizer(z):
    import sentencepiece
    sp = sentencepiece.SentencePieceProcessor(model_file=z["model"])
    texts = lines(z["file"])
    return lambda: sp.encode(texts, num_threads=THREADS), "sentencepiece " + sentencepiece.__version__


def rules(z):
    import fastai
    from fastai.text.core import defaults
    texts, todo = lines(z["file"]), defaults.text_proc_rules

    def step():
        for text in texts:
            for rule in todo:
                text = rule(text)
    return step, "fastai %s, its rules, one process" % fastai.__version__


def nbsvm(z):
    import numpy
    import sklearn
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.svm import LinearSVC
    texts = lines(z["file"])
    y = numpy.array([int(v) - 1 for v in lines(z["labels"])])

    def step():
        tfidf = TfidfVectorizer(ngram_range=(1, 2), min_df=3, max_df=.9, sublinear_tf=True, token_pattern=r"\S+")
        x = tfidf.fit_transform(texts)
        p, q = x[y == 1].sum(0) + 1, x[y == 0].sum(0) + 1
        r = numpy.asarray(numpy.log((p / (y == 1).sum()) / (q / (y == 0).sum())))
        from sklearn.linear_model import LogisticRegression
        LogisticRegression(C=4, dual=True, solver="liblinear", max_iter=1000).fit(x.multiply(r).tocsr(), y)
    return step, "scikit-learn " + sklearn.__version__


def bootstrap(z):
    import numpy
    import sklearn
    from sklearn import metrics as m
    n, resamples = int(z["N"]), int(z["resamples"])
    some = min(resamples, 20)
    rng = numpy.random.default_rng(1)
    y = (rng.random(n) < .3).astype(int)
    p = numpy.clip(.5 + .2 * (2 * y - 1) + .3 * rng.standard_normal(n), .001, .999)

    def step():
        for _ in range(some):
            k = rng.integers(0, n, n)
            yk, pk = y[k], p[k]
            hard = pk > .5
            m.precision_recall_fscore_support(yk, hard, average="binary", zero_division=0)
            m.matthews_corrcoef(yk, hard)
            m.accuracy_score(yk, hard)
            m.balanced_accuracy_score(yk, hard)
            m.average_precision_score(yk, pk)
            m.roc_auc_score(yk, pk)
            m.log_loss(yk, pk)
            m.brier_score_loss(yk, pk)
    step.scale = resamples / some
    return step, "scikit-learn %s, %d of %d resamples, scaled" % (sklearn.__version__, some, resamples)


def heads(z):
    import numpy
    import sklearn
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    users, rows, D = int(z["users"]), int(z["rows"]), int(z["D"])
    some = min(users, 20)
    rng = numpy.random.default_rng(1)
    x = rng.standard_normal((some, rows, D)).astype(numpy.float32)
    y = (x[:, :, 0] + rng.standard_normal((some, rows)) > 0).astype(int)

    def step():
        for u in range(some):
            if int(z.get("ridge", 0)):
                Ridge(alpha=120).fit(x[u] / D ** .5, y[u])
                continue
            if int(z.get("fit", 0)):
                LogisticRegression(C=1 / 30, max_iter=1000).fit(x[u] / D ** .5, y[u])
                continue
            head = LogisticRegression(C=1 / 30, max_iter=1000)
            cross_val_predict(head, x[u] / D ** .5, y[u], cv=StratifiedKFold(5), method="predict_proba")
            head.fit(x[u] / D ** .5, y[u])
    step.scale = users / some
    return step, "scikit-learn %s, %d of %d persons, scaled" % (sklearn.__version__, some, users)


def resampler(maker):
    def case(z):
        import imblearn
        import numpy
        from imblearn import over_sampling
        from threadpoolctl import threadpool_limits
        N, D = int(z["N"]), int(z["D"])
        x = numpy.random.default_rng(1).standard_normal((N, D), dtype=numpy.float32)
        y = numpy.where(numpy.arange(1, N + 1) % 20 == 0, 2, 1)
        x[y == 2] += numpy.float32(z["apart"])

        def step():
            with threadpool_limits(THREADS):
                getattr(over_sampling, maker)(random_state=1).fit_resample(x, y)
        return step, "imbalanced-learn " + imblearn.__version__
    return case


def cv_head(z):
    import numpy
    import sklearn
    from sklearn import metrics as m
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    n, D, folds, rounds, resamples = (int(z[k]) for k in ("N", "D", "folds", "rounds", "resamples"))
    some = min(resamples, 20)
    rng = numpy.random.default_rng(1)
    x = rng.standard_normal((n, D)).astype(numpy.float32)
    y = (x[:, 0] + rng.standard_normal(n) > 1.8).astype(int)
    scale = D ** .5                 # rows of mean squared norm 1; the mean loss with l2 .01 is C = 1 / (.01 n)
    fitting = [0, 0]

    def step():
        begin = clock()
        probs = []
        for r in range(rounds):
            head = LogisticRegression(C=1 / (.01 * n * (1 - 1 / folds)), max_iter=1000)
            cv = StratifiedKFold(folds, shuffle=True, random_state=r)
            probs.append(cross_val_predict(head, x / scale, y, cv=cv, method="predict_proba")[:, 1])
        fitting[0] = clock() - begin
        for _ in range(some):
            k = rng.integers(0, n, n)
            for p in probs:
                yk, pk = y[k], p[k]
                hard = pk > .5
                m.precision_recall_fscore_support(yk, hard, average="binary", zero_division=0)
                m.matthews_corrcoef(yk, hard)
                m.accuracy_score(yk, hard)
                m.balanced_accuracy_score(yk, hard)
                m.average_precision_score(yk, pk)
                m.roc_auc_score(yk, pk)
                m.log_loss(yk, pk)
                m.brier_score_loss(yk, pk)
        fitting[1] = clock() - begin - fitting[0]
        # only the resamples are scaled, not the fits
        step.scale = (fitting[0] + fitting[1] * resamples / some) / (fitting[0] + fitting[1])
    return step, "scikit-learn %s, %d of %d resamples, scaled" % (sklearn.__version__, some, resamples)


CASES = {"tokenizer": tokenizer, "rules": rules, "nbsvm": nbsvm, "bootstrap": bootstrap, "heads": heads, "cv_head": cv_head,
         "smote": resampler("SMOTE"), "borderline_smote": resampler("BorderlineSMOTE"), "adasyn": resampler("ADASYN")}
OF_TORCH = "lstm lm qrnn classifier message message_int8 linear_ce embedding matmul adam".split()


def without_torch(z):
    raise ImportError(name="torch")


try:                                # 0.8 GB that half of the cases do not need
    import peer_torch
    CASES.update(peer_torch.CASES)
    HAVE = peer_torch.TORCH
except ImportError as missing:
    if missing.name != "torch":
        raise
    CASES.update(dict.fromkeys(OF_TORCH, without_torch))
    HAVE = "no PyTorch"
open_now = {}


def run(words):
    name, key = words[0], " ".join(words)
    if name not in CASES:
        return "error no peer does this"
    if key not in open_now:
        drop()
        step, label = CASES[name](dict(w.split("=", 1) for w in words[1:]))
        reset_peak()
        step()
        open_now[key] = (step, label)
    step, label = open_now[key]
    inner = getattr(step, "inner", 1)
    begin = clock()
    for _ in range(inner):
        step()
    seconds = (clock() - begin) / inner * getattr(step, "scale", 1)
    return "%.9g %d %s" % (seconds, peak(), label)


def drop():
    open_now.clear()
    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        pass
    return "dropped"


def main():
    print("ready %s, Python %d.%d, %d threads" % (HAVE, *sys.version_info[:2], THREADS), flush=True)
    for line in sys.stdin:
        words = line.split()
        if not words:
            continue
        try:
            answer = drop() if words[0] == "drop" else run(words[1:])
        except ImportError as e:
            answer = "error not installed: %s" % e.name
        except Exception as e:
            answer = "error %s: %s" % (type(e).__name__, str(e).split("\n")[0])
        print(answer, flush=True)


main()
