--- ngram_linear: a linear layer on the n-grams of a text, hashed: the wide part beside a network's deep one (Cheng et al. 2016).
local core = require "kooka.core"
local module = require "kooka.nn.module"

local NgramLinear = module.class "ngram_linear"

--- ngram_linear{ngrams=3, buckets=2^18, outputs=} -> layer
-- ids [T,B] of texts -> y [B,outputs] = Σ table[r] / sqrt(m) over the m different rows r that runs of 1 to ngrams ids hash to
-- (Weinberger et al. 2009). The table [buckets,outputs] begins at zero: before it is trained the layer says nothing.
local function ngram_linear(o)
  local self = module.new(NgramLinear)
  self.ngrams = o.ngrams or 3
  self:parameter("table", core.zeros(o.buckets or 1 << 18, o.outputs))
  return self
end

--- layer:forward(ids [T,B], lens [B] or nil) -> y [B,outputs]
function NgramLinear:forward(ids, lens) return core.ngram_linear(ids, lens, self.table, { ngrams = self.ngrams }) end

return ngram_linear
