#!/usr/bin/env python3
"""Golden numbers for kooka.nn's language model and models of texts from fastai's own, in float64 with shared weights.

    python3 tests/golden/awd.py > tests/golden/awd.lua       (fastai, torch, CPU)

language_model: fastai's AWD_LSTM and tied decoder, two batches with the state carried; logits in eval mode, then loss and
gradients of the second batch in train mode without dropout, AR and TAR added by fastai's RNNRegularizer. texts_*, one_long,
score: get_text_classifier in the padding of fastai's pad_chunk; eval outputs, then loss and gradients in train mode without
dropout; texts_alone: each text in a batch of its own. In a batch whose longest text is no multiple of bptt, fastai 2.8.12
(1) reads a wrong "last" state for texts that begin in the last, shorter piece: masked_concat_pool counts the pads in front of
them, and (2) gives zeros for some: SentenceEncoder takes the first real_bs rows though one of them may be all padding there.
So the batches here end on a multiple of bptt, where there is nothing wrong. qrnn: the same language model from a plain PyTorch QRNN (fastai's needs CUDA), save_prev_x as in Salesforce's.
The spec reads awd.lua and never needs Python. Weights are multiples of 1/64: exact in float32.
"""
import types

import fastai
import torch
from fastai.callback.rnn import RNNRegularizer
from fastai.text.data import pad_chunk
from fastai.text.models.awdlstm import AWD_LSTM, awd_lstm_clas_config, awd_lstm_lm_config
from fastai.text.models.core import get_language_model, get_text_classifier
from torch.nn.functional import cross_entropy, embedding, linear, mse_loss

torch.set_default_dtype(torch.float64)
V, E, H = 11, 3, 4
PAD = 1                                     # fastai's id; 2 in kooka's count
gen = torch.Generator().manual_seed(19)


def draw(*shape, scale=1.0):
    return torch.round(64 * scale * (2 * torch.rand(*shape, generator=gen) - 1)) / 64


def lua(v):
    if isinstance(v, torch.Tensor):
        v = v.detach().tolist()
    if isinstance(v, dict):
        return "{ " + ", ".join("[\"%s\"] = %s" % (k, lua(e)) for k, e in v.items()) + " }"
    if isinstance(v, list):
        return "{" + ", ".join(lua(e) for e in v) + "}"
    return "%.9g" % v


def show(name, **fields):
    print("  %s = {" % name)
    for k, v in fields.items():
        print("    %s = %s," % (k, lua(v)))
    print("  },")


def fill(model):
    for name, p in model.named_parameters():
        p.data = draw(*p.shape)
    for name, b in model.named_buffers():
        if name.endswith("running_mean"):
            b.data = draw(*b.shape)
        if name.endswith("running_var"):
            b.data = 1 + draw(*b.shape, scale=.5)
    model.reset()


def encoder_names(encoder, prefix=""):
    """kooka's names -> fastai's tensors."""
    out = {"embedding": encoder.encoder.weight}
    for i, rnn in enumerate(encoder.rnns):
        at = "layer%d." % (i + 1)
        out[at + "weight_ih"] = rnn.module.weight_ih_l0
        out[at + "weight_hh"] = rnn.weight_hh_l0_raw
        out[at + "bias"] = rnn.module.bias_ih_l0
        out[at + "bias_hh"] = rnn.module.bias_hh_l0
    return {prefix + k: v for k, v in out.items()}


def head_names(head):
    out, i, j = {}, 0, 0
    for layer in head.layers:
        for part in layer if isinstance(layer, torch.nn.Sequential) else [layer]:
            if isinstance(part, torch.nn.BatchNorm1d):
                i += 1
                out.update({"norm%d.weight" % i: part.weight, "norm%d.bias" % i: part.bias,
                            "norm%d.running_mean" % i: part.running_mean, "norm%d.running_var" % i: part.running_var})
            if isinstance(part, torch.nn.Linear):
                j += 1
                assert part.bias is None
                out["linear%d.weight" % j] = part.weight
    return out


def gradients(names):
    return {k: v.grad for k, v in names.items() if v.grad is not None}


def copies(names):
    return {k: v.detach().clone() for k, v in names.items()}


def language_model():
    config = dict(awd_lstm_lm_config, emb_sz=E, n_hid=H, n_layers=2)
    model = get_language_model(AWD_LSTM, V, config, drop_mult=0)
    fill(model)
    names = dict(encoder_names(model[0], "encoder."), bias=model[1].decoder.bias)
    batches = [torch.randint(0, V, (2, n), generator=gen) for n in (5, 3)]
    targets = torch.randint(0, V, (2, 3), generator=gen)
    model.eval()
    logits = [model(b)[0] for b in batches]
    model.train()
    model.reset()
    model(batches[0])
    pred, raw, out = model(batches[1])
    reg = RNNRegularizer(alpha=2., beta=1.)
    true = cross_entropy(pred.reshape(-1, V), targets.reshape(-1))
    reg.learn = types.SimpleNamespace(loss_grad=true.clone(), training=True, model=None)
    reg.learn.rnn = types.SimpleNamespace(out=out, raw_out=raw)
    reg.after_loss()
    reg.learn.loss_grad.backward()
    show("language_model", weights=copies(names), x=[(b.T + 1) for b in batches], y=targets.T + 1,
         logits=[l.transpose(0, 1) for l in logits], true_loss=true, loss=reg.learn.loss_grad, grads=gradients(names))


