--- attention: multi-head attention (Vaswani et al. 2017, section 3.2.2).
local core = require "kooka.core"
local module = require "kooka.nn.module"
local linear = require "kooka.nn.linear"

local Attention = module.class "attention"

--- attention{width=, heads=8, keys=width, p=0, causal=false, stream=} -> layer
-- width: of queries and results, a multiple of heads; keys: width of what is attended to. p: dropout of the weights.
-- Weights start as those of nn.linear.
local function attention(o)
  local self = module.new(Attention)
  local stream, width = o.stream or core.random("init", o.seed), o.width
  self.heads, self.p, self.causal = o.heads or 8, o.p or 0, o.causal or false
  local whole = math.tointeger(width) and math.tointeger(self.heads)
  if not whole or self.heads < 1 or width < 1 or width % self.heads ~= 0 then
    error(("attention: width is %s, expected a multiple of heads, %s"):format(width, self.heads), 2)
  end
  self:add("query", linear { inputs = width, outputs = width, stream = stream })
  self:add("key", linear { inputs = o.keys or width, outputs = width, stream = stream })
  self:add("value", linear { inputs = o.keys or width, outputs = width, stream = stream })
  self:add("out", linear { inputs = width, outputs = width, stream = stream })
  return self
end

-- [T,B,W] -> [B,H,T,W/H]
local function split(x, heads)
  local t, b, w = x:shape(1), x:shape(2), x:shape(3)
  return x:reshape(t, b, heads, w // heads):permute(2, 3, 1, 4)
end

--- layer(x [T,B,W], lens [B] or nil, memory [S,B,K] or nil, mask [T,S] or nil) -> y [T,B,W]
-- memory: what is attended to, x itself by default; lens: its valid steps in each sequence, the rest is not looked at.
-- mask is added to the scaled products. A query that may see nothing gets the bias of the last layer.
function Attention:forward(x, lens, memory, mask)
  memory = memory or x
  local q, k = split(self.query(x), self.heads), split(self.key(memory), self.heads)
  local v = split(self.value(memory), self.heads)
  local y = core.attention(q, k, v, lens, mask, { causal = self.causal, p = self.training and self.p or 0 })
  return self.out(y:permute(3, 1, 2, 4):reshape(x:shape(1), x:shape(2), x:shape(3)))
end

return attention
