--- kooka.users: one small head a person on a frozen encoder, shrunk toward the general head, and an
-- honest report of whom it helps. Labels are classes 1 and 2, users are ids of any kind.
-- Further: kooka.users.network (the rungs that train the network for a person: token, biases, low-rank, everything, reptile),
-- kooka.users.ladder (every rung on the same folds, one table), kooka.users.plan (what a person's rows can
-- show, and what to
-- label next), kooka.users.fleet (the heads of a model in one file), kooka.users.features (vectors of persons, distances).
local fit = require "kooka.users.fit"
local report = require "kooka.users.report"
local rungs = require "kooka.users.rungs"

local users = {}

--- fit(opts) -> result
-- opts: features [N,D] of a frozen encoder (tensor or list of lists), labels [N] (1 or 2), users [N] (ids of any
-- kind), head = {w = [D], b = number} or offset = the general head's logit of each row, method, lambda (nil: chosen;
-- else one number), lambda0 (penalty on a person's intercept; nil: chosen), folds (5; 0: leave one out; "minority": at
-- most 5, each
-- with a row of the person's smaller class, leave one out where there is only one; false: heads alone at the given
-- lambda, no prob), seed (1), mean and scale (of features, where heads
-- are to fit others that exist; nil: measured), components
-- (main directions of the features that the heads see; nil: all, 8 for "components", none for "firth" and "flic"), pseudo
-- (prototypes: rows that pull a class mean to the others'; nil: chosen).
-- method: "global" (the general head as it is), "intercept" (one number a person), "firth", "flic" (the same by
-- Firth's likelihood),
-- "components" (general logit plus a ridge on a few directions), "ridge" (one Newton step, closed form), "prototypes",
-- "map" (a head a
-- person, Gaussian prior around the general head; the default), "own" (no general head: for comparison). users.rungs
-- lists them.
-- Minimised for each person by "map": sum of log-losses + lambda/2 |v|^2 + lambda0/2 c^2, where v and c are added to
-- the general
-- head and features are centred and scaled to a mean squared norm of 1 over all rows. Predictions are out of fold,
-- folds at random within a person (stratified ones flatter: a chance share of likes is then the same in training and
-- test); each person's lambda for them is the one with the least out-of-fold log-loss of
-- the OTHERS (empirical Bayes without a look at his labels; searched on 400 persons at most); lambda0 and pseudo are
-- chosen over all.
-- A person whose rows are of one class keeps the general head.
-- result: prob and global (P(class 2) of each row; prob out of fold), rank (prob with the intercepts of a person's folds
-- replaced by their mean: by it rows of different folds are ranked, for average precision), fold, lambda, lambda0, losses
-- ({lambda, loss} of the grid), heads {w [U,D] or nil, b list} to add to the general head, users (names), labels, ids, per
-- (for each person n, positives, lambda, message, rows).
users.fit = fit.fit

--- rungs: list of {name =, about =, features =, network =}, the methods in the order of the ladder
-- Closed forms are methods of users.fit: global, intercept, firth, flic, components, ridge, prototypes, map, own. Those that train the
-- network are methods of kooka.users.network's fit, which see: token, biases, low-rank, everything, reptile.
users.rungs = rungs.list

--- predict(result, opts) -> list of P(class 2)
-- New rows with the fitted heads: opts.users (ids; somebody unknown gets the general head), opts.offset (general
-- logits) or opts.head, opts.features.
users.predict = fit.predict

--- report(result, opts) -> report
-- For whom does the head work? opts: truth (P(class 2) of each row where it is known), level (.95), resamples (300,
-- for a person's MCC and AP), threshold (.5), seed (1).
-- report.rows, one a person: precision, recall, F1 (Clopper-Pearson), MCC and average precision (baseline: prevalence)
-- of the smaller class for head and global, majority_accuracy, log_loss_difference (head minus general, paired t
-- interval), verdict ("better", "worse", "no difference", "not enough data", "one class"), use ("head" only where it
-- is shown to be better, else "global"); with truth also best, expected_head, expected_global, share_of_possible.
-- report.macro: means over persons with intervals from resampling persons; report.pooled: paired log-loss over all
-- rows with persons as the draws; report.counts; report.best (with truth). users.text(report) prints it.
users.report = report.report

--- text(report, opts) -> string
-- The report for a terminal: one line a person (opts.most of them, 40), then means and verdict over persons.
users.text = report.text

return users
