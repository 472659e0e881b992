--- heads_spec: losses by their formulas, the heads for scores, ordered classes and two tasks, and what feeds them.
local lu = require "luaunit"
local kooka = require "kooka"
local batches = require "kooka.data.batches"
local learner = require "kooka.learn.learner"
local nn = require "kooka.nn"
local optim = require "kooka.learn.optim"
local sources = require "kooka.learn.sources"

require("kooka.progress").quiet = true

local function ids(list) return kooka.tensor(list, "int32") end

local function probabilities(row)
  local sum, out = 0, {}
  for k, v in ipairs(row) do
    out[k] = math.exp(v)
    sum = sum + out[k]
  end
  for k in ipairs(row) do out[k] = out[k] / sum end
  return out
end

local LOGITS, LABELS = { { 1, -.5, .2 }, { -1, .3, 2 }, { 0, 0, .1 }, { .5, -2, 1 } }, { 1, 3, 0, 2 }

TestLosses = {}

function TestLosses.test_focal_takes_p_from_the_model_whatever_the_weights()
  local weights, gamma = { 2, 5, .5 }, 1.5
  local loss, stats = kooka.focal_loss(kooka.tensor(LOGITS), ids(LABELS), kooka.tensor(weights), { gamma = gamma })
  local sum, norm, nll = 0, 0, 0
  for i, y in ipairs(LABELS) do
    if y > 0 then
      local p = probabilities(LOGITS[i])[y]
      sum, norm, nll = sum - weights[y] * (1 - p) ^ gamma * math.log(p), norm + weights[y], nll - math.log(p)
    end
  end
  lu.assertAlmostEquals(loss:item(), sum / norm, 1e-6)
  lu.assertAlmostEquals(stats[1]:item(), nll, 1e-5)
  lu.assertEquals({ stats[2]:item(), stats[3]:item() }, { 3, 2 })
end

function TestLosses.test_focal_with_gamma_0_is_cross_entropy_and_stays_finite_for_certain_rows()
  local x, y, w = kooka.tensor(LOGITS), ids(LABELS), kooka.tensor { 2, 5, .5 }
  lu.assertAlmostEquals((kooka.focal_loss(x, y, w, { gamma = 0 })):item(), (kooka.cross_entropy(x, y, nil, w)):item(), 1e-6)
  for _, gamma in ipairs { .5, 2 } do
    local sure = kooka.tensor { { 200, -200 }, { -200, 200 } }:param()
    local tape <close> = kooka.tape()
    local loss = kooka.focal_loss(sure, ids { 1, 1 }, { gamma = gamma })
    lu.assertAlmostEquals(loss:item(), 200, 1e-3)
    tape:backward(loss)
    lu.assertAlmostEquals(sure:grad()[1][1]:item(), 0, 1e-9)
    lu.assertAlmostEquals(sure:grad()[2][1]:item(), -.5, 1e-6)
  end
  lu.assertErrorMsgContains("target 2 is 4, expected 1..3", kooka.focal_loss, x, ids { 1, 4, 1, 1 })
end

function TestLosses.test_smoothing_moves_the_loss_and_not_the_statistics()
  local x, y = kooka.tensor(LOGITS), ids(LABELS)
  local a, true_stats = kooka.cross_entropy(x, y)
  local b, stats = kooka.cross_entropy(x, y, { smoothing = .1 })
  lu.assertEquals(stats:tolist(), true_stats:tolist())
  lu.assertAlmostEquals(a:item(), true_stats[1]:item() / 3, 1e-6)
  local sum = 0
  for i, k in ipairs(LABELS) do
    for c, p in ipairs(probabilities(LOGITS[i])) do
      if k > 0 then sum = sum - ((c == k and .9 or 0) + .1 / 3) * math.log(p) end
    end
  end
  lu.assertAlmostEquals(b:item(), sum / 3, 1e-6)
end

function TestLosses.test_shares_with_a_weight_a_text()
  local soft, weight = { { .5, .5, 0 }, { 0, 0, 1 }, { .2, .2, .6 }, { 1, 0, 0 } }, { 1, 0, 3, .5 }
  local loss, stats = kooka.cross_entropy(kooka.tensor(LOGITS), nil, kooka.tensor(soft), nil, kooka.tensor(weight))
  local sum, plain = 0, 0
  for i, q in ipairs(soft) do
    for c, p in ipairs(probabilities(LOGITS[i])) do
      sum, plain = sum - weight[i] * q[c] * math.log(p), plain - q[c] * math.log(p)
    end
  end
  lu.assertAlmostEquals(loss:item(), sum / 4.5, 1e-6)
  lu.assertAlmostEquals(stats[1]:item(), plain, 1e-5)
  lu.assertErrorMsgContains("row 2 has weight -1", kooka.cross_entropy, kooka.tensor(LOGITS), ids(LABELS), nil, nil,
    kooka.tensor { 1, -1, 1, 1 })
  lu.assertErrorMsgContains("row 1 has weight", kooka.cross_entropy, kooka.tensor(LOGITS), ids(LABELS), nil, nil,
    kooka.tensor { 0 / 0, 1, 1, 1 })
