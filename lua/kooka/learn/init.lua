--- learn: optimizers, schedules, sources of batches and the learner. Each is loaded when first used.
return require "kooka.lazy" "kooka.learn"
