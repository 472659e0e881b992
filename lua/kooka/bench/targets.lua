--- targets: what each benchmark is asked to reach, by kind of machine. Data; kinds are those of kooka.bench.machine.
-- ratio: times the peer's speed at least. of_peak: share of the float32 peak at least. share: of the peer's memory at
-- most. at_most: in the row's own unit. A row "... bf16" is `precision = "auto"` against PyTorch in bfloat16.
local targets = {}

-- Both kinds of Intel are asked for the same; amx adds to or changes what one with tiles is asked for.
local function row(intel, zen5, amx) return { intel = intel, ["intel-amx"] = amx or intel, zen5 = zen5 } end

local LAYER = row({ ratio = 1.1, of_peak = .8 }, { ratio = 1.05, of_peak = .9 })
local LAYER_BF16 = row({ ratio = 2 }, { ratio = 1.3 })
local TOKENS = { at_most = 11 }

targets.rows = {
  ["startup"] = row({ at_most = 10 }, { at_most = 10 }),
  ["lstm 400->1152"] = LAYER,
  ["lstm 1152->1152"] = LAYER,
  ["lstm 1152->400"] = LAYER,
  ["lstm 400->1152 bf16"] = LAYER_BF16,
  ["lstm 1152->1152 bf16"] = LAYER_BF16,
  ["lstm 1152->400 bf16"] = LAYER_BF16,
  ["lm full"] = row({ ratio = 1.25 }, { ratio = 1.1, of_peak = .88 }),
  ["lm full bf16"] = row({ ratio = 2.5 }, { ratio = 1.6 }),
  ["lm full bf16 : float32"] = row(nil, nil, { ratio = 5.5 }),
  ["lm full memory"] = row({ share = .35 }, { share = .35 }),
  ["lm full bf16 memory"] = row({ share = .35 }, { share = .3 }),
  ["lm full as installed"] = row({ ratio = 1.9 }, nil),
  ["lm small"] = row({ ratio = 1.4 }, { ratio = 1.3 }),
  ["lm small bf16"] = row({ ratio = 2 }, { ratio = 1.6 }),
  ["classifier padded"] = row({ ratio = 1.5 }, { ratio = 1.3 }),
  ["classifier padded bf16"] = row({ ratio = 2.2 }, { ratio = 1.7 }),
  ["classifier tweets"] = row({ ratio = 2.2 }, { ratio = 1.8 }),
  ["classifier tweets bf16"] = row({ ratio = 3 }, { ratio = 2.2 }),
  ["one message"] = row({ ratio = 1.3 }, { ratio = 4 }),
  ["one message bf16"] = row({ ratio = 1.4 }, { ratio = 3 }),
  ["one message int8"] = row({ ratio = 4 }, nil),
  ["cv head"] = row({ ratio = 20 }, { ratio = 20 }),
  ["qrnn lm"] = row({ ratio = 2 }, { ratio = 2 }),
  ["qrnn lm bf16"] = row({ ratio = 2.5 }, { ratio = 2 }),
  ["linear+ce"] = row({ ratio = 1.15 }, { ratio = 1.1 }),
  ["linear+ce bf16"] = row({ ratio = 3 }, { ratio = 1.35 }),
  ["linear+ce memory"] = row({ share = .1 }, { share = .1 }),
  ["linear+ce bf16 memory"] = row({ share = .1 }, { share = .1 }),
  ["smote 100000x400"] = row({ ratio = 5 }, { ratio = 5 }),
  ["smote 100000x400 as installed"] = row({ ratio = 5 }, { ratio = 5 }),
  ["borderline-smote 100000x400"] = row({ ratio = 4 }, { ratio = 4 }),
  ["adasyn 100000x400"] = row({ ratio = 4 }, { ratio = 4 }),
  ["heads 1000x100x400"] = { any = { ratio = 50 } },
  ["heads 10000, logistic"] = { any = { ratio = 50 } },
  ["heads 10000, ridge"] = { any = { ratio = 50 } },
  -- Ten times the tokens: the time, the memory of the process, and what each further token takes over its activations.
  ["lm tokens x10 time"] = { any = TOKENS },
  ["lm tokens x10 memory"] = { any = { at_most = 10 } },
  ["lm tokens x10 bytes"] = { any = { at_most = 3 } },
}

--- of(name, kind) -> {ratio=, of_peak=, share=, at_most=} or nil
function targets.of(name, kind)
  local t = targets.rows[name]
  return t and kind and (t.any or t[kind]) or nil
end

local function check(out, text, wanted, got, pass)
  out[#out + 1] = { text = text, wanted = wanted, got = got, pass = pass }
end

--- judge(wanted, record) -> list of {text=, wanted=, got=, pass=}, pass
-- pass: all are met; nil: none is missed, and one could not be judged. record: ours, ratio, peak_fraction, unit.
function targets.judge(wanted, r)
  local out, pass = {}, true
  if wanted.ratio then check(out, (">= %gx"):format(wanted.ratio), wanted.ratio, r.ratio, r.ratio and r.ratio >= wanted.ratio) end
  if wanted.share then check(out, ("<= %gx"):format(wanted.share), wanted.share, r.ratio, r.ratio and r.ratio <= wanted.share) end
  if wanted.at_most then
    check(out, ("<= %g %s"):format(wanted.at_most, r.unit), wanted.at_most, r.ours, r.ours and r.ours <= wanted.at_most)
  end
  if wanted.of_peak then
    check(out, (">= %g%% of peak"):format(100 * wanted.of_peak), wanted.of_peak, r.peak_fraction,
      r.peak_fraction and r.peak_fraction >= wanted.of_peak)
  end
  for _, c in ipairs(out) do
    if c.pass == false then return out, false end
    if c.pass == nil then pass = nil end
  end
  return out, pass
end

return targets
