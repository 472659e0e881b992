--- data: reading, splitting, resampling and batching. Each is loaded when first used.
return require "kooka.lazy" "kooka.data"
