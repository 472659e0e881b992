--- mixup_spec: blended batches have PyTorch's losses and gradients; the draws are what they should be and go on after a stop.
local lu = require "luaunit"
local kooka = require "kooka"
local learner = require "kooka.learn.learner"
local mixup = require "kooka.nn.mixup"
local nn = require "kooka.nn"
local small = require "small_fits"
local golden = dofile((arg[0]:match "^(.*)/lua/[^/]*$" or "tests") .. "/golden/mixup.lua")

require("kooka.progress").quiet = true

local function ids(list) return kooka.tensor(list, "int32") end

local function flat(v, out)
  out = out or {}
  if type(v) == "table" then
    for _, e in ipairs(v) do flat(e, out) end
  else
    out[#out + 1] = v
  end
  return out
end

local function close(what, got, want, margin)
  got, want = flat { type(got) == "number" and got or got:tolist() }, flat { want }
  lu.assertEquals(#got, #want, what)
  for i = 1, #want do
    local off = math.abs(got[i] - want[i]) / math.max(1, math.abs(want[i]))
    if off > (margin or 1e-5) or off ~= off then lu.fail(("%s[%d] is %.9g, expected %.9g"):format(what, i, got[i], want[i])) end
  end
end

-- A stream that answers the golden file's permutation.
local function given(perm)
  return { shuffle = function() return table.move(perm, 1, #perm, 1, {}) end, below = function() return 1 end }
end

local function golden_model()
  local m = nn.classifier { vocab = 9, embed = 3, hidden = 4, layers = 2, classes = 3, head = { 4 }, drop = 0, head_p = 0, last_p = 0,
    weights = golden.class_weight }
  local state = m:state()
  for name, values in pairs(golden.weights) do state[name] = kooka.tensor(values) end
  return m:load_state(state):train()
end

local function batch() return { x = ids(golden.x), lens = ids(golden.lens), y = ids(golden.y), n = #golden.y } end

TestGolden = {}

local function compare(at, options)
  local m, want = golden_model(), golden[at]
  options.lam, options.stream = golden.lam, given(golden.perm)
  local mix = mixup(m, options)
  local tape <close> = kooka.tape()
  local loss, stats = m:loss(batch())
  close("loss", loss:item(), want.loss)
  close("nll", stats[1]:item(), want.nll)
  lu.assertEquals(stats[2]:item(), 5)
  tape:backward(loss)
  local n = 0
  for _, p in ipairs(m:named_parameters()) do
    if want.grads[p.name] then
      n = n + 1
      close("d " .. p.name, p.tensor:grad(), want.grads[p.name], 2e-5)
    end
  end
  lu.assertEquals(n, 17)
  lu.assertEquals(mix.last, { lam = golden.lam, layer = at })
end

function TestGolden.test_word_mixup_is_pytorchs() compare(0, { kind = "word" }) end
function TestGolden.test_sent_mixup_is_pytorchs() compare("pool", { kind = "sent" }) end
function TestGolden.test_manifold_mixup_behind_the_first_layer_is_pytorchs() compare(1, { layers = 1 }) end
function TestGolden.test_manifold_mixup_behind_the_last_layer_is_pytorchs() compare(2, { layers = { 2 } }) end

TestMixup = {}

-- All texts as long: a blend is never longer than its first text.
function TestMixup.test_lambda_one_is_the_plain_loss_and_evaluation_is_never_blended()
  local even = batch()
  even.x, even.lens = even.x:narrow(1, 1, 1):contiguous(), ids { 1, 1, 1, 1, 1 }
  for _, kind in ipairs { "word", "sent", "manifold" } do
    local m = golden_model()
    local plain = m:loss(even):item()
    local before = m:state()["norm1.running_mean"]:tolist()
    m:eval()
    local evaluated = m:loss(even):item()
    m:train()
    local mix = mixup(m, { kind = kind, lam = 1 })
    close(kind, m:loss(even):item(), plain)
    lu.assertNotEquals(m:state()["norm1.running_mean"]:tolist(), before)
    m:eval()
    lu.assertNotEquals(evaluated, plain)
    local now = m:loss(even):item()
    mix:remove()
    lu.assertEquals(m:loss(even):item(), now)                   -- in evaluation nothing was blended
    m:train()
    close(kind, m:loss(even):item(), plain)
  end
end

function TestMixup.test_padding_is_zero_whatever_stands_there()
  local a, b = batch(), batch()
  for t = 1, golden.lens[1] do
    for i, n in ipairs(golden.lens) do
      if t > n then b.x:select(1, t):narrow(1, i, 1):fill_(1 + (t + i) % 9) end
    end
  end
  lu.assertNotEquals(a.x:tolist(), b.x:tolist())
  for _, at in ipairs { 0, 1, 2 } do
    local m = golden_model()
    mixup(m, { layers = at, lam = .4, stream = given(golden.perm) })
    lu.assertEquals(m:loss(a):item(), m:loss(b):item())
  end
end

function TestMixup.test_soft_labels_weights_and_the_focal_loss_are_blended_too()
  local m = nn.classifier { vocab = 9, embed = 3, hidden = 4, layers = 1, classes = 3, drop = 0, loss = "focal" }
  mixup(m, { kind = "word", lam = .5 })
  local loss = m:loss(batch())
  lu.assertTrue(loss:item() > 0)
  m = nn.classifier { vocab = 9, embed = 3, hidden = 4, layers = 1, classes = 3, drop = 0 }
  local soft = batch()
  soft.y, soft.soft = nil, kooka.tensor { { 1, 0, 0 }, { .5, .5, 0 }, { 0, 0, 1 }, { 0, 1, 0 }, { .2, .3, .5 } }
  soft.weight = kooka.tensor { 1, 2, 1, 1, 1 }
  mixup(m, { kind = "sent", lam = .5 })
  local value = m:loss(soft):item()
  lu.assertTrue(value > 0 and value < 10)
end

-- Central differences of the whole blended loss along one random direction of all parameters.
function TestMixup.test_the_gradient_is_that_of_differences()
  for _, at in ipairs { 0, 1, "pool" } do
    local m = golden_model()
    mixup(m, { layers = at, lam = .7, stream = given(golden.perm) })
    local direction, slope = {}, 0
    do
      local tape <close> = kooka.tape()
      tape:backward((m:loss(batch())))
      for i, p in ipairs(m:parameters()) do
        local d = kooka.random("direction " .. i, 3):fill_normal(kooka.zeros(table.unpack(p:shape()))):keep()
        direction[i] = d
        slope = slope + (p:grad() * d):sum():item()
      end
    end
    local function moved(by)
      for i, p in ipairs(m:parameters()) do p:copy_(p:detach() + direction[i] * by) end
      return m:loss(batch()):item()
    end
    local eps = 2 ^ -9
    local up = moved(eps)
    local down = moved(-2 * eps)
    local difference = (up - down) / (2 * eps)
    lu.assertAlmostEquals(difference, slope, .02 * math.max(1, math.abs(slope)), tostring(at))
  end
end

function TestMixup.test_beta_has_its_mean_and_variance()
  for _, alpha in ipairs { .1, .4, 1, 2, 8 } do
    local stream, sum, squares, n = kooka.random("beta test", 1), 0, 0, 20000
    for _ = 1, n do
      local v = mixup.beta(stream, alpha)
      lu.assertTrue(v >= 0 and v <= 1)
      sum, squares = sum + v, squares + v * v
    end
    local mean, want = sum / n, 1 / (4 * (2 * alpha + 1))
    lu.assertAlmostEquals(mean, .5, 5 * math.sqrt(want / n))
    lu.assertAlmostEquals(squares / n - mean * mean, want, .05 * want)
  end
end

function TestMixup.test_layers_are_drawn_and_the_seed_decides()
  local m = golden_model()
  local mix, seen = mixup(m, { alpha = .4, seed = 5 }), {}
  local drawn = {}
  for i = 1, 40 do
    m:loss(batch())
    seen[tostring(mix.last.layer)] = true
    drawn[i] = mix.last
  end
  lu.assertEquals(seen, { ["0"] = true, ["1"] = true, ["2"] = true, pool = true })
  local kept
  mix:remove()
  mix = mixup(m, { alpha = .4, seed = 5 })
  for i = 1, 40 do
    if i == 20 then kept = mix:state() end
    m:loss(batch())
    lu.assertEquals(mix.last, drawn[i])
  end
  mix:load_state(kept)
  m:loss(batch())
  lu.assertEquals(mix.last, drawn[20])
end

function TestMixup.test_misuse_raises()
  local m = golden_model()
  lu.assertErrorMsgContains("layer 3, expected 0 (the embedding) to 2 or \"pool\"", mixup, m, { layers = 3 })
  lu.assertErrorMsgContains("kind is 'x'", mixup, m, { kind = "x" })
  lu.assertErrorMsgContains("alpha is 0", mixup, m, { alpha = 0 })
  lu.assertErrorMsgContains("word mixup has no layers", mixup, m, { kind = "word", layers = 1 })
  mixup(m)
  lu.assertErrorMsgContains("wrapped already", mixup, m)
  lu.assertErrorMsgContains("expected a classifier", mixup, nn.regressor { vocab = 9, embed = 3, hidden = 4, layers = 1 })
end

TestFits = {}

local dir = os.tmpname()
os.remove(dir)
assert(kooka.sys.mkdir_p(dir))

local function weights(model)
  local out = {}
  for _, p in ipairs(model:named_parameters()) do out[p.name] = p.tensor:tolist() end
  return out
end

-- A fit with mixup; stop: a callback that ends it, or nil.
local function fit(kind, path, stop, epochs)
  local o = small.classifier(dir)
  kooka.seed(3)
  local mix = mixup(o.model, { kind = kind, alpha = .5, seed = 2 })
  o.callbacks, o.epochs, o.say = { mix, stop }, epochs or 3, function() end
  o.checkpoint, o.checkpoint_steps = path, path and 2
  local ok, history = pcall(learner.fit, o)
  return o.model, history, ok
end

function TestFits.test_a_classifier_learns_on_blends_of_uneven_texts()
  for _, kind in ipairs { "word", "sent", "manifold" } do
    local _, history, ok = fit(kind, nil, nil, 10)
    lu.assertTrue(ok, tostring(history))
    lu.assertTrue(history[10].valid_loss < history[1].valid_loss, kind)
    lu.assertTrue(history[10].accuracy > .8, kind .. ": " .. history[10].accuracy)
  end
end

function TestFits.test_a_fit_that_was_stopped_goes_on_to_the_same_bits()
  local whole = weights((fit("manifold")))
  local path = dir .. "/stopped.kk"
  local count = 0
  local _, _, ok = fit("manifold", path, { after_step = function()
    count = count + 1
    if count == 5 then error("a power cut", 0) end
  end })
  lu.assertFalse(ok)
  lu.assertEquals(weights((fit("manifold", path))), whole)
end

os.exit(lu.LuaUnit.run())
