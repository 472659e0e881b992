--- text: cleaning rules and tokenizers. Each is loaded when first used.
return require "kooka.lazy" "kooka.text"
