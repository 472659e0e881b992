--- sandbox: throw-away folders and commands for the specs of the scripts.
local sandbox = {}

--- quote(text) -> text as one word of the shell
function sandbox.quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

--- run(command) -> output (stdout and stderr together), exit status
function sandbox.run(command)
  local pipe = assert(io.popen("{ " .. command .. "\n} 2>&1 </dev/null; echo \"=$?\""))
  local text = pipe:read("a")
  pipe:close()
  local output, code = text:match("^(.*)=(%d+)\n$")
  return output, tonumber(code)
end

--- folder() -> path of a new empty folder
function sandbox.folder()
  return (sandbox.run("mktemp -d"):gsub("%s+$", ""))
end

--- write(path, text)
-- Makes the folders above path too.
function sandbox.write(path, text)
  assert(os.execute("mkdir -p " .. sandbox.quote(path:match("^(.*)/"))))
  local f = assert(io.open(path, "wb"))
  f:write(text)
  f:close()
end

--- remove(folder)
function sandbox.remove(folder)
  assert(folder:match("^/tmp/") or folder:match("^/var/"), "not a temporary folder")
  os.execute("rm -rf " .. sandbox.quote(folder))
end

return sandbox
