--- stages: several fits of one model in a row, each with its own groups unfrozen, rates and epochs: gradual unfreezing.
local groups = require "kooka.learn.groups"

local stages = {}

local function suffixed(path, i) return path and (path:gsub("%.safetensors$", "") .. "-" .. i .. ".safetensors") end

--- stages.run{stages = {{epochs=, freeze_to=1, ...}, ...}, model=, train=, ...} -> list of histories
-- A learner.fit for each stage: what a stage says goes before what stands beside `stages`. freeze_to: groups from the
-- n-th on are trained (-1: the last alone; kooka.learn.groups). Every stage begins with fresh moments and, given
-- checkpoint = "x.safetensors", keeps its own: x-1.safetensors, x-2.safetensors, ...; a run that was killed goes on in
-- the stage it was in. In the end every group is unfrozen. Give save_best no path here: each stage has its own.
function stages.run(o)
  local learner = require "kooka.learn.learner"
  local histories = {}
  for i, stage in ipairs(o.stages) do
    local fit = {}
    for k, v in pairs(o) do fit[k] = v end
    for k, v in pairs(stage) do fit[k] = v end
    fit.stages, fit.freeze_to = nil, nil
    fit.checkpoint = suffixed(o.checkpoint, i)
    fit.label = stage.label or ("%s stage %d/%d"):format(o.label or "fit", i, #o.stages)
    fit.title = fit.label
    groups.freeze_to(o.model, stage.freeze_to or 1)
    histories[i] = learner.fit(fit)
  end
  groups.unfreeze(o.model)
  return histories
end

--- stages.gradual(n, {epochs=1, last=1, lr=, factor=1, ...}) -> list of n stages
-- Gradual unfreezing (Howard & Ruder 2018, section 3.3): first the last of n groups for `epochs`, then one group more a
-- stage, with everything for `last` epochs. lr is divided by `factor` from stage to stage; other fields go to all.
function stages.gradual(n, o)
  local list = {}
  for i = 1, n do
    local stage = {}
    for k, v in pairs(o) do stage[k] = v end
    stage.last, stage.factor = nil, nil
    stage.freeze_to = i < n and -i or 1
    stage.epochs = i < n and (o.epochs or 1) or o.last or 1
    stage.lr = o.lr / (o.factor or 1) ^ (i - 1)
    list[i] = stage
  end
  return list
end

return stages
