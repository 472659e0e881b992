--- users.rungs: the methods of the ladder in their order, and which of them a list of names asks for.
local rungs = {}

--- rungs.list: each {name =, about =, features = does it look at them?, network = does it train the network (kooka.users.network)?}
rungs.list = {
  { name = "global", about = "the general head as it is" },
  { name = "intercept", about = "one number a person" },
  { name = "firth", about = "one number a person (and `components` directions) by Firth's penalised likelihood (Firth 1993)" },
  { name = "flic", about = "the same with the intercept fitted anew, so that probabilities are not pulled to 1/2 (Puhr et al. 2017)" },
  { name = "components", about = "the general logit plus a logistic ridge on a few main directions of the features", features = true },
  { name = "ridge", about = "one Newton step from the general head: weighted least squares, in closed form", features = true },
  { name = "prototypes", about = "class means of a person, pulled to those of the others (as prototypical networks, Snell et al. 2017)",
    features = true },
  { name = "map", about = "a whole head, Gaussian prior around the general head, its strength chosen over persons (empirical Bayes)",
    features = true },
  { name = "own", about = "a whole head without the general one: for comparison", features = true },
  { name = "token", about = "one network for all, which reads a few random pieces of each person's before the text (Mireshghallah et al. 2022)",
    network = true },
  { name = "biases", about = "a copy of the network a person in which only biases are trained (Ben Zaken et al. 2022)", network = true },
  { name = "low-rank", about = "recurrent and input matrices plus a product of low rank a person (Hu et al. 2021)", network = true },
  { name = "everything", about = "the whole network fine-tuned for an epoch on a person's rows: as contrast", network = true },
  { name = "reptile", about = "the same from a start that lies near all persons' networks (Nichol et al. 2018)", network = true },
}

--- rungs.named: name -> the rung in rungs.list
rungs.named = {}
for _, r in ipairs(rungs.list) do rungs.named[r.name] = r end

--- rungs.names([keep]) -> names with commas, for messages
-- keep(rung): which of them (default: all).
function rungs.names(keep)
  local names = {}
  for _, r in ipairs(rungs.list) do
    if not keep or keep(r) then names[#names + 1] = r.name end
  end
  return table.concat(names, ", ")
end

--- rungs.choose(text) -> list of names
-- text: names with commas or spaces; "all": every rung but "global"; "" or nil: those of a closed form but "own". Each is named once, in
-- the order of the ladder; "global" is always there and never in the list. An unknown name raises, with those that there are.
function rungs.choose(text)
  local asked, list = {}, {}
  for name in (text or ""):gmatch("[^,%s]+") do
    if name ~= "all" and not rungs.named[name] then
      error(("rungs: there is no '%s', expected names of %s; or all"):format(name, rungs.names()), 0)
    end
    asked[name] = true
  end
  local silent = next(asked) == nil
  for _, r in ipairs(rungs.list) do
    if r.name ~= "global" and (asked.all or asked[r.name] or silent and not r.network and r.name ~= "own") then
      list[#list + 1] = r.name
    end
  end
  return list
end

return rungs
