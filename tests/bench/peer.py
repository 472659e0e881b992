"""peer.py -- the other side of `kooka bench`: PyTorch, scikit-learn, imbalanced-learn, sentencepiece and fastai doing
the same work.

Started as `python -u peer.py THREADS tuned|installed wall|cpu`. Reads lines `run NAME KEY=VALUE ...` and answers
`SECONDS PEAK_BYTES LABEL`, or `error TEXT`; `drop` releases what was made and answers `dropped`. The first run of a
name makes its inputs and works once untimed. PEAK_BYTES is the resident memory of this process at its highest since then.
"""
import contextlib
import ctypes
import gc
import sys
import time

THREADS = int(sys.argv[1])
TUNED = sys.argv[2] == "tuned"
clock = time.process_time if sys.argv[3] == "cpu" else time.perf_counter

import torch
import torch.nn as nn
import torch.nn.functional as F

if TUNED:
    torch.set_num_threads(THREADS)
HERE = "" if TUNED else " as installed"
TORCH = "PyTorch " + torch.__version__.split("+")[0] + HERE


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


def autocast(z):
    """A maker of contexts for the forward pass: bfloat16 where z asks for it."""
    wanted = int(z.get("bf16", 0)) > 0
    return lambda: torch.autocast("cpu", dtype=torch.bfloat16, enabled=wanted)


def torch_label(z):
    return TORCH + (", bf16" if int(z.get("bf16", 0)) > 0 else "")


def backward(loss_of, params, context=contextlib.nullcontext):
    def step():
        with context():
            loss = loss_of()
        loss.backward()
        for p in params:
            p.grad = None
    return step


def lstm(z):
    T, B, D, H = (int(z[k]) for k in "TBDH")
    layer = nn.LSTM(D, H)
    x = torch.randn(T, B, D, requires_grad=True)
    return backward(lambda: layer(x)[0].float().sum(), list(layer.parameters()) + [x], autocast(z)), torch_label(z)


def shared_mask(x, p):
    """One dropout mask for all steps of x [T,B,D]."""
    return x * x.new_empty(1, x.size(1), x.size(2)).bernoulli_(1 - p).div_(1 - p)


class WeightDropLstm(nn.Module):
    def __init__(self, inputs, hidden, p):
        super().__init__()
        self.cell, self.p = nn.LSTM(inputs, hidden), p
        w = self.cell._parameters.pop("weight_hh_l0")
        self.raw = nn.Parameter(w.data)
        self.cell.weight_hh_l0 = w.data.clone()

    def forward(self, x, state):
        self.cell.weight_hh_l0 = F.dropout(self.raw, self.p) if self.training else self.raw.detach()
        return self.cell(x, state)


class ForgetMult(torch.autograd.Function):
    """c_t = c_{t-1} + f_t (z_t - c_{t-1}): in each direction a loop over time of one fused operation a step; what needs
    no loop is done for all steps at once. Nothing faster is known to us in eager mode; autograd through a loop is slower."""

    @staticmethod
    def forward(ctx, z, f, c0):
        c = torch.empty_like(z)
        before = c0
        for t in range(len(z)):
            torch.lerp(before, z[t], f[t], out=c[t])
            before = c[t]
        ctx.save_for_backward(z, f, c, c0)
        return c

    @staticmethod
    def backward(ctx, dy):
        z, f, c, c0 = ctx.saved_tensors
        dc, keep = dy.clone(), 1 - f
        for t in range(len(z) - 1, 0, -1):
            dc[t - 1].addcmul_(dc[t], keep[t])
        df = z - torch.cat([c0[None], c[:-1]])
        return dc * f, df.mul_(dc), None


class WeightDropQrnn(nn.Module):
    """One linear for all gates and steps, window 2 by putting inputs side by side, then ForgetMult."""

    def __init__(self, inputs, hidden, p, window):
        super().__init__()
        self.linear, self.p, self.window, self.hidden = nn.Linear(window * inputs, 3 * hidden), p, window, hidden

    def forward(self, x, state):
        prev, c0 = state if state else (x.new_zeros(x[0].shape), x.new_zeros(x.size(1), self.hidden))
        source = torch.cat([x, torch.cat([prev[None], x[:-1]])], 2) if self.window == 2 else x
        y = F.linear(source, F.dropout(self.linear.weight, self.p, self.training), self.linear.bias)
        z, f, o = y.chunk(3, 2)
        c = ForgetMult.apply(torch.tanh(z), torch.sigmoid(f), c0.to(f.dtype))
        return torch.sigmoid(o) * c, (x[-1], c[-1])


class Encoder(nn.Module):
    def __init__(self, z, embed_p, input_p, hidden_p, weight_p, cell=lambda i, d, h, p: WeightDropLstm(d, h, p)):
        super().__init__()
        V, E, H, L = (int(z[k]) for k in "VEHL")
        self.embedding = nn.Parameter(torch.empty(V, E).uniform_(-.1, .1))
        self.layers = nn.ModuleList(
            cell(i, E if i == 0 else H, E if i == L - 1 else H, weight_p) for i in range(L))
        self.embed_p, self.input_p, self.hidden_p = embed_p, input_p, hidden_p

    def forward(self, ids, state):
        w = self.embedding
        if self.training:
            w = w * w.new_empty(w.size(0), 1).bernoulli_(1 - self.embed_p).div_(1 - self.embed_p)
        x = F.embedding(ids, w)
        if self.training:
            x = shared_mask(x, self.input_p)
        new = []
        for i, layer in enumerate(self.layers):
            x, (h, c) = layer(x, state[i] if state else None)
            new.append((h.detach(), c.detach()))
            if self.training and i < len(self.layers) - 1:
                x = shared_mask(x, self.hidden_p)
        return x, new