def texts(name, lens, bptt, max_len, n_class=2, y_range=None, layers=2, lin_ftrs=None, alone=False):
    config = dict(awd_lstm_clas_config, emb_sz=E, n_hid=H, n_layers=layers)
    ps = [0.] * len(lin_ftrs or [50])
    model = get_text_classifier(AWD_LSTM, V, n_class, seq_len=bptt, config=config, drop_mult=0, lin_ftrs=lin_ftrs, ps=ps,
                                pad_idx=PAD, max_len=max_len, y_range=y_range)
    fill(model)
    names = dict(encoder_names(model[0].module, "encoder."), **head_names(model[1]))
    docs = [torch.randint(2, V, (n,), generator=gen) for n in lens]
    padded = torch.stack([pad_chunk(d, pad_idx=PAD, pad_first=True, seq_len=bptt, pad_len=max(lens)) for d in docs])
    weights = copies(names)
    ids = torch.full((max(lens), len(lens)), PAD)
    for b, d in enumerate(docs):
        ids[:len(d), b] = d
    model.eval()
    pooled = []
    hook = model[1].layers[0].register_forward_hook(lambda m, i, o: pooled.append(i[0]))
    out = torch.cat([model(d[None])[0] for d in docs]) if alone else model(padded)[0]
    hook.remove()
    fields = dict(bptt=bptt, max_len=max_len, lens=list(lens), weights=weights, x=ids + 1, pooled=torch.cat(pooled), out=out)
    if not alone:
        y = torch.arange(len(lens)) % 2
        model.train()
        pred = model(padded)[0]
        if y_range:
            fields["score"] = draw(len(lens), scale=2) + 2
            loss = mse_loss(pred[:, 0], fields["score"])
        else:
            fields["y"] = y + 1
            loss = cross_entropy(pred, y)
        loss.backward()
        fields.update(loss=loss, grads=gradients(names))
    show(name, **fields)


def qrnn_layer(x, prev, c, w, b, window):
    source = torch.cat([x, torch.cat([prev[None], x[:-1]])], 2) if window == 2 else x
    z, f, o = linear(source, w, b).chunk(3, 2)
    y = []
    for t in range(len(x)):
        c = torch.sigmoid(f[t]) * torch.tanh(z[t]) + (1 - torch.sigmoid(f[t])) * c
        y.append(torch.sigmoid(o[t]) * c)
    return torch.stack(y), c


def qrnn():
    names = {"encoder.embedding": draw(V, E), "encoder.layer1.weight": draw(3 * H, 2 * E), "encoder.layer1.bias": draw(3 * H),
             "encoder.layer2.weight": draw(3 * E, H), "encoder.layer2.bias": draw(3 * E), "bias": draw(V)}
    weights = copies(names)
    for p in names.values():
        p.requires_grad_()
    x = [torch.randint(0, V, (n, 2), generator=gen) for n in (4, 1, 3)]
    y = torch.randint(0, V, (3, 2), generator=gen)
    prev, c1, c2, logits = torch.zeros(2, E), torch.zeros(2, H), torch.zeros(2, E), []
    for ids in x:
        e = embedding(ids, names["encoder.embedding"])
        h, c1 = qrnn_layer(e, prev, c1.detach(), names["encoder.layer1.weight"], names["encoder.layer1.bias"], 2)
        h, c2 = qrnn_layer(h, None, c2.detach(), names["encoder.layer2.weight"], names["encoder.layer2.bias"], 1)
        prev = e[-1].detach()
        logits.append(linear(h, names["encoder.embedding"], names["bias"]))
    loss = cross_entropy(logits[-1].reshape(-1, V), y.reshape(-1))
    loss.backward()
    show("qrnn", weights=weights, x=[b + 1 for b in x], y=y + 1, logits=logits, loss=loss, grads=gradients(names))


print("-- awd.lua: made by `python3 tests/golden/awd.py > tests/golden/awd.lua`, fastai %s, torch %s, float64. Do not edit."
      % (fastai.__version__, torch.__version__))
print("return {")
language_model()
texts("texts_whole", [3, 3, 2], 4, 72 * 20, lin_ftrs=[5])
texts("texts_in_pieces", [12, 7, 3, 1], 4, 72 * 20, lin_ftrs=[5])
texts("texts_pooled_in_part", [16, 11, 9, 6, 1], 4, 8, lin_ftrs=[5, 4])
texts("texts_alone", [15, 11, 6, 2], 4, 5, lin_ftrs=[5], alone=True)
texts("score", [8, 5, 2], 4, 72 * 20, n_class=1, y_range=(-.5, 5.5), layers=1, lin_ftrs=[5])
qrnn()
print("}")
