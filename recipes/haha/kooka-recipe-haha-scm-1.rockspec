rockspec_format = "3.0"
package = "kooka-recipe-haha"
version = "scm-1"
source = { url = "git+file:." }   -- luarocks make, in this folder
description = {
  summary = "Recipe for kooka: humour in Spanish tweets (HAHA 2019)",
  license = "MIT",
}
dependencies = { "lua >= 5.4, < 5.5", "kookaburra" }
build = { type = "builtin", modules = { ["kooka.recipes.haha"] = "recipe.lua" } }
