rockspec_format = "3.0"
package = "kooka-recipe-hello"
version = "scm-1"
source = { url = "git+file:." }
description = { summary = "The smallest recipe, for the test of recipes as rocks", license = "MIT" }
dependencies = { "lua >= 5.4, < 5.5", "kookaburra" }
build = { type = "builtin", modules = { ["kooka.recipes.hello"] = "recipe.lua" } }
