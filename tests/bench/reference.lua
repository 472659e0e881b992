-- reference.lua -- the language model beside the same one in plain PyTorch (reference.py), on the words of the Penn Treebank:
--   curves  200 steps from the same weights, without dropout: every loss equal to 1e-4 (relative)
--   epochs  all dropouts, the same hyper-parameters, several seeds: validation perplexity within 1 %
--
--   build/kooka tests/bench/reference.lua [curves|epochs|all [../shared/data/lm/ptb [seeds [epochs [embed [hidden]]]]]]
--
-- seeds: 3 is 1 to 3; 2-3 are those: hours can be cut into seeds.
-- Needs a Python with PyTorch: build/venv (make bench-peers) or $BENCH_PYTHON. Answers N passed, N failed, N skipped.
local kooka = require "kooka"
local core = require "kooka.core"
local batches = require "kooka.data.batches"
local learner, sources = require "kooka.learn.learner", require "kooka.learn.sources"

local part, data = arg[1] or "all", arg[2] or "../shared/data/lm/ptb"
local first_seed, last_seed = (arg[3] or "3"):match("^(%d-)%-?(%d+)$")
local epochs = tonumber(arg[4] or 5)
local embed, hidden = tonumber(arg[5] or 200), tonumber(arg[6] or 400)
local folder = "build/reference"

local function stop(line)
  print(line)
  print("0 passed, 0 failed, 1 skipped")
  os.exit(0)
end

first_seed, last_seed = tonumber(first_seed) or 1, tonumber(last_seed)
if not last_seed or first_seed > last_seed then error(("seeds are '%s', expected a number or a range as 2-3"):format(arg[3]), 0) end

local python = os.getenv("BENCH_PYTHON") or "build/venv/bin/python"
if not core.sys.exists(python) then stop("no " .. python .. ": make bench-peers makes it") end
if not core.sys.exists(data .. "/ptb.train.txt") then stop("no " .. data .. "/ptb.train.txt") end
kooka.try(core.sys.mkdir_p(folder))

