--- kooka.baseline.characters: logistic regression on runs of characters, the baseline that reads how a text is written.
-- Tf-idf of runs of 1 to 5 characters inside words with a space on each side, in at least 3 texts and at most 90 % of them,
-- lower case, 1 + ln(count); L2-regularised logistic regression with C = 4. On short, informal texts it is often
-- above NB-SVM's words: dashes of dialogues, laughter and endings are in it.
local nbsvm = require "kooka.baseline.nbsvm"

local characters = {}

--- fit{texts =, labels =, classes = nil, cased = false, ngrams = 5, min_df = 3, max_df = .9, c = 4, ...} -> model | nil, message, code
-- A model of kooka.baseline.nbsvm, with the same options and nb = false. cased: runs of the text as it stands, with its capitals
-- and across its words.
function characters.fit(opts)
  if type(opts) ~= "table" or type(opts.texts) ~= "table" or opts.labels == nil and not opts.shares then
    error("characters.fit: expected a table with texts and labels, or shares", 2)
  end
  local o = { ngrams = 5, nb = false }
  for name, value in pairs(opts) do o[name] = value end
  o.tokens, o.cased = o.cased and "cased characters" or "characters", nil
  return nbsvm.fit(o)
end

return characters
