--- hello: a recipe that exists only as a rock; `make test-rocks` installs it and `kooka run hello` must find it.
local function run(p, job)
  local kooka = require "kooka"
  local path = job:path("predictions/hello.txt")
  kooka.sys.mkdir_p(path:match("^(.*)/"))
  kooka.try(kooka.sys.write_file(path, ("%s %d\n"):format(p.word, p.times)))
end

return {
  name = "hello",
  about = "writes one word, to show that a recipe installed as a rock is found and run",
  params = {
    word = { default = "jaja", help = "what is written" },
    times = { default = 3, help = "a number behind it", min = 1, max = 9 },
  },
  smoke = { times = 1 },
  run = run,
}
