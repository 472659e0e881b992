--- kooka.ensemble.stack: one weight a member and one bias a class, by multinomial logistic regression.
-- u[i,c] = sum over members m of w[m] · log p[m][i,c] + b[c], b[1] = 0; p = softmax(u). With two classes this is logistic
-- regression on the members' logits. The loss is the summed -log p of the true class plus l2/2 · sum (w[m] - towards)²;
-- biases are free. Newton's method: the sums over rows run in tensors, the step is a problem of a few numbers.
local core = require "kooka.core"

local stack = {}

local EPS = 1e-6

-- Log-probabilities of a member as rows of C numbers around 0: a list of N·C, row by row.
local function centred(prob, n, classes)
  local out = {}
  for i = 1, n do
    if classes == 2 and type(prob[i]) == "number" then
      local p = math.min(1 - EPS, math.max(EPS, prob[i]))
      local half = math.log(p / (1 - p)) / 2
      out[2 * i - 1], out[2 * i] = -half, half
    else
      local mean, at = 0, (i - 1) * classes
      for c = 1, classes do
        local l = math.log(math.max(EPS, prob[i][c]))
        out[at + c], mean = l, mean + l / classes
      end
      for c = 1, classes do out[at + c] = out[at + c] - mean end
    end
  end
  return out
end

