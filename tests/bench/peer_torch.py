"""peer_torch.py -- the cases of peer.py in which PyTorch does the work. Reads the arguments of that program."""
import contextlib
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

TUNED = sys.argv[2] == "tuned"
if TUNED:
    torch.set_num_threads(int(sys.argv[1]))
TORCH = "PyTorch " + torch.__version__.split("+")[0] + ("" if TUNED else " as installed")


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


CASES = {"lstm": lstm, "lm": lm, "qrnn": qrnn, "classifier": classifier, "message": message, "message_int8": message,
         "linear_ce": linear_ce, "embedding": embedding, "matmul": matmul, "adam": adam_case}
