-- dropouts.lua: made by `python3 tests/golden/dropouts.py > tests/golden/dropouts.lua`, fastai 2.8.12, torch 2.13.0+cpu. Do not edit.
return {
  hidden_15 = {p = 0.15, n = 120000, gone = 0.147083, kept = 1.17647, again = 0.757917, batch = 0.746154, time = 1, features = 0.755508},
  hidden_50 = {p = 0.5, n = 120000, gone = 0.49875, kept = 2, again = 0.503333, batch = 0.495299, time = 1, features = 0.5},
  embedding_15 = {p = 0.15, n = 24000, gone = 0.147667, kept = 1.17647, again = 0.749333, places = 1, words = 0.747916, features = 1},
  embedding_50 = {p = 0.5, n = 24000, gone = 0.503667, kept = 2, again = 0.486667, places = 1, words = 0.496165, features = 1},
  weights_15 = {p = 0.15, n = 10000, gone = 0.1549, kept = 1.17647, again = 0.743, rows = 0.737487, columns = 0.738469},
  weights_50 = {p = 0.5, n = 10000, gone = 0.5016, kept = 2, again = 0.5015, rows = 0.496181, columns = 0.502041},
}
