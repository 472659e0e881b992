rockspec_format = "3.0"
package = "kooka-recipe-lm"
version = "scm-1"
source = { url = "git+file:." }   -- luarocks make, in this folder
description = {
  summary = "Recipe for kooka: a language model of any text, beside n-grams",
  license = "MIT",
}
dependencies = { "lua >= 5.4, < 5.5", "kookaburra" }
build = { type = "builtin", modules = { ["kooka.recipes.lm"] = "recipe.lua" } }