def adam(params):
    return torch.optim.Adam(params, lr=1e-3, betas=(.9, .99), eps=1e-8, fused=True if TUNED else None)


def update(params, opt):
    nn.utils.clip_grad_norm_(params, .1)
    opt.step()
    opt.zero_grad()


def lm(z, **cell):
    V, T, B = int(z["V"]), int(z["T"]), int(z["B"])
    enc = Encoder(z, .02, .25, .15, .2, **cell)
    bias = nn.Parameter(torch.zeros(V))
    params = list(enc.parameters()) + [bias]
    opt = adam(params)
    x, y = torch.randint(0, V, (T, B)), torch.randint(0, V, (T, B))
    kept, context = {"state": None}, autocast(z)

    def step():
        with context():
            raw, kept["state"] = enc(x, kept["state"])
            h = shared_mask(raw, .1)
            loss = F.cross_entropy(F.linear(h, enc.embedding, bias).view(-1, V), y.view(-1))
            loss = loss + 2 * h.pow(2).mean() + (raw[1:] - raw[:-1]).pow(2).mean()
        loss.backward()
        update(params, opt)
    return step, torch_label(z)


def qrnn(z):
    step, label = lm(z, cell=lambda i, d, h, p: WeightDropQrnn(d, h, p, 2 if i == 0 else 1))
    return step, label + ", loop over time"


def tweet_lengths(z):
    B, low, high, curve = int(z["B"]), int(z["low"]), int(z["high"]), float(z["curve"])
    return [int(low + (high - low) * ((B - i) / (B - 1) if B > 1 else .5) ** curve + .5) for i in range(1, B + 1)]


class Classifier(nn.Module):
    """Concat pooling over the encoder's states of a padded batch, and a small head."""
    def __init__(self, z, lens):
        super().__init__()
        E, T = int(z["E"]), max(lens)
        self.encoder = Encoder(z, .05, .4, .3, .5)
        self.head = nn.Sequential(nn.BatchNorm1d(3 * E), nn.Dropout(.4), nn.Linear(3 * E, 50), nn.ReLU(),
                                  nn.BatchNorm1d(50), nn.Dropout(.1), nn.Linear(50, 2))
        self.n = torch.tensor(lens)
        self.mask = (torch.arange(T)[:, None] < self.n[None, :])[:, :, None]
        self.rows = torch.arange(len(lens))

    def forward(self, x):
        h, _ = self.encoder(x, None)
        top = h.masked_fill(~self.mask, -1e9).max(0)[0]
        mean = (h * self.mask).sum(0) / self.n[:, None]
        return self.head(torch.cat([h[self.n - 1, self.rows], top, mean], 1))


def classifier(z):
    V, B = int(z["V"]), int(z["B"])
    lens = tweet_lengths(z)
    model, context = Classifier(z, lens), autocast(z)
    params = list(model.parameters())
    opt = adam(params)
    x, y = torch.randint(0, V, (max(lens), B)), torch.randint(0, 2, (B,))

    def step():
        with context():
            loss = F.cross_entropy(model(x), y)
        loss.backward()
        update(params, opt)
    return step, torch_label(z) + ", padded"


def message(z):
    T = int(z["T"])
    model, context = Classifier(z, [T]).eval(), autocast(z)
    x = torch.randint(0, int(z["V"]), (T, 1))

    def step():
        with torch.inference_mode(), context():
            model(x).float().softmax(1).tolist()
    return repeated(step, 5), torch_label(z)


def linear_ce(z):
    N, D, V = (int(z[k]) for k in "NDV")
    layer = nn.Linear(D, V)
    x, y = torch.randn(N, D, requires_grad=True), torch.randint(0, V, (N,))
    return backward(lambda: F.cross_entropy(layer(x), y), list(layer.parameters()) + [x], autocast(z)), torch_label(z)


def embedding(z):
    N, V, D = (int(z[k]) for k in "NVD")
    table, ids = torch.randn(V, D, requires_grad=True), torch.randint(0, V, (N,))
    return repeated(backward(lambda: F.embedding(ids, table).sum(), [table]), 5), TORCH


def repeated(step, n):
    """n steps a sample; the time is that of one."""
    step.inner = n
    return step


def matmul(z):
    M, K, N = (int(z[k]) for k in "MKN")
    a, b = torch.randn(M, K), torch.randn(K, N)

    def step():
        torch.mm(a, b)
    return repeated(step, min(20, max(1, int(1e10 / (2 * M * K * N))))), TORCH


def adam_case(z):
    p = nn.Parameter(torch.randn(int(z["N"])))
    p.grad = torch.zeros_like(p)
    opt = adam([p])

    def step():
        nn.utils.clip_grad_norm_([p], .1)
        opt.step()
        opt.zero_grad(set_to_none=False)
    return repeated(step, 5), TORCH + (", fused" if TUNED else "")


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


CASES = {"lstm": lstm, "lm": lm, "qrnn": qrnn, "classifier": classifier, "message": message, "message_int8": message,
         "linear_ce": linear_ce,
         "embedding": embedding, "matmul": matmul, "adam": adam_case, "tokenizer": tokenizer, "rules": rules, "nbsvm": nbsvm, "bootstrap": bootstrap, "heads": heads, "cv_head": cv_head,
         "smote": resampler("SMOTE"), "borderline_smote": resampler("BorderlineSMOTE"), "adasyn": resampler("ADASYN")}
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
    print("ready %s, Python %d.%d, %d threads" % (TORCH, *sys.version_info[:2], torch.get_num_threads()), flush=True)
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
