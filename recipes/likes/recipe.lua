--- likes: who likes what? One head a person on a frozen encoder, on real people's ratings, split by text.
--
-- Data (found by itself): votes.tsv, ratings.csv + jokes.csv, a table of annotators' labels, or any CSV with user,item,text,label.
-- Method: language model on the texts -> general classifier on the share of likes of each text, trained without the texts of a fold ->
-- the ladder of heads a person, from one number to a whole head shrunk toward the general one (MAP, strength chosen over persons), and on
-- demand (--rungs all) to networks trained for a person, on the same folds: one table. Every number is out of fold.
local kooka = require "kooka"
local likes = require "kooka.data.likes"
local personal = require "kooka.personal"
local report = require "kooka.report"
local ulmfit = require "kooka.ulmfit"

-- The first n rows and their texts.
local function first_rows(d, n)
  if n < 1 or n >= #d.labels then return d end
  local at, texts = {}, {}
  for i = 1, n do
    local t = d.text_of[i]
    if not at[t] then
      at[t] = #texts + 1
      texts[at[t]] = d.texts[t]
    end
    d.text_of[i] = at[t]
  end
  d.texts = texts
  for i = #d.labels, n + 1, -1 do d.users[i], d.items[i], d.labels[i], d.text_of[i] = nil, nil, nil, nil end
  return d
end

return {
  name = "likes",
  about = "One head a person on real people's likes: for whom does it beat the general model?",
  params = personal.params(ulmfit.params({
    vocab = 6000, cell = "lstm", embed = 160, hidden = 320, layers = 2, lm_epochs = 4, lm_lr = 5e-3, lm_batch = 32,
    epochs = 2, lr = 2.5e-3, drop = .5, smoothing = 0, batch = 64
  }, {
    data = { default = "../shared/data/humor_votes_es", help = "folder or file: votes.tsv, ratings.csv + jokes.csv, labels tsv, or CSV user,item,text,label" },
    min = { default = 50, min = 4, help = "rated texts a person must have to be judged" },
    people = { default = 0, min = 0, help = "judge at most so many persons, those first in the file (0: all)" },
    rows = { default = 0, min = 0, help = "use the first so many ratings and their texts (0: all)" },
    folds = { default = 3, min = 2, max = 20, help = "folds by text" },
    components = { default = 32, min = 0, max = 4096, help = "main directions of the encoder's states that a head sees (0: all)" },
    resamples = { default = 200, min = 100, max = 100000, help = "bootstrap resamples of a person's interval" },
  })),
  quick = { folds = 2, lm_epochs = 2, epochs = 1 },
  smoke = { rungs = "all", rank = 2, person_epochs = 1, rows = 1500, min = 8, people = 12, folds = 2, components = 8, vocab = 400,
    embed = 16, hidden = 24, lm_epochs = 1, epochs = 1, lm_batch = 8, resamples = 100 },
  run = function(p, run)
    p.seed = run.seed
    personal.rungs(p.rungs)                 -- refuses an unknown one before the ratings are read
    local d = first_rows(kooka.try(likes.read(p.data)), p.rows)
    run:data(p.data)
    personal.need(d, p.min)
    if p.people > 0 then d = likes.first_people(d, p.people, p.min) end
    local told = ("Likes from %s (%s): %d ratings by %d persons of %d texts; a like is %s%s."):format(p.data, d.name, #d.labels,
      likes.count(d.users), #d.texts, d.positive, likes.left_out(d))
    run:say("%s", told)
    run:say("The encoder's language model reads these %d texts without their labels and nothing else.", #d.texts)
    local tok = ulmfit.tokenizer(run, d.texts, { vocab = p.vocab })
    local lm = ulmfit.language_model(run, tok, {
      name = "language-model", texts = d.texts, cell = p.cell, embed = p.embed, hidden = p.hidden, layers = p.layers,
      epochs = p.lm_epochs, lr = p.lm_lr, drop = p.drop, batch = p.lm_batch, seed = p.seed,
    })
    local results = personal.heads(run, tok, lm, d, p)
    personal.write_predictions(run, d, results.map)
    local people, plain = personal.tell(run, results, { seed = p.seed, resamples = p.resamples })
    local page = report.new { title = "Likes, one head a person", first_line = told }
    personal.show(page, people, plain)
    kooka.try(page:write(run:path("report.html")))
  end,
}
