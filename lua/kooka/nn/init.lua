--- nn: layers and models, one a file. Each is loaded when first used.
return require "kooka.lazy" "kooka.nn"
