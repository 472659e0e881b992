-- .luacheckrc -- no globals but Lua's; the rest of the style is checked by tests/lint.lua.
std = "lua54"
max_line_length = false
unused_args = false
-- `local value, message = ...` a second time; `local scope <close> = ...`
ignore = {"411", "211/scope", "211/tape"}
include_files = {"lua", "recipes", "tests", "**/*.rockspec"}
files["**/*.rockspec"] = {std = "+rockspec"}
-- LuaUnit finds tests by their global names.
files["tests"] = {ignore = {"411", "211/scope", "211/tape", "311", "512", "11./Test.*", "131/Test.*"}}
