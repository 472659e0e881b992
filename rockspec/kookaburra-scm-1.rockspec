rockspec_format = "3.0"
package = "kookaburra"
version = "scm-1"
source = {
  url = "git+file:.",   -- built from the tree it lies in: luarocks make rockspec/kookaburra-scm-1.rockspec
}
description = {
  summary = "Language models, classifiers and per-person heads for tweets, in C under Lua 5.4",
  detailed = [[
A C runtime (tensors, reverse-mode automatic differentiation, fused LSTM, metrics with intervals) with Lua 5.4
on top: recipes script the road from collecting tweets to language models, classifiers, one small head per person
and a report that says for whom they work. The libraries it needs are listed in vendor/README.md of the source tree.]],
  license = "MIT",
  labels = { "machine-learning", "nlp", "lstm", "twitter" },
}
supported_platforms = { "linux", "macosx" }
dependencies = { "lua >= 5.4, < 5.5" }
build = {
  -- The Makefile asks pkg-config: LuaRocks 3.8 does not look for headers where Debian keeps them.
  type = "make",
  build_target = "rock",
  install_target = "install-rock",
  build_pass = true,
  install_pass = true,
  build_variables = { LUA_INCDIR = "$(LUA_INCDIR)" },
  install_variables = { LIBDIR = "$(LIBDIR)", LUADIR = "$(LUADIR)" },
}
test = { type = "command", command = "make test" }
