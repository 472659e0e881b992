--- quantize: a copy of a model for prediction, its recurrent weights in eight bits.
local core = require "kooka.core"
local lstm_q8 = require "kooka.nn.lstm_q8"

-- A copy of the module in which each lstm layer is an lstm_q8, which count counts.
local function convert(m, count)
  local name = getmetatable(m).__name
  if name == "lstm" then
    count.layers = count.layers + 1
    return lstm_q8(m)
  end
  local copy, swapped = setmetatable({}, getmetatable(m)), {}
  for k, v in pairs(m) do copy[k] = v end
  copy.children, copy.training = {}, false
  for i, child in ipairs(m.children) do
    local new = convert(child.module, count)
    copy.children[i] = { name = child.name, module = new }
    copy[child.name] = new
    swapped[child.module] = new
  end
  if m.cells then
    copy.cells = {}
    for i, cell in ipairs(m.cells) do copy.cells[i] = swapped[cell] end
  end
  if name == "language_model" and not m.adaptive then
    local q, scale = core.quantize_rows(m.encoder.embedding)
    copy.buffers = { table.unpack(m.buffers) }
    copy:buffer("decoder", q)
    copy:buffer("decoder_scale", scale)
  end
  return copy
end

--- quantize(model) -> model
-- A copy in evaluation mode whose LSTM layers (and a language model's decoder) have weights of eight bits, one scale for
-- each row; inputs of their products are rounded to eight bits while it runs. Embedding, norms and head stay float32 and are
-- shared with the original. It predicts, saves and loads as the original does; it cannot be trained.
-- Raises where there is no LSTM layer. What it costs in accuracy: kooka.model's m:quantize prints it.
local function quantize(model)
  local count = { layers = 0 }
  local copy = convert(model, count)
  if count.layers == 0 then error("quantize: the model has no LSTM layer", 2) end
  return copy
end

return quantize
