#!/usr/bin/env python3
"""Checkpoints as PyTorch and fastai write them, and what they must give: tests/golden/pretrained/ and pretrained.lua.

    python3 tests/golden/pretrained.py       (torch 2.13.0, fastai 2.8.12, CPU)

fastai's AWD_LSTM language model with seeded weights, saved by torch.save as a zip archive and in the legacy format, with its
optimizer (fastai's save_model), its encoder alone (what save_encoder writes), and after fastai's match_embeds. The QRNN is a
plain PyTorch one under fastai v1's names (fastai's own needs CUDA). tensors.pth has what a view can be; big.pth is the same
with its numbers turned around, as a big-endian machine writes them; itos*.pkl are word lists in every protocol of pickle.
"""
import collections, json, os, pickle, shutil, struct, zipfile
import numpy as np
import torch
import torch.nn.functional as F
import fastai
from fastai.optimizer import Adam
from fastai.learner import save_model
from fastai.text.learner import match_embeds
from fastai.text.models.awdlstm import AWD_LSTM, awd_lstm_lm_config
from fastai.text.models.core import get_language_model

here = os.path.dirname(os.path.abspath(__file__))
out = os.path.join(here, "pretrained")
shutil.rmtree(out, ignore_errors=True)
os.makedirs(out)
path = lambda name: os.path.join(out, name)
V, E, H, L = 9, 4, 5, 3
ids = torch.tensor([[2, 4, 5, 8, 0, 3], [2, 7, 7, 1, 6, 4]])     # [B,T], counted from 0


def lua(v):
    if isinstance(v, torch.Tensor):
        v = v.tolist()
    if isinstance(v, (list, tuple)):
        return "{" + ", ".join(lua(e) for e in v) + "}"
    if isinstance(v, str):
        return '"' + "".join(c if 32 <= b < 127 and c not in '"\\' else "\\%03d" % b for c, b in ((chr(b), b) for b in v.encode())) + '"'
    return "%.9g" % v


def language_model(seed):
    torch.manual_seed(seed)
    m = get_language_model(AWD_LSTM, V, dict(awd_lstm_lm_config, emb_sz=E, n_hid=H, n_layers=L))
    m[1].decoder.bias.data.uniform_(-1, 1)
    m[0].encoder.weight.data.mul_(10)          # logits that tell words apart
    return m.eval()


def logits(m):
    m.reset()
    with torch.no_grad():
        return m(ids)[0].transpose(0, 1)       # [T,B,V]


golden = {"ids": (ids + 1).T}
m = language_model(7)
torch.save(m.state_dict(), path("lm.pth"))
torch.save(m.state_dict(), path("lm_legacy.pth"), _use_new_zipfile_serialization=False)
torch.save(m[0].state_dict(), path("encoder.pth"), _use_new_zipfile_serialization=False)
golden["lm"] = logits(m)

# one step of fastai's Adam, so that the optimizer has a state
m = language_model(8)
opt = Adam([[p for p in m.parameters()]], lr=1e-3)
m(ids)[0].sum().backward()
opt.step()
opt.hypers[0]["lr"] = np.float64(1e-3)                # as fastai's schedules leave it
save_model(path("lm_bwd_opt.pth"), m, opt)
golden["lm_bwd_opt"] = logits(m)

# the vocabulary: words that are there, one that is not, one twice
itos = ["xxunk", "xxpad", "xxbos", "the", "caf\u00e9", "\U0001f602", "a\nb", "the", "'q'\\"]
new = ["xxunk", "xxpad", "the", "new", "\U0001f602", "xxbos", "a\nb", "other", "caf\u00e9", "the", "'q'\\"]
w = match_embeds(dict(language_model(7).state_dict()), itos, new)
golden.update(itos=itos, new=new, embedding=w["0.encoder.weight"], bias=w["1.decoder.bias"])
for p in range(6):
    with open(path("itos%d.pkl" % p), "wb") as f:
        pickle.dump(itos, f, protocol=p)


# ---- the QRNN, fastai v1's names
def qrnn_state(seed):
    g = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=g)
    s = {"0.encoder.weight": draw(V, E)}
    s["0.encoder_dp.emb.weight"] = s["0.encoder.weight"]
    for i in range(L):
        d, h, window = E if i == 0 else H, E if i == L - 1 else H, 2 if i == 0 else 1
        at = "0.rnns.%d.layers.0.linear." % i
        s[at + "weight_raw"] = draw(3 * h, window * d)
        s[at + "module.weight"] = F.dropout(s[at + "weight_raw"], .5)       # what the last batch left there
        s[at + "module.bias"] = draw(3 * h)
    s["1.decoder.weight"] = s["0.encoder.weight"]
    s["1.decoder.bias"] = draw(V)
    return s


def qrnn_logits(s):
    x = F.embedding(ids.T, s["0.encoder.weight"])
    for i in range(L):
        at = "0.rnns.%d.layers.0.linear." % i
        source = torch.cat([x, torch.cat([torch.zeros_like(x[:1]), x[:-1]])], 2) if i == 0 else x
        z, f, o = F.linear(source, s[at + "weight_raw"], s[at + "module.bias"]).chunk(3, 2)
        z, f, c, y = torch.tanh(z), torch.sigmoid(f), 0, []
        for t in range(len(x)):
            c = f[t] * z[t] + (1 - f[t]) * c
            y.append(torch.sigmoid(o[t]) * c)
        x = torch.stack(y)
    return F.linear(x, s["1.decoder.weight"], s["1.decoder.bias"])


s = qrnn_state(3)
torch.save({"model": s}, path("qrnn_legacy.pth"), _use_new_zipfile_serialization=False)
golden["qrnn"] = qrnn_logits(s)