--- stack.features(members, rows, classes) -> tensor [n·C, M + C - 1]
-- members: lists of probabilities ([N] of class 2, or [N] lists of C); rows: which of them.
function stack.features(members, rows, classes)
  local n, width = #rows, #members + classes - 1
  local flat = {}
  for m, prob in ipairs(members) do
    local mine = {}
    for i, row in ipairs(rows) do mine[i] = prob[row] end
    local l = centred(mine, n, classes)
    for k = 1, n * classes do flat[(k - 1) * width + m] = l[k] end
  end
  for k = 1, n * classes do
    local c = (k - 1) % classes + 1
    for b = 2, classes do flat[(k - 1) * width + #members + b - 1] = c == b and 1 or 0 end
  end
  return core.tensor(flat):reshape(n * classes, width)
end

-- Products here decide weights: they are made in float32 whatever the run uses.
local function exact()
  local before = core.precision()
  core.precision "float32"
  return setmetatable({}, { __close = function() core.precision(before) end })
end

--- stack.solve(a, b) -> x
-- Solves A x = b for a symmetric positive definite A of a few rows, of which the lower half is read (Cholesky, with a little
-- added where A is singular).
function stack.solve(a, b)
  local n, l = #b, {}
  for i = 1, n do
    l[i] = {}
    for j = 1, i do
      local s = a[i][j]
      for k = 1, j - 1 do s = s - l[i][k] * l[j][k] end
      if i == j then l[i][i] = math.sqrt(math.max(s, 1e-12 * math.max(1, a[i][i]))) else l[i][j] = s / l[j][j] end
    end
  end
  local x = {}
  for i = 1, n do
    local s = b[i]
    for k = 1, i - 1 do s = s - l[i][k] * x[k] end
    x[i] = s / l[i][i]
  end
  for i = n, 1, -1 do
    local s = x[i]
    for k = i + 1, n do s = s - l[k][i] * x[k] end
    x[i] = s / l[i][i]
  end
  return x
end

-- The step d that minimises g·d + d·H·d/2 with w[j] + d[j] >= 0 for j <= bounded: coordinate by coordinate.
local function bounded_step(h, g, w, bounded)
  local n, d, r = #g, {}, {}
  for j = 1, n do d[j], r[j] = 0, g[j] end                 -- r = g + H d
  for _ = 1, 20000 do
    local most = 0
    for j = 1, n do
      local to = d[j] - r[j] / math.max(h[j][j], 1e-12)
      if j <= bounded then to = math.max(to, -w[j]) end
      local change = to - d[j]
      if change ~= 0 then
        d[j] = to
        for k = 1, n do r[k] = r[k] + h[k][j] * change end
        most = math.max(most, math.abs(change))
      end
    end
    if most < 1e-12 then break end
  end
  return d
end

-- Loss, gradient and Hessian at w.
local function derivatives(x, y, w, n, classes, o)
  local scope <close> = core.scope()
  local width = #w
  local u = core.matmul(x, core.tensor(w):reshape(width, 1)):reshape(n, classes)
  local logp = core.log_softmax(u)
  local p = core.exp(logp)
  local loss = -(core.sum(logp * y):item())
  local g = core.matmul_tn(x, (p - y):reshape(n * classes, 1)):reshape(width):tolist()
  local px = x * p:reshape(n * classes, 1)
  local h = core.matmul_tn(x, px):tolist()
  local s = px:reshape(n, classes, width):sum(2)
  local ss = core.matmul_tn(s, s):tolist()
  for i = 1, width do
    for j = 1, width do h[i][j] = h[i][j] - ss[i][j] end
  end
  for m = 1, o.members do
    local away = w[m] - o.towards
    loss, g[m], h[m][m] = loss + .5 * o.l2 * away ^ 2, g[m] + o.l2 * away, h[m][m] + o.l2
  end
  return loss, g, h
end

local function loss_at(x, y, w, n, classes, o)
  local scope <close> = core.scope()
  local u = core.matmul(x, core.tensor(w):reshape(#w, 1)):reshape(n, classes)
  local loss = -(core.sum(core.log_softmax(u) * y):item())
  for m = 1, o.members do loss = loss + .5 * o.l2 * (w[m] - o.towards) ^ 2 end
  return loss
end

--- stack.fit(members, labels, rows, {classes = 2, l2 = 1, towards = 1/M, nonnegative = false}) -> {weights, bias, loss, steps}
-- members: lists of probabilities; labels: class of each row from 1; rows: those to fit on. towards: what weights shrink to;
-- 1/M is the mean of the members' logits, 0 is scikit-learn's (its C is 1/l2). Raises when a class has no row.
function stack.fit(members, labels, rows, options)
  local o, n = options or {}, #rows
  local classes = o.classes or 2
  o = { l2 = o.l2 or 1, towards = o.towards or 1 / #members, nonnegative = o.nonnegative, members = #members }
  local target, seen = {}, {}
  for k = 1, n * classes do target[k] = 0 end
  for i, row in ipairs(rows) do
    local label = labels[row]
    if math.type(label) ~= "integer" or label < 1 or label > classes then
      error(("stack: label in row %d is %s, expected class 1..%d"):format(row, tostring(label), classes), 2)
    end
    target[(i - 1) * classes + label], seen[label] = 1, true
  end
  for c = 1, classes do
    if not seen[c] then error(("stack: none of %d rows is of class %d"):format(n, c), 2) end
  end
  local _ <close> = exact()
  local scope <close> = core.scope()
  local x, y = stack.features(members, rows, classes), core.tensor(target):reshape(n, classes)
  local w, loss, steps = {}, nil, 0
  for j = 1, #members + classes - 1 do w[j] = j <= #members and (o.nonnegative and math.max(0, o.towards) or o.towards) or 0.0 end
  for step = 1, 100 do
    local g, h
    loss, g, h = derivatives(x, y, w, n, classes, o)
    local d
    if o.nonnegative then d = bounded_step(h, g, w, o.members)
    else
      for j = 1, #g do g[j] = -g[j] end
      d = stack.solve(h, g)
    end
    local scale, most, next_w = 1, 0, {}
    for _ = 1, 30 do                       -- half the step until the loss does not rise (by more than float32 can say)
      for j = 1, #w do next_w[j] = w[j] + scale * d[j] end
      if loss_at(x, y, next_w, n, classes, o) <= loss * (1 + 1e-6) + 1e-9 then break end
      scale = scale / 2
    end
    for j = 1, #w do most = math.max(most, math.abs(next_w[j] - w[j])) end
    w, steps = next_w, step
    if most < 1e-5 then break end
  end
  local fit = { weights = {}, bias = { 0.0 }, loss = loss, steps = steps, classes = classes }
  for m = 1, #members do fit.weights[m] = w[m] end
  for c = 2, classes do fit.bias[c] = w[#members + c - 1] end
  return fit
end

--- stack.possible(labels, folds, classes) -> boolean
-- Whether weights of any fold can be fitted on the rows of the others: every class has rows in two folds.
function stack.possible(labels, folds, classes)
  local first, twice, found = {}, {}, 0
  for i, y in ipairs(labels) do
    first[y] = first[y] or folds[i]
    if folds[i] ~= first[y] and not twice[y] then twice[y], found = true, found + 1 end
  end
  return found == classes
end

--- stack.apply(fit, members, rows) -> list of probabilities
-- [n] of class 2 when the members are lists of numbers, else [n] lists of C.
function stack.apply(fit, members, rows)
  local classes, out = fit.classes, {}
  local plain = type(members[1][rows[1]]) == "number"
  local u = {}
  for k, row in ipairs(rows) do
    for c = 1, classes do u[c] = fit.bias[c] end
    for m, prob in ipairs(members) do
      local w = fit.weights[m]
      if plain then
        local p = math.min(1 - EPS, math.max(EPS, prob[row]))
        u[2] = u[2] + w * math.log(p / (1 - p))
      else
        for c = 1, classes do u[c] = u[c] + w * math.log(math.max(EPS, prob[row][c])) end
      end
    end
    if plain then
      out[k] = 1 / (1 + math.exp(u[1] - u[2]))
    else
      local top, sum, p = math.max(table.unpack(u, 1, classes)), 0, {}
      for c = 1, classes do
        p[c] = math.exp(u[c] - top)
        sum = sum + p[c]
      end
      for c = 1, classes do p[c] = p[c] / sum end
      out[k] = p
    end
  end
  return out
end

return stack
