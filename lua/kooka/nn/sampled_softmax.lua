--- sampled_softmax: the loss of a softmax over a large vocabulary from some of its words (Jean et al. 2015).
local core = require "kooka.core"

--- sampled_softmax(x [...,D], weight [V,D], bias [V], y [...], {samples = 8192, stream=}) -> loss, stats [3]
-- For training only: it costs what the words looked at cost, which are the targets of the batch and what `samples`
-- draws give with q_c = log(1+1/c)/log(V+1) (ids in order of falling frequency: Zipf's law). The logit of a word that
-- was drawn has -log P(it was drawn) added, so that the sum below the fraction bar is right on average, and loss and
-- gradient approach the full softmax's as samples grow; targets are certain and need no correction, so a target that
-- is drawn as well counts once. stats (sum of -log p, tokens, top-1 hits) are of the words looked at: kinder than
-- the full ones.
local function sampled_softmax(x, weight, bias, y, opts)
  local o = opts or {}
  local draw = { classes = weight:shape(1), samples = o.samples or 8192, stream = o.stream }
  local ids, correction, place = core.sample_classes(y, draw)
  local b = core.index_select(bias, ids) + correction
  local loss, stats = core.linear_cross_entropy(x, core.index_select(weight, ids), b, place)
  return loss, stats
end

return sampled_softmax