end

function TestLosses.test_squared_huber_and_absolute_errors()
  local x, t = kooka.tensor { 1, 2, 5, 0 }, kooka.tensor { 1.5, 2, 2, 0 / 0 }
  local w = kooka.tensor { 1, 1, 2, 0 }                          -- the last has no target
  local function of(kind) return kooka.regression_loss(x, t, w, { kind = kind, delta = 1 }) end
  lu.assertAlmostEquals((of "mse"):item(), (.25 + 2 * 9) / 4, 1e-6)
  lu.assertAlmostEquals((of "huber"):item(), (.125 + 2 * 2.5) / 4, 1e-6)
  lu.assertAlmostEquals((of "mae"):item(), (.5 + 2 * 3) / 4, 1e-6)
  local _, stats = of "huber"
  lu.assertEquals(stats:tolist(), { 9.25, 3.5, 3 })
  local nothing, none = kooka.regression_loss(x, t, kooka.zeros(4))
  lu.assertEquals({ nothing:item(), none[3]:item() }, { 0, 0 })
  lu.assertTrue((kooka.regression_loss(x, t)):item() ~= (kooka.regression_loss(x, t)):item())   -- nan is not hidden
  lu.assertErrorMsgContains("weight 1 is -1", kooka.regression_loss, x, t, kooka.tensor { -1, 1, 1, 1 })
end

function TestLosses.test_ordinal_losses_by_their_formulas()
  local s, theta, y = { .3, -2, 1.5, 0 }, { -1, .5, 2 }, { 2, 1, 4, 3 }
  local function sigmoid(v) return 1 / (1 + math.exp(-v)) end
  local function above(i, k) return k == 0 and 1 or k == 4 and 0 or sigmoid(s[i] - theta[k]) end
  local cumulative, coral, squares = 0, 0, 0
  for i, k in ipairs(y) do
    cumulative = cumulative - math.log(above(i, k - 1) - above(i, k))
    local expected = 1
    for j = 1, 3 do
      coral = coral - math.log(k > j and above(i, j) or 1 - above(i, j))
      expected = expected + above(i, j)
    end
    squares = squares + (expected - k) ^ 2
  end
  local args = { kooka.tensor(s), kooka.tensor(theta), ids(y) }
  local loss, stats = kooka.ordinal_loss(args[1], args[2], args[3])
  lu.assertAlmostEquals(loss:item(), cumulative / 4, 1e-6)
  lu.assertAlmostEquals(stats[1]:item(), cumulative, 1e-5)
  lu.assertAlmostEquals(stats[4]:item(), squares, 1e-5)
  loss, stats = kooka.ordinal_loss(args[1], args[2], args[3], { kind = "coral" })
  lu.assertAlmostEquals(loss:item(), coral / 4, 1e-6)
  lu.assertAlmostEquals(stats[1]:item(), cumulative, 1e-5)          -- the true one, whatever the loss
  lu.assertErrorMsgContains("threshold 2 is -3", kooka.ordinal_loss, args[1], kooka.tensor { -1, -3, 2 }, args[3])
  lu.assertErrorMsgContains("target 1 is 5, expected 1..4", kooka.ordinal_loss, args[1], args[2], ids { 5, 1, 1, 1 })
end

function TestLosses.test_ordinal_stays_finite_far_from_the_thresholds()
  for _, kind in ipairs { "cumulative", "coral" } do
    local s, theta = kooka.tensor { 300, -300, 300 }:param(), kooka.tensor { -1, .5 }:param()
    local tape <close> = kooka.tape()
    local loss = kooka.ordinal_loss(s, theta, ids { 1, 3, 2 }, { kind = kind })
    lu.assertTrue(loss:item() > 100 and loss:item() < 1000, loss:item())
    tape:backward(loss)
    for _, g in ipairs { s:grad(), theta:grad() } do
      for _, v in ipairs(g:tolist()) do lu.assertTrue(v == v and math.abs(v) <= 2, v) end
    end
  end
end

TestHeads = {}

local function small(o)
  local all = { vocab = 20, embed = 4, hidden = 6, layers = 2, head = 5, seed = 5 }
  for k, v in pairs(o) do all[k] = v end
  return all
end

