--- awd_spec: language models and models of texts give fastai's numbers with fastai's weights; dropouts drop what they should,
-- as often as they should; the published numbers of weights; what starts as what.
local lu = require "luaunit"
local kooka = require "kooka"
local nn = require "kooka.nn"
local golden = dofile((arg[0]:match "^(.*)/lua/[^/]*$" or "tests") .. "/golden/awd.lua")
local fates = dofile((arg[0]:match "^(.*)/lua/[^/]*$" or "tests") .. "/golden/dropouts.lua")

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
  got, want = flat(type(got) == "number" and { got } or got:tolist()), flat { want }
  lu.assertEquals(#got, #want, what)
  for i = 1, #want do
    local off = math.abs(got[i] - want[i]) / math.max(1, math.abs(want[i]))
    if off > (margin or 1e-5) or off ~= off then
      lu.fail(("%s[%d] is %.9g, expected %.9g"):format(what, i, got[i], want[i]))
    end
  end
end

local function ids(list) return kooka.tensor(list, "int32") end

local function load(model, weights)
  local state = {}
  for name, values in pairs(weights) do state[name] = kooka.tensor(values) end
  return model:load_state(state)
end

local function close_gradients(model, want)
  local n = 0
  for _, p in ipairs(model:named_parameters()) do
    if want[p.name] then
      n = n + 1
      close("d " .. p.name, p.tensor:grad(), want[p.name], 2e-5)
    end
  end
  for _ in pairs(want) do n = n - 1 end
  lu.assertEquals(n, 0, "a gradient is missing")
end

TestLikeFastai = {}

local function compare_language_model(k, cell)
  local m = nn.language_model { vocab = 11, cell = cell, embed = 3, hidden = 4, layers = 2, drop = 0,
    alpha = cell == "qrnn" and 0 or 2, beta = cell == "qrnn" and 0 or 1 }
  load(m, k.weights):eval()
  local state
  for i, x in ipairs(k.x) do
    local logits, new = m(ids(x), state)
    close("logits of batch " .. i, logits, k.logits[i])
    state = m.encoder:carry(new)
  end
  m:train()
  state = nil
  for i = 1, #k.x - 1 do
    local _, new = m(ids(k.x[i]), state)
    state = m.encoder:carry(new)
  end
  local tape <close> = kooka.tape()
  local loss, stats = m:loss({ x = ids(k.x[#k.x]), y = ids(k.y) }, state)
  close("loss", loss:item(), k.loss)
  if k.true_loss then close("nll", stats[1]:item() / stats[2]:item(), k.true_loss) end
  tape:backward(loss)
  close_gradients(m, k.grads)
end

function TestLikeFastai.test_language_model_with_carried_states_and_penalties()
  compare_language_model(golden.language_model, "lstm")
end

function TestLikeFastai.test_qrnn_language_model_across_segments_is_plain_pytorch_s()
  compare_language_model(golden.qrnn, "qrnn")
end

local function compare_texts(name, make, o)
  local k = golden[name]
  o.vocab, o.embed, o.hidden, o.padding, o.drop, o.last_p = 11, 3, 4, 0, 0, 0
  o.bptt, o.max_len, o.head_bias = k.bptt, k.max_len, false
  o.layers = o.layers or 2
  local m = load(make(o), k.weights):eval()
  local x, lens = ids(k.x), ids(k.lens)
  close("pooled", (m:pool(x, lens)), k.pooled)
  close("out", (m(x, lens)), k.out)
  if not k.loss then return end
  m:train()
  local tape <close> = kooka.tape()
  local loss = m:loss { x = x, lens = lens, y = k.y and ids(k.y), score = k.score and kooka.tensor(k.score) }
  close("loss", loss:item(), k.loss)
  tape:backward(loss)
  close_gradients(m, k.grads)
end

function TestLikeFastai.test_texts_of_one_piece() compare_texts("texts_whole", nn.classifier, { head = 5 }) end
function TestLikeFastai.test_texts_in_pieces() compare_texts("texts_in_pieces", nn.classifier, { head = 5 }) end
function TestLikeFastai.test_only_the_last_tokens_are_pooled_and_the_head_may_be_deeper()
  compare_texts("texts_pooled_in_part", nn.classifier, { head = { 5, 4 } })
end
function TestLikeFastai.test_texts_of_odd_lengths_as_fastai_reads_each_alone() compare_texts("texts_alone", nn.classifier, { head = 5 }) end
function TestLikeFastai.test_a_score_in_a_range() compare_texts("score", nn.regressor, { head = 5, layers = 1, range = { -.5, 5.5 } }) end

TestPieces = {}

local function small(o)
  local all = { vocab = 20, embed = 4, hidden = 5, layers = 2, head = 3, seed = 5 }
  for k, v in pairs(o or {}) do all[k] = v end
  return all
end

function TestPieces.test_states_do_not_depend_on_the_company_of_a_batch()
  local m = nn.classifier(small { bptt = 4, max_len = 6 }):eval()
  local lens = { 17, 14, 9, 9, 6, 2 }
  local x = kooka.randint(1, 20, 17, 6, kooka.random("company", 1))
  local all = m:pool(x, ids(lens)):tolist()
  for b, n in ipairs(lens) do
    close("row " .. b, (m:pool(x:narrow(1, 1, n):narrow(2, b, 1):contiguous(), ids { n })), all[b])
  end
end

function TestPieces.test_without_bptt_a_text_is_read_whole_and_gives_the_same_states()
  local a, b = nn.classifier(small()):eval(), nn.classifier(small { bptt = 3 }):eval()
  local x, lens = kooka.randint(1, 20, 10, 3, kooka.random("whole", 1)), ids { 10, 8, 1 }
  close("pooled", (b:pool(x, lens)), (a:pool(x, lens)):tolist())
end

function TestPieces.test_a_hundred_pieces()
  local a, b = nn.classifier(small()):eval(), nn.classifier(small { bptt = 2, max_len = 1000 }):eval()
  local x = kooka.randint(1, 20, 200, 2, kooka.random("hundred", 1))
  close("pooled", (b:pool(x)), (a:pool(x)):tolist())
end

function TestPieces.test_what_is_wrong_is_said()
  lu.assertErrorMsgContains("bptt is 0, expected", nn.classifier, small { bptt = 0 })
  lu.assertErrorMsgContains("max_len is 0", nn.regressor, small { bptt = 5, max_len = 0 })
  lu.assertErrorMsgContains("expected {low, high}", nn.regressor, small { range = { 5, 0 } })
  lu.assertErrorMsgContains("3 weights for 2 classes", nn.classifier, small { weights = { 1, 2, 3 } })
  lu.assertErrorMsgContains("loss is hinge", nn.classifier, small { loss = "hinge" })
  local m = nn.classifier(small())
  lu.assertErrorMsgContains("one row has no variance", m.loss, m, { x = ids { { 1 } }, y = ids { 1 } })
end

TestPenalties = {}

function TestPenalties.test_ar_reads_the_dropped_output_or_the_raw_one()
  local x = kooka.randint(1, 20, 6, 3, kooka.random("penalty", 1))
  local function losses(penalty)
    local m = nn.language_model { vocab = 20, embed = 4, hidden = 5, layers = 2, embed_p = 0, input_p = 0, hidden_p = 0,
      weight_p = 0, output_p = .5, alpha = 3, beta = 0, penalty = penalty, seed = 8 }
    local seed, drawn = kooka.op_stream():state()
    local function again(f)
      kooka.op_stream():state(seed, drawn)
      return f()
    end
    local with = again(function() return (m:loss { x = x, y = x }):item() end)
    m.alpha = 0
    local without = again(function() return (m:loss { x = x, y = x }):item() end)
    local dropped, raw = again(function()
      local _, _, h, r = m(x)
      return h, r
    end)
    return with - without, 3 * kooka.mean(dropped * dropped):item(), 3 * kooka.mean(raw * raw):item()
  end
  local extra, dropped, raw = losses "dropped"
  lu.assertAlmostEquals(extra, dropped, 1e-5)
  lu.assertTrue(math.abs(dropped / raw - 1) > .05)
  local again, _, undropped = losses "raw"
  lu.assertAlmostEquals(again, undropped, 1e-5)
  lu.assertErrorMsgContains("penalty is both", losses, "both")
end

function TestPenalties.test_a_classifier_can_have_them_too()
  local x, y = kooka.randint(1, 20, 6, 4, kooka.random("penalty", 2)), ids { 1, 2, 1, 2 }
  local a, b = nn.classifier(small { drop = 0, last_p = 0 }), nn.classifier(small { drop = 0, last_p = 0, alpha = 2, beta = 1 })
  local _, h = a:pool(x)
  close("loss", b:loss({ x = x, y = y }):item() - a:loss({ x = x, y = y }):item(),
    kooka.activation_penalty(h, h, { alpha = 2, beta = 1 }):item())
end

TestDropouts = {}

-- Share of hits within 4 standard deviations of p.
local function assert_rate(hits, n, p)
  local sd = math.sqrt(n * p * (1 - p))
  lu.assertTrue(math.abs(hits - n * p) < 4 * sd, ("%d of %d, expected %.1f with sd %.1f"):format(hits, n, n * p, sd))
end

function TestDropouts.test_embedding_dropout_drops_word_types_for_the_whole_batch()
  local V, p = 4000, .3
  local table_ = kooka.ones(V, 2)
  local x = kooka.cat(kooka.arange(1, V, 1, "int32"), kooka.arange(V, 1, -1, "int32")):reshape(2 * V, 1)
  local y = kooka.embedding(x, table_, { row_drop = p, stream = kooka.random("rows", 1) }):tolist()
  local gone = 0
  for i = 1, V do
    local a, b = y[i][1], y[2 * V + 1 - i][1]                        -- the same word at two places
    lu.assertEquals(a, b)
    lu.assertTrue(a[1] == a[2] and (a[1] == 0 or math.abs(a[1] - 1 / (1 - p)) < 1e-6))
    if a[1] == 0 then gone = gone + 1 end
  end
  assert_rate(gone, V, p)
end

function TestDropouts.test_input_and_hidden_dropout_share_one_mask_over_time()
  local T, B, D, p = 5, 40, 60, .4
  local y = kooka.variational_dropout(kooka.ones(T, B, D), { p = p, stream = kooka.random("mask", 1) }):tolist()
  local gone, sum = 0, 0
  for b = 1, B do
    for d = 1, D do
      for t = 2, T do lu.assertEquals(y[t][b][d], y[1][b][d]) end
      if y[1][b][d] == 0 then gone = gone + 1 else lu.assertAlmostEquals(y[1][b][d], 1 / (1 - p), 1e-6) end
      sum = sum + y[1][b][d]
    end
  end
  assert_rate(gone, B * D, p)
  lu.assertTrue(math.abs(sum / (B * D) - 1) < 4 * math.sqrt(p / (1 - p) / (B * D)))
end

-- The layer with input x = 0 and a state h given: gates are w_hh h + b alone, so the first step shows the dropped matrix.
local function recurrent_masks(steps, p)
  local H = 50
  local w_ih, w_hh, b = kooka.zeros(4 * H, 1), kooka.zeros(4 * H, H), kooka.zeros(4 * H)
  w_hh:narrow(1, 2 * H + 1, H):copy_(kooka.eye(H) * .01)                 -- g of unit k reads unit k
  local x, h0, c0 = kooka.zeros(steps, 3, 1), kooka.ones(3, H), kooka.zeros(3, H)
  return kooka.lstm(x, h0, c0, w_ih, w_hh, b, { weight_drop = p, stream = kooka.random("weights", 4) }):tolist(), H
end

function TestDropouts.test_weight_drop_drops_single_weights_once_a_sequence()
  local p = .5
  local y, H = recurrent_masks(3, p)
  local gone, seen = 0, nil
  for k = 1, H do
    for b = 2, 3 do lu.assertEquals(y[1][b][k], y[1][1][k]) end        -- one mask for the batch
    if y[1][1][k] == 0 then
      gone = gone + 1
      for t = 2, 3 do lu.assertEquals(y[t][1][k], 0) end                 -- and for all steps
    else
      seen = seen or y[1][1][k]
      lu.assertAlmostEquals(y[1][1][k], seen, 1e-9)
      lu.assertTrue(y[2][1][k] ~= 0)
    end
  end
  assert_rate(gone, H, p)
  -- 1/(1-p): g = tanh(.02), c = g / 2, h = tanh(c) / 2
  local function tanh(v) return (math.exp(2 * v) - 1) / (math.exp(2 * v) + 1) end
  lu.assertAlmostEquals(seen, tanh(tanh(.01 / (1 - p)) / 2) / 2, 1e-6)
end

function TestDropouts.test_of_a_qrnn_weight_drop_drops_from_the_one_matrix_once_a_sequence()
  local H, p = 300, .3
  local w = kooka.cat(kooka.ones(H, 1) * .5, kooka.zeros(2 * H, 1))     -- z = tanh(.5), f = o = 1/2
  local y = kooka.qrnn(kooka.ones(4, 2, 1), nil, nil, w, kooka.zeros(3 * H), nil,
    { weight_drop = p, stream = kooka.random("qrnn weights", 1) }):tolist()
  local gone, z = 0, (math.exp(1 / (1 - p)) - 1) / (math.exp(1 / (1 - p)) + 1)
  for k = 1, H do
    if y[1][1][k] == 0 then gone = gone + 1 else lu.assertAlmostEquals(y[1][1][k], z / 4, 1e-6) end
    for t = 1, 4 do
      lu.assertEquals(y[t][1][k], y[t][2][k])
      lu.assertEquals(y[t][1][k] == 0, y[1][1][k] == 0)
    end
  end
  assert_rate(gone, H, p)
end

-- Share of pairs with the same fate: neighbours along an axis of y, or what stands at one place of y and of other.
local function same_fate(y, axis, other)
  local n = y:shape(axis)
  local a = flat((other and y or y:narrow(axis, 1, n - 1)):tolist())
  local b, hits = flat((other or y:narrow(axis, 2, n - 1)):tolist()), 0
  for i, v in ipairs(a) do
    if (v == 0) == (b[i] == 0) then hits = hits + 1 end
  end
  return hits / #a
end

-- What fastai's dropouts did to ones, measured on ours in the same way. draws: independent fates that y shows.
local function as_fastai(want, y, axes, other, draws)
  local gone, kept = 0, nil
  for _, v in ipairs(flat(y:tolist())) do
    if v == 0 then gone = gone + 1 else kept = v end
  end
  local function near(name, have)
    local free = want[name] < 1                                             -- 1: one mask serves the whole axis
    local sd = math.sqrt(want[name] * (1 - want[name]) * 2 / draws)
    lu.assertTrue(have == want[name] or free and math.abs(have - want[name]) < 5 * sd,
      ("%s: %.5f, fastai %.5f, sd %.5f"):format(name, have, want[name], sd))
  end
  near("gone", gone / y:numel())
  lu.assertAlmostEquals(kept, want.kept, 1e-4)
  near("again", same_fate(y, 1, other))
  for axis, name in ipairs(axes) do near(name, same_fate(y, axis)) end
end

function TestDropouts.test_statistics_are_fastai_s()
  for _, p in ipairs { .15, .5 } do
    local stream, key = kooka.random("as fastai", 3), "_" .. math.tointeger(100 * p)
    local function hidden()                                                 -- time first here
      return kooka.variational_dropout(kooka.ones(50, 40, 60), { p = p, stream = stream })
    end
    as_fastai(fates["hidden" .. key], hidden(), { "time", "batch", "features" }, hidden(), 40 * 60)
    local words = kooka.arange(1, 3000, 1, "int32")
    local function embedding()
      return kooka.embedding(kooka.cat(words, words):reshape(2, 3000), kooka.ones(3000, 4), { row_drop = p, stream = stream })
    end
    as_fastai(fates["embedding" .. key], embedding(), { "places", "words", "features" }, embedding(), 3000)
    local H = 50
    local w_hh = kooka.zeros(4 * H, H)
    w_hh:narrow(1, 2 * H + 1, H):fill_(.001)                                 -- row j of the batch reads column j of g's matrix
    local function weights()
      local y = kooka.lstm(kooka.zeros(1, H, 1), kooka.eye(H), kooka.zeros(H, H), kooka.zeros(4 * H, 1), w_hh, kooka.zeros(4 * H),
        { weight_drop = p, stream = stream })
      return y:reshape(H, H) / .00025                                        -- h = g / 4, to five digits
    end
    as_fastai(fates["weights" .. key], weights(), { "columns", "rows" }, weights(), H * H)
  end
end

function TestDropouts.test_plain_dropout_of_the_head_keeps_its_mean()
  local n, p = 20000, .4
  local gone, sum = 0, 0
  for _, v in ipairs(kooka.dropout(kooka.ones(n), { p = p, stream = kooka.random("head", 1) }):tolist()) do
    if v == 0 then gone = gone + 1 else lu.assertAlmostEquals(v, 1 / (1 - p), 1e-6) end
    sum = sum + v
  end
  assert_rate(gone, n, p)
  lu.assertTrue(math.abs(sum / n - 1) < 4 * math.sqrt(p / (1 - p) / n))
end

function TestDropouts.test_each_call_draws_anew_and_evaluation_drops_nothing()
  local m = nn.language_model { vocab = 30, embed = 8, hidden = 9, layers = 2, seed = 2 }
  local x = kooka.randint(1, 30, 5, 4, kooka.random("anew", 1))
  local a, b = m(x):tolist(), m(x):tolist()
  lu.assertNotEquals(a, b)
  m:eval()
  a, b = m(x):tolist(), m(x):tolist()
  lu.assertEquals(a, b)
end

function TestDropouts.test_drop_multiplies_all_but_the_last_as_in_fastai()
  local m = nn.classifier(small { drop = .5 })
  lu.assertEquals({ m.encoder.embed_p, m.encoder.input_p, m.encoder.hidden_p }, { .025, .2, .15 })
  lu.assertEquals(m.encoder.cells[1].weight_drop, .25)
  lu.assertEquals(m.head_p, { .2, .1 })
  local l = nn.language_model { vocab = 5, embed = 2, hidden = 2, drop = .5 }
  lu.assertEquals({ l.output_p, l.encoder.input_p, l.encoder.hidden_p, l.encoder.embed_p }, { .05, .125, .075, .01 })
end

TestWeights = {}

function TestWeights.test_published_numbers_of_weights()
  lu.assertEquals(nn.language_model({ vocab = 30000, hidden = 2304, layers = 3 }):count(), 83783856)
  lu.assertEquals(nn.language_model({ vocab = 60000 }):count(), 44333280)
end

function TestWeights.test_layers_start_as_pytorch_s_and_the_embedding_as_fastai_s()
  local m = nn.language_model { vocab = 300, embed = 20, hidden = 25, layers = 2 }
  local function spread(t, bound)
    local low, high, sum = 1, -1, 0
    for _, v in ipairs(flat(t:tolist())) do
      low, high, sum = math.min(low, v), math.max(high, v), sum + v
    end
    lu.assertTrue(low >= -bound and high <= bound and high - low > 1.8 * bound, ("%g .. %g, bound %g"):format(low, high, bound))
    lu.assertTrue(math.abs(sum / t:numel()) < 4 * bound / math.sqrt(3 * t:numel()))
  end
  spread(m.encoder.embedding, .1)
  for i, h in ipairs { 25, 20 } do
    for _, name in ipairs { "weight_ih", "weight_hh", "bias", "bias_hh" } do spread(m.encoder.cells[i][name], 1 / math.sqrt(h)) end
  end
  lu.assertEquals(m.bias:abs():max():item(), 0)
end

function TestWeights.test_weights_with_one_bias_are_loaded_with_the_other_at_zero()
  local old = nn.language_model { vocab = 9, embed = 3, hidden = 4, layers = 2, biases = 1, seed = 1 }:eval()
  local new = nn.language_model { vocab = 9, embed = 3, hidden = 4, layers = 2, seed = 2 }:eval()
  new:load_state(old:state())
  lu.assertEquals(new.encoder.cells[1].bias_hh:abs():max():item(), 0)
  lu.assertEquals(new(ids { { 1 }, { 5 } }):tolist(), old(ids { { 1 }, { 5 } }):tolist())
  lu.assertErrorMsgContains("layer1.bias (16) is missing", new.load_state, new, { ["encoder.layer1.bias_hh"] = kooka.zeros(16) })
end

function TestWeights.test_groups_are_fastai_s()
  local l = nn.language_model { vocab = 9, embed = 3, hidden = 4, layers = 3 }
  local groups = l:groups()
  lu.assertEquals(#groups, 4)
  lu.assertIs(groups[4][1], l.encoder.embedding)
  lu.assertIs(groups[4][2], l.bias)
  local c = nn.ordinal(small { classes = 4 })
  groups = c:groups()
  lu.assertEquals(#groups, 4)
  lu.assertIs(groups[1][1], c.encoder.embedding)
  local n = 0
  for _, g in ipairs(groups) do
    for _, p in ipairs(g) do n = n + p:numel() end
  end
  lu.assertEquals(n, c:count())
end

os.exit(lu.LuaUnit.run())
