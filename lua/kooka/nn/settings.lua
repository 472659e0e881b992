--- settings: what may be said to the models of kooka.nn: names, types and ranges. A misspelt option, or a size or a probability
-- that cannot be, is refused where the model is made; otherwise nothing but a bad score would tell.
local settings = {}

local MOST <const> = 0x7fffffff
local SIZE, COUNT = { "integer", min = 1, max = MOST }, { "integer", min = 0, max = MOST }
local SHARE, STRENGTH = { "number", min = 0, max = 1 }, { "number", min = 0 }
local ERRORS = { choices = { "mse", "huber", "mae" } }
local LIST, WORD, YES = { "table" }, { "string" }, { "boolean" }

local function joined(...)
  local out = {}
  for _, names in ipairs { ... } do
    for name, rule in pairs(names) do out[name] = rule end
  end
  return out
end

-- What a model's config (kooka.model) says beside these, about its texts and answers.
local BESIDE = { kind = WORD, classes_names = LIST, cleaned = YES, backwards = YES, tokens = WORD, int8 = YES }

--- settings.encoder: options of kooka.nn.awd_lstm
settings.encoder = { vocab = { "integer", min = 1, max = MOST, needed = true }, cell = WORD, embed = SIZE, hidden = SIZE,
  layers = { "integer", min = 1, max = 64 }, padding = COUNT, drop = STRENGTH, embed_p = SHARE, input_p = SHARE, hidden_p = SHARE,
  weight_p = SHARE, biases = { "integer", min = 1, max = 2 }, stream = true, seed = { "integer" } }

--- settings.language_model
settings.language_model = joined(settings.encoder, BESIDE, { output_p = SHARE, alpha = STRENGTH, beta = STRENGTH, penalty = WORD,
  softmax = WORD, cutoffs = LIST, samples = SIZE })

local pooled = joined(settings.encoder, BESIDE, { head = { "integer", "table", min = 1, max = MOST }, head_p = SHARE,
  last_p = { "number", "table", min = 0, max = 1 }, head_bias = YES, ngrams = { "integer", min = 0, max = 8 },
  buckets = SIZE, mix = LIST, bptt = SIZE, max_len = SIZE, alpha = STRENGTH, beta = STRENGTH })

local of_classes = { classes = { "integer", min = 2, max = MOST }, loss = WORD, smoothing = SHARE, weights = LIST,
  gamma = STRENGTH, counts = LIST, tau = { "number" }, margin = STRENGTH, scale = STRENGTH }

local of_scores = { range = LIST, delta = STRENGTH }

--- settings.classifier, settings.regressor, settings.ordinal, settings.multi_task
settings.classifier = joined(pooled, of_classes)
settings.regressor = joined(pooled, of_scores, { loss = ERRORS })
settings.ordinal = joined(pooled, { classes = { "integer", min = 2, max = MOST, needed = true },
  loss = { choices = { "cumulative", "coral" } } })
settings.multi_task = joined(pooled, of_classes, of_scores, { class_weight = STRENGTH, score_weight = STRENGTH,
  score_loss = ERRORS })

--- settings.part(of, o) -> table
-- The entries of o that `of` ("encoder", "classifier", ...) knows.
function settings.part(of, o)
  local out = {}
  for name, value in pairs(o) do
    if settings[of][name] ~= nil then out[name] = value end
  end
  return out
end

--- settings.dropout(who, o, name, default) -> probability
-- o[name], or the default, times o.drop; raises when a whole layer would be dropped.
function settings.dropout(who, o, name, default)
  local p, drop = o[name] or default, o.drop or 1
  if p * drop >= 1 then error(("%s: drop = %g times %s = %g is %g, expected less than 1"):format(who, drop, name, p, p * drop), 4) end
  return p * drop
end

return settings