-- Texts of 3 to 8 tokens; the more tokens above 10, the funnier.
local function texts()
  local c, score, stream = kooka.corpus.new(20), {}, kooka.random("texts", 3)
  for i = 1, 80 do
    local doc, n = {}, 0
    for t = 1, 3 + i % 6 do
      doc[t] = stream:below(20) + 1
      if doc[t] > 20 then doc[t] = 20 end
      if doc[t] > 10 then n = n + 1 end
    end
    c:add(doc)
    score[i] = 5 * n / #doc
  end
  return c, score
end

local function train(model, source, epochs)
  local opt, first, last = optim.adam(model:groups()), nil, nil
  model:train()
  for e = 1, epochs do
    local sum = 0
    for _, batch in source:epoch(e) do
      local tape <close> = kooka.tape()
      local loss, stats = model:loss(batch)
      lu.assertEquals(stats:shape(), { #model.stats })
      tape:backward(loss)
      opt:step(1e-2, .9, 1)
      sum = sum + loss:item()
    end
    first, last = first or sum, sum
  end
  model:eval()
  return first, last
end

function TestHeads.test_a_regressor_learns_inside_its_range()
  local c, score = texts()
  score[7] = false                                                  -- missing
  local model = nn.regressor(small { range = { -.5, 5.5 }, loss = "huber", drop = .1 })
  local source = sources.scores(batches.buckets(c, { batch = 16, train = true }), score)
  local first, last = train(model, source, 15)
  lu.assertTrue(last < .5 * first, last / first)
  local n, low, high = 0, 9, -9
  for _, batch in source:epoch(1) do
    local scope <close> = kooka.scope()
    local _, stats = model:loss(batch)
    n = n + stats[3]:item()
    local y = model:outputs(batch.x, batch.lens).score
    lu.assertEquals(y:ndim(), 1)
    low, high = math.min(low, y:min():item()), math.max(high, y:max():item())
  end
  lu.assertEquals(n, 79)
  lu.assertTrue(low > -.5 and high < 5.5)
end

function TestHeads.test_an_ordinal_head_learns_and_its_probabilities_add_up()
  local c, score = texts()
  for i, v in ipairs(score) do score[i] = math.min(5, 1 + math.floor(v)) end
  for _, kind in ipairs { "cumulative", "coral" } do
    local model = nn.ordinal(small { classes = 5, loss = kind, drop = .1 })
    local theta = model:thresholds():tolist()
    for k = 1, 4 do lu.assertAlmostEquals(theta[k], math.log(k / (5 - k)), 1e-5) end
    local source = sources.classes(batches.buckets(c, { batch = 16, train = true }), ids(score))
    local first, last = train(model, source, 15)
    lu.assertTrue(last < .8 * first, last / first)
    theta = model:thresholds():tolist()
    for k = 2, 4 do lu.assertTrue(theta[k] > theta[k - 1]) end
    local nll, want = 0, 0
    for _, batch in source:epoch(1) do
      local scope <close> = kooka.scope()
      local out, y = model:outputs(batch.x, batch.lens), batch.y:tolist()
      local _, stats = model:loss(batch)
      want = want + stats[1]:item()
      for i, row in ipairs(out.prob:tolist()) do
        local sum, expected = 0, 0
        for k, p in ipairs(row) do
          lu.assertTrue(p >= 0)
          sum, expected = sum + p, expected + p * (k - 1)
        end
        nll = nll - math.log(row[y[i]])
        lu.assertAlmostEquals(sum, 1, 1e-5)
        lu.assertAlmostEquals(out.score[i]:item(), expected, 1e-4)
      end
    end
    lu.assertAlmostEquals(nll / want, 1, 1e-3)
  end
  lu.assertEquals(#nn.ordinal(small { classes = 2 }):thresholds():tolist(), 1)
  lu.assertErrorMsgContains("classes is 1", nn.ordinal, small { classes = 1 })
end

function TestHeads.test_two_tasks_are_the_sum_of_their_losses_and_a_missing_score_counts_in_one_only()
  local c, score = texts()
  local label = {}
  for i, v in ipairs(score) do
    label[i] = v > 2.5 and 2 or 1
    if label[i] == 1 then score[i] = false end
  end
  local model = nn.multi_task(small { drop = 0, last_p = 0, class_weight = .5, score_weight = 2, range = { 0, 6 } }):eval()
  local source = sources.pairs(batches.buckets(c, { batch = 80 }), ids(label), score)
  for _, batch in source:epoch(1) do
    local loss, stats = model:loss(batch)
    local logits, answer = model(batch.x, batch.lens)
    local a = kooka.cross_entropy(logits, batch.y)
    local b, n = 0, 0
    local there, got, want = batch.has_score:tolist(), answer:tolist(), batch.score:tolist()
    for i, v in ipairs(there) do
      if v == 1 then b, n = b + (got[i] - want[i]) ^ 2, n + 1 end
    end
    lu.assertTrue(n > 10 and n < 70)
    lu.assertAlmostEquals(loss:item(), .5 * a:item() + 2 * b / n, 1e-4)
    lu.assertEquals({ stats[2]:item(), stats[6]:item() }, { 80, n })
    lu.assertAlmostEquals(stats[4]:item(), b, 1e-3)
  end
  local first, last = train(model, sources.pairs(batches.buckets(c, { batch = 16, train = true }), ids(label), score), 10)
  lu.assertTrue(last < .8 * first)
end

function TestHeads.test_a_classifier_learns_with_each_loss_and_the_learner_fits_it()
  local c, score = texts()
  local label = {}
  for i, v in ipairs(score) do label[i] = v > 2.5 and 2 or 1 end
  for _, o in ipairs { { loss = "focal", weights = { 1, 2 } }, { smoothing = .1 }, { bptt = 3, max_len = 6 } } do
    o.drop = .1
    local model = nn.classifier(small(o))
    local source = sources.classes(batches.buckets(c, { batch = 16, train = true }), ids(label))
    local history = learner.fit { model = model, train = source, valid = source, epochs = 30, lr = 2e-2, say = function() end }
    lu.assertTrue(history[30].accuracy > .8, history[30].accuracy)
  end
  local focal = nn.classifier(small { loss = "focal" })
  lu.assertErrorMsgContains("needs class labels", focal.loss, focal,
    { x = kooka.ones(2, 2, "int32"), soft = kooka.tensor { { .5, .5 }, { 1, 0 } } })
end

function TestHeads.test_every_head_comes_back_from_its_weights_and_can_be_quantized()
  local x = kooka.randint(1, 20, 5, 3, kooka.random("back", 1))
  for _, kind in ipairs { "classifier", "regressor", "ordinal", "multi_task" } do
    local classes = kind ~= "regressor" and 3 or nil
    local a, b = nn[kind](small { classes = classes, seed = 1 }):eval(), nn[kind](small { classes = classes, seed = 2 }):eval()
    local was = a:outputs(x)
    b:load_state(a:state())
    local now, eight = b:outputs(x), nn.quantize(a):outputs(x)
    for name, t in pairs(was) do
      lu.assertEquals(now[name]:tolist(), t:tolist())
      lu.assertTrue((eight[name] - t):abs():max():item() < .1)
    end
  end
end

TestSources = {}

function TestSources.test_votes_become_shares_and_weights()
  local counts = { { 3, 1 }, { 0, 0 }, { 0, 8 } }
  lu.assertEquals((sources.votes(counts)):tolist(), { { .75, .25 }, { .5, .5 }, { 0, 1 } })
  local shares, weight = sources.votes(counts, { prior = 1, weigh = true })
  lu.assertAlmostEquals(shares[1][1]:item(), 4 / 6, 1e-6)
  lu.assertEquals(weight:tolist(), { 1, 0, 2 })
  lu.assertErrorMsgContains("no votes at all", sources.votes, { { 0, 0 } })
  lu.assertErrorMsgContains("text 2 has 1 counts, the first 2", sources.votes, { { 1, 0 }, { 1 } })
  lu.assertErrorMsgContains("text 1, class 2: -1", sources.votes, { { 1, -1 } })
end

function TestSources.test_targets_follow_their_documents()
  local c, score = texts()
  local shares = {}
  for i = 1, 80 do shares[i] = { i / 80, 1 - i / 80 } end
  local source = sources.classes(batches.buckets(c, { rows = { 5, 80, 5, 1 }, batch = 4 }), kooka.tensor(shares), kooka.arange(1, 80))
  for _, batch in source:epoch(1) do
    local got, rows = {}, { 5, 80, 5, 1 }
    for i, place in ipairs(batch.places:tolist()) do
      got[place] = true
      lu.assertAlmostEquals(batch.soft[i][1]:item(), rows[place] / 80, 1e-6)
      lu.assertEquals(batch.weight[i]:item(), rows[place])
    end
    lu.assertEquals(#got, 4)
  end
  lu.assertErrorMsgContains("79 targets (y) for 80 documents", sources.classes, batches.buckets(c), kooka.ones(79, "int32"))
  score[3] = 1 / 0
  lu.assertErrorMsgContains("score 3 is inf, expected a finite number", sources.scores, batches.buckets(c), score)
  score[3] = "x"
  lu.assertErrorMsgContains("score 3 is a string", sources.scores, batches.buckets(c), score)
end

os.exit(lu.LuaUnit.run())