# ---- what a tensor can be
base = torch.arange(12, dtype=torch.float32)
tensors = {
    "turned": base.view(3, 4).t(), "part": base[5:9], "every_third": base[1::3], "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 3),
    "half": torch.tensor([1.5, -.25]).half(), "bfloat16": torch.tensor([1.5, -3.]).bfloat16(), "double": torch.tensor([.1]).double(),
    "long": torch.tensor([2 ** 40, -1]), "int": torch.tensor([7], dtype=torch.int32), "short": torch.tensor([-5], dtype=torch.int16),
    "bytes": torch.tensor([200], dtype=torch.uint8), "bool": torch.tensor([True, False]), "parameter": torch.nn.Parameter(torch.tensor([[1.]])),
    "nested": {"list": [1, None, "x", (True, 1.5)], 5: "five", "size": torch.Size([2, 3])},
}
torch.save(tensors, path("tensors.pth"))
with zipfile.ZipFile(path("tensors.pth")) as z, zipfile.ZipFile(path("big.pth"), "w") as big:
    sizes = {0: 4}
    from torch._utils import _element_size
    widths = {}
    class Reader(pickle.Unpickler):                       # only for our own file of a moment ago
        def persistent_load(self, pid):
            widths[pid[2]] = _element_size(pid[1].dtype)
            return torch.UntypedStorage(0)
        def find_class(self, module, name):
            if name == "_rebuild_tensor_v2" or name == "_rebuild_parameter":
                return lambda *a: None
            return super().find_class(module, name)
    with z.open("tensors/data.pkl") as f:
        Reader(f).load()
    for it in z.infolist():
        data = z.read(it)
        key = it.filename.split("/data/")[-1]
        if it.filename.endswith("byteorder"):
            data = b"big"
        elif "/data/" in it.filename and widths[key] > 1:
            n = widths[key]
            data = b"".join(data[i:i + n][::-1] for i in range(0, len(data), n))
        big.writestr(it.filename, data)

# ---- what the fuzz targets begin with (tests/fuzz)
values = {"a": [1, -2, 300, 70000, 2 ** 40, -2 ** 70, True, None, 2.5, "\u00e9\U0001f602", b"\0\xff"], ("t", 1): {1, 2}, "e": ((), [], {}),
          "o": collections.OrderedDict([("x", 1)]), "f": frozenset([3]), "n": np.float64(.5), "s": "same" * 80}
values["again"] = values["a"]
for p in (0, 2, 5):
    with open(path("values%d.pkl" % p), "wb") as f:
        pickle.dump(dict(values, a=values["a"][:5], again=[]) if p == 0 else values, f, protocol=p)
with zipfile.ZipFile(path("lm_bwd_opt.pth")) as z, open(path("model_opt.pkl"), "wb") as f:
    f.write(z.read("lm_bwd_opt/data.pkl"))
with zipfile.ZipFile(path("zip64.zip"), "w") as z:
    for name in ("a", "b/c"):
        with z.open(zipfile.ZipInfo(name), "w", force_zip64=True) as f:
            f.write(name.encode() * 9)
zip64 = open(path("zip64.zip"), "rb").read()     # Python writes the big numbers only for big files: put them there
at, end = zip64.index(b"PK\1\2"), zip64.index(b"PK\5\6")
directory = b""
for k in range(2):
    name_n = struct.unpack_from("<H", zip64, at + 28)[0]
    size, packed, offset = *struct.unpack_from("<II", zip64, at + 20), struct.unpack_from("<I", zip64, at + 42)[0]
    directory += (zip64[at:at + 20] + b"\xff" * 8 + zip64[at + 28:at + 30] + struct.pack("<H", 28) + zip64[at + 32:at + 42] + b"\xff" * 4
                  + zip64[at + 46:at + 46 + name_n] + struct.pack("<HHQQQ", 1, 24, size, packed, offset))
    at += 46 + name_n
begin = zip64.index(b"PK\1\2")
tail = struct.pack("<IQHHIIQQQQ", 0x06064b50, 44, 45, 45, 0, 0, 2, 2, len(directory), begin)
tail += struct.pack("<IIQI", 0x07064b50, 0, begin + len(directory), 1) + struct.pack("<IHHHHIIH", 0x06054b50, 0, 0, 0xffff, 0xffff, 0xffffffff, 0xffffffff, 0)
open(path("zip64.zip"), "wb").write(zip64[:begin] + directory + tail)
zipfile.ZipFile(path("zip64.zip")).testzip()
def safetensors(header, data):
    header = json.dumps(header, ensure_ascii=False).encode()
    return struct.pack("<Q", len(header)) + header + data
open(path("small.safetensors"), "wb").write(safetensors({"__metadata__": {"format": "pt", "e": "\u00e9\n"},
    "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, "b": {"dtype": "I64", "shape": [1], "data_offsets": [24, 32]}}, bytes(32)))
open(path("odd.safetensors"), "wb").write(safetensors({"h": {"dtype": "F16", "shape": [], "data_offsets": [0, 2]},
    "z": {"dtype": "BF16", "shape": [0, 9], "data_offsets": [2, 2]}, "u": {"dtype": "BOOL", "shape": [3, 1, 1], "data_offsets": [2, 5]},
    "c": {"dtype": "C64", "shape": [1], "data_offsets": [5, 13]}}, bytes(13)))

with open(os.path.join(here, "pretrained.lua"), "w") as f:
    f.write("-- pretrained.lua: made by `python3 tests/golden/pretrained.py`, torch %s, fastai %s. Do not edit.\nreturn {\n" % (torch.__version__, fastai.__version__))
    for k, v in golden.items():
        f.write("  %s = %s,\n" % (k, lua(v)))
    f.write("}\n")