-- Ids in the order of their first use; <eos> ends a line.
local ids, size = {}, 0
local function read(file, most)
  local list = {}
  for line in kooka.try(core.sys.read_file(data .. "/" .. file)):gmatch("[^\n]+") do
    for word in (line .. " <eos>"):gmatch("%S+") do
      if not ids[word] then
        size = size + 1
        ids[word] = size
      end
      list[#list + 1] = ids[word]
    end
    if most and #list >= most then break end
  end
  return list
end

local function save(name, list)
  local zero = {}
  for i, id in ipairs(list) do zero[i] = id - 1 end
  kooka.try(kooka.save_npy(folder .. "/" .. name, kooka.tensor(zero, "int32")))
  return folder .. "/" .. name
end

local function source(list, z)
  local c = core.corpus.new(size)
  c:add(list)
  return sources.lm(batches.lm(c, { batch = z.batch, length = z.length, shuffle = false }))
end

-- Both sides on the same settings; ours through the learner, as recipes do it.
local function both(name, z, train, valid)
  core.seed(z.seed)
  local d = z.drop
  local model = kooka.nn.language_model { vocab = size, embed = z.embed, hidden = z.hidden, layers = z.layers, seed = z.seed,
    alpha = z.alpha, beta = z.beta, embed_p = d.embed, input_p = d.input, hidden_p = d.hidden, weight_p = d.weight, output_p = d.output }
  if z.weights ~= "" then kooka.try(model:save(z.weights)) end
  local losses, start = {}, kooka.sys.now()
  local history = learner.fit {
    model = model, train = source(train, z), valid = source(valid, z), epochs = z.epochs, label = name, lr = z.lr, pct = z.pct,
    div = z.div, div_final = z.div_final, moms = z.moms, beta2 = z.beta2, eps = z.eps, decay = z.decay, clip = z.clip,
    precision = "float32", say = function() end,
    callbacks = { { after_step = function(_, fit) losses[#losses + 1] = fit.loss end } },
  }
  local seconds = { kooka.sys.now() - start }
  z.vocab, z.tokens, z.valid = size, save(name .. "-train.npy", train), save(name .. "-valid.npy", valid)
  local path = ("%s/%s.json"):format(folder, name)
  kooka.try(core.sys.write_file(path, core.json.encode(z, { pretty = true })))
  start = kooka.sys.now()
  local child <close> = kooka.try(core.sys.spawn({ python, "tests/bench/reference.py", path }, { stdin = "null", stdout = "pipe" }))
  local text = child:read_all()
  if child:wait() ~= 0 then error("reference.py failed on " .. path, 0) end
  seconds[2] = kooka.sys.now() - start
  local theirs, ours = kooka.try(core.json.decode(text)), {}
  for i, record in ipairs(history) do ours[i] = record.valid_loss end
  return losses, ours, theirs, seconds
end

local passed, failed = 0, 0
local function check(ok, line, ...)
  if ok then passed = passed + 1 else failed = failed + 1 end
  print((ok and "ok      " or "FAILED  ") .. line:format(...))
end

local shared = { layers = 3, lr = 5e-3, pct = .3, div = 25, div_final = 1e4, moms = { .8, .7 }, beta2 = .99, eps = 1e-8, decay = .01,
  clip = .25, alpha = 2, beta = 1, steps = 0 }
local function settings(own)
  for k, v in pairs(shared) do own[k] = own[k] or v end
  return own
end

local train, valid = read "ptb.train.txt", read "ptb.valid.txt"

if part ~= "epochs" then
  local z = settings { seed = 1, embed = 64, hidden = 128, batch = 20, length = 35, epochs = 1, weights = folder .. "/first.safetensors",
    drop = { embed = 0, input = 0, hidden = 0, weight = 0, output = 0 } }
  local some = table.move(train, 1, 200 * 35 * 20 + 1, 1, {})
  local losses, _, theirs = both("curves", z, some, table.move(valid, 1, 5001, 1, {}))
  local worst, at = 0, 0
  for i, x in ipairs(losses) do
    local d = math.abs(x - theirs.train[i]) / theirs.train[i]
    if d > worst or d ~= d then worst, at = d, i end
  end
  check(#losses == 200 and #theirs.train == 200 and worst <= 1e-4, "curves: %d steps from the same weights (loss %.4f to %.4f, PyTorch %s): "
    .. "largest relative difference %.1e, at step %d", #losses, losses[1], losses[#losses], theirs.torch, worst, at)
end

if part ~= "curves" then
  local ours, peers, seeds = 0, 0, last_seed - first_seed + 1
  for seed = first_seed, last_seed do
    local z = settings { seed = seed, embed = embed, hidden = hidden, batch = 40, length = 70, epochs = epochs, weights = "",
      drop = { embed = .02, input = .25, hidden = .15, weight = .2, output = .1 } }
    local _, a, theirs, seconds = both("epochs-" .. seed, z, train, valid)
    local p, q = math.exp(a[#a]), math.exp(theirs.valid[#theirs.valid])
    print(("seed %d: validation perplexity %.2f in %.0f s, PyTorch %s %.2f in %.0f s"):format(seed, p, seconds[1], theirs.torch, q,
      seconds[2]))
    for i, v in ipairs(a) do print(("  epoch %d  %.2f  %.2f"):format(i, math.exp(v), math.exp(theirs.valid[i]))) end
    io.stdout:flush()
    ours, peers = ours + a[#a] / seeds, peers + theirs.valid[#theirs.valid] / seeds
  end
  local p, q = math.exp(ours), math.exp(peers)
  check(math.abs(p / q - 1) <= .01 or p < q, "epochs: %d-%d x 3, %d epochs, mean of seeds %d to %d: perplexity %.2f, PyTorch %.2f (%+.2f %%)", embed,
    hidden, epochs, first_seed, last_seed, p, q, 100 * (p / q - 1))
end
print(("%d passed, %d failed, 0 skipped"):format(passed, failed))
os.exit(failed == 0 and 0 or 1)
