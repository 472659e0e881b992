--- ngram_linear: a linear model of a text's n-grams, hashed: the wide part beside a network's deep one (Cheng et al. 2016).
local core = require "kooka.core"
local module = require "kooka.nn.module"

local NgramLinear = module.class "ngram_linear"

-- Adam moves a weight by about the rate a step. The rates of a head are small for a table that begins at zero and whose rows are met
-- a few times each: measured on HAHA 2019, factors from 2 to 4 are alike and 1 is too little.
local GAIN <const> = 3

--- ngram_linear{ngrams=3, buckets=2^20, outputs=} -> layer
-- ids [T,B] of texts -> y [B,outputs] = bias + 3 Σ table[r] / sqrt(m) over the m different rows r that runs of 1 to ngrams ids hash to
-- (Weinberger et al. 2009). Table [buckets,outputs] and bias begin at zero.
local function ngram_linear(o)
  local self = module.new(NgramLinear)
  self.ngrams = o.ngrams or 3
  self:parameter("table", core.zeros(o.buckets or 1 << 20, o.outputs))
  self:parameter("bias", core.zeros(o.outputs))
  return self
end

--- layer:forward(ids [T,B], lens [B] or nil) -> y [B,outputs]
function NgramLinear:forward(ids, lens)
  return core.ngram_linear(ids, lens, self.table, { ngrams = self.ngrams }) * GAIN + self.bias
end

return ngram_linear
