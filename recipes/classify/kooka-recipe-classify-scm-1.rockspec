rockspec_format = "3.0"
package = "kooka-recipe-classify"
version = "scm-1"
source = { url = "git+file:." }   -- luarocks make, in this folder
description = {
  summary = "Recipe for kooka: texts of any table into any classes",
  license = "MIT",
}
dependencies = { "lua >= 5.4, < 5.5", "kookaburra" }
build = { type = "builtin", modules = { ["kooka.recipes.classify"] = "recipe.lua" } }
