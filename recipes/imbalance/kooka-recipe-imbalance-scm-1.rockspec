rockspec_format = "3.0"
package = "kooka-recipe-imbalance"
version = "scm-1"
source = { url = "git+file:." }   -- luarocks make, in this folder
description = {
  summary = "Recipe for kooka: which trick against few examples of a class works, on the same folds",
  license = "MIT",
}
dependencies = { "lua >= 5.4, < 5.5", "kookaburra" }
build = { type = "builtin", modules = { ["kooka.recipes.imbalance"] = "recipe.lua" } }
