--- baseline: NB-SVM, characters, nearest neighbours, fastText-like and the majority, to stand beside every score; loaded when first used.
return require "kooka.lazy" "kooka.baseline"
