--- libretranslate: a translator behind LibreTranslate's HTTP API, on this machine or another one.
local core = require "kooka.core"
local check_options = require "kooka.options"
local pacing = require "kooka.collect.pacing"
local http, json, sys = core.http, core.json, core.sys

local libretranslate = {}

local Libre = {}
Libre.__index = Libre
Libre.__name = "kooka.translator"

local PACING = { tries = true, first = true, longest = true, longest_limit = true, seed = true, on_wait = true, sleep = true }
local OWN = { url = true, key = true, key_env = true, timeout = true, batch = true, ca_file = true, limit_waits = true }

function Libre.__tostring(t) return "translator libretranslate at " .. t.url end

-- The server's own words, short and without the key.
local function detail_of(self, body)
  local value = json.decode(body or "", { nulls = "drop" })
  local text = type(value) == "table" and (value.error or value.message)
  if type(text) ~= "string" then return "" end
  if self.key then
    text = text:gsub(self.key:gsub("%p", "%%%0"), "***")
  end
  return ": " .. text:gsub("%s+", " "):sub(1, 200)
end

local FINAL = { [400] = "the request was refused", [403] = "the server wants another API key", [404] = "there is no LibreTranslate",
  [401] = "the server wants another API key", [413] = "the text is too long" }

-- "done" and the answer, "retry" and why, "limit" and seconds, or "stop", message, code, status.
local function judge(self, answer, message, code, limits)
  if not answer then
    if code == "net" then return "retry", message end
    return "stop", message, code
  end
  local status = answer.status
  if status == 200 then
    local value = json.decode(answer.body, { nulls = "drop" })
    if type(value) == "table" then return "done", value end
    return "retry", "the answer is no JSON object"
  end
  local detail = detail_of(self, answer.body)
  if status == 429 then
    local seconds = pacing.limit(answer.headers, sys.wall(), limits + 1)
    if seconds > self.pace.longest_limit or limits >= self.limit_waits then
      return "stop", ("429: the rate limit ends in %.0f s, longer than this waits%s"):format(seconds, detail), "net", 429
    end
    return "limit", seconds
  end
  if status >= 500 or status == 408 then return "retry", ("%d%s"):format(status, detail) end
  return "stop", ("%d: %s%s"):format(status, FINAL[status] or "the server refused", detail), "net", status
end

-- One request, with waits; value | nil, message, code, status.
local function ask(self, body)
  local failures, limits = 0, 0
  while true do
    local answer, message, code = http.request { url = self.url .. "/translate", timeout = self.timeout, body = body,
      headers = { ["Content-Type"] = "application/json", Accept = "application/json" }, ca_file = self.ca_file }
    local verdict, a, b, status = judge(self, answer, message, code, limits)
    if verdict == "done" then return a end
    if verdict == "stop" then return nil, "libretranslate: " .. a, b, status end
    if verdict == "limit" then
      limits = limits + 1
      self.pace:wait(a, "rate limit")
    else
      failures = failures + 1
      if failures >= self.pace.tries then
        return nil, ("libretranslate: gave up after %d tries: %s"):format(failures, a), "net"
      end
      self.pace:wait(self.pace:backoff(failures), a)
    end
  end
end

--- t:translate(texts, from, to) -> list of texts | nil, message, code
-- One request for all; one that the server finds too large is halved. Tries again after network errors and 5xx, waits
-- for 429 (kooka.collect.pacing). No message holds the key.
function Libre:translate(texts, from, to)
  local body = json.encode { q = json.array(table.move(texts, 1, #texts, 1, {})), source = from, target = to, format = "text",
    api_key = self.key }
  local value, message, code, status = ask(self, body)
  if not value then
    if (status == 400 or status == 413) and #texts > 1 then
      local half = #texts // 2
      local a, b
      a, message, code = self:translate(table.move(texts, 1, half, 1, {}), from, to)
      if not a then return nil, message, code end
      b, message, code = self:translate(table.move(texts, half + 1, #texts, 1, {}), from, to)
      if not b then return nil, message, code end
      return table.move(b, 1, #b, #a + 1, a)
    end
    return nil, message, code
  end
  local list = value.translatedText
  if type(list) == "string" and #texts == 1 then list = { list } end
  if type(list) ~= "table" or #list ~= #texts then
    return nil, ("libretranslate: %d texts were sent, %s came back"):format(#texts, type(list) == "table" and #list or "none"), "format"
  end
  for i, text in ipairs(list) do
    if type(text) ~= "string" then return nil, ("libretranslate: translation %d is no text"):format(i), "format" end
  end
  return list
end

--- libretranslate.new{url=, key=, key_env="LIBRETRANSLATE_API_KEY", batch=20, timeout=120, ...} -> translator | nil, message, code
-- url: where the server is, as http://127.0.0.1:5000 (pip install libretranslate) or https://libretranslate.com, whose
-- certificate is verified (ca_file: another list of authorities). key: an API key, else what the environment has under
-- key_env; it is never printed or stored, and only sent over https or to this machine. batch: texts of a request.
-- timeout: seconds. limit_waits: rate limits in a row that are waited for (20); tries, first, longest, longest_limit,
-- seed, on_wait, sleep: kooka.collect.pacing.
function libretranslate.new(options)
  local o, pace, known = options or {}, {}, {}
  for k in pairs(OWN) do known[k] = true end
  for k in pairs(PACING) do
    known[k], pace[k] = true, o[k]
  end
  check_options("libretranslate", o, known)
  if type(o.url) ~= "string" or not o.url:find("^https?://") then
    error("libretranslate: url: expected http://127.0.0.1:5000 or the like", 2)
  end
  local key = o.key or os.getenv(o.key_env or "LIBRETRANSLATE_API_KEY")
  if key == "" then key = nil end
  local host = o.url:match("^http://%[?([^/%]]+)")
  if key and host and not (host:find("^127%.") or host:find("^localhost") or host:find("^::1")) then
    return nil, "libretranslate: the API key is only sent over https or to this machine, and the address begins with http://", "argument"
  end
  return setmetatable({ name = "libretranslate", url = (o.url:gsub("/+$", ""):gsub("/translate$", "")), key = key, batch = o.batch or 20,
    timeout = o.timeout or 120, ca_file = o.ca_file, limit_waits = o.limit_waits or 20, pace = pacing.new(pace) }, Libre)
end

return libretranslate
