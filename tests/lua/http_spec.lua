--- http_spec: kooka.http and kooka.server over loopback, with every fault a far server has.
local lu = require "luaunit"
local kooka = require "kooka"
local loopback = require "loopback"
local http, json = kooka.http, kooka.json

local url, child = loopback.start [[
  local routes = {
    ["/echo"] = function(r) return { body = json.encode(r), headers = { ["X-Kind"] = "echo", ["Content-Type"] = "application/json" } } end,
    ["/bytes"] = function(r) return { body = ("x"):rep(tonumber(r.query.n)) } end,
    ["/truncated"] = function() return { body = ("x"):rep(1000), truncate = 10 } end,
    ["/dropped"] = function() return { drop = true } end,
    ["/slow"] = function() kooka.sys.sleep(0.6) return { body = "late" } end,
    ["/500"] = function() return { status = 500, body = "broken" } end,
    ["/moved"] = function() return { status = 302, headers = { Location = "/echo?from=moved" } } end,
    ["/loop"] = function() return { status = 302, headers = { Location = "/loop?secret=1" } } end,
    ["/binary"] = function() return { body = "a\0b\255" } end,
  }
  return function(r)
    local route = routes[r.path]
    return route and route(r) or { status = 404, body = "no " .. r.path }
  end]]

local function fails(request, pattern, code)
  local v, message, got = http.request(request)
  lu.assertNil(v)
  lu.assertStrContains(message, pattern)
  lu.assertEquals(got, code)
  lu.assertNotStrContains(message, "SECRET")
  return message
end

TestHttp = {}

function TestHttp:test_a_request_arrives_whole_and_its_answer_comes_back()
  local a = assert(http.request { url = url .. "/echo?q=caf%C3%A9&x=1&empty=", headers = { ["X-Token"] = "t1" } })
  lu.assertEquals(a.status, 200)
  lu.assertEquals(a.headers["x-kind"], "echo")
  lu.assertEquals(a.headers["content-type"], "application/json")
  local r = json.decode(a.body)
  lu.assertEquals({ r.method, r.path, r.body }, { "GET", "/echo", "" })
  lu.assertEquals(r.query, { q = "café", x = "1", empty = "" })
  lu.assertEquals(r.headers["x-token"], "t1")
  r = json.decode(http.request({ url = url .. "/echo", body = '{"é":1}', method = "PUT" }).body)
  lu.assertEquals({ r.method, r.body }, { "PUT", '{"é":1}' })
  lu.assertEquals(json.decode(http.request({ url = url .. "/echo", body = "" }).body).method, "POST")
  lu.assertEquals(http.request({ url = url .. "/binary" }).body, "a\0b\255")
  lu.assertEquals(#http.request({ url = url .. "/bytes?n=3000000" }).body, 3000000)
end

function TestHttp:test_any_status_is_an_answer()
  local a = http.request { url = url .. "/500" }
  lu.assertEquals({ a.status, a.body }, { 500, "broken" })
  lu.assertEquals(http.request({ url = url .. "/nowhere" }).status, 404)
end

function TestHttp:test_redirects_are_followed_only_when_asked()
  local a = http.request { url = url .. "/moved" }
  lu.assertEquals({ a.status, a.headers.location }, { 302, "/echo?from=moved" })
  a = http.request { url = url .. "/moved", redirects = 3 }
  lu.assertEquals(a.status, 200)
  lu.assertNil(a.headers.location)
  lu.assertEquals(json.decode(a.body).query.from, "moved")
  fails({ url = url .. "/loop?t=SECRET", redirects = 3 }, "Maximum (3) redirects", "net")
end

function TestHttp:test_faults_of_the_server_are_answered_without_secrets()
  local auth = { Authorization = "Bearer SECRET" }
  fails({ url = "http://u:SECRET@127.0.0.1:9/x?token=SECRET", headers = nil }, "GET http://127.0.0.1:9/x: ", "net")
  fails({ url = url .. "/truncated?t=SECRET", headers = auth }, "ended early", "net")
  fails({ url = url .. "/dropped?t=SECRET", headers = auth }, "Empty reply", "net")
  fails({ url = url .. "/bytes?n=100&t=SECRET", headers = auth, max_bytes = 99 }, "max_bytes = 99", "format")
  lu.assertEquals(#http.request({ url = url .. "/bytes?n=100", max_bytes = 100 }).body, 100)
end

function TestHttp:test_a_slow_server_is_given_up_after_the_timeout()
  local t = kooka.sys.now()
  fails({ url = url .. "/slow?SECRET", timeout = 0.15 }, "no complete answer in time (connect 10 s, total 0.15 s)", "net")
  lu.assertTrue(kooka.sys.now() - t < 0.5)
end

function TestHttp:test_a_server_that_does_not_speak_tls_is_refused()
  fails({ url = url:gsub("^http", "https") .. "/echo?SECRET", timeout = 5 }, "GET https://127.0.0.1", "net")
end

function TestHttp:test_missing_certificates_are_named()
  local s = loopback.start "return function() return {} end"
  fails({ url = s:gsub("^http", "https") .. "/", ca_file = "/nowhere/ca.pem", timeout = 5 }, "/nowhere/ca.pem", "net")
end

function TestHttp:test_ctrl_c_ends_a_transfer()
  kooka.sys.stop()
  local ok, message = pcall(http.request, { url = url .. "/slow?SECRET" })
  kooka.sys.stop_clear()
  lu.assertFalse(ok)
  lu.assertStrContains(message, "/slow: interrupted")
end

function TestHttp:test_misuse_raises()
  lu.assertErrorMsgContains("url is missing", http.request, {})
  lu.assertErrorMsgContains("no option 'uri'", http.request, { uri = "x" })
  lu.assertErrorMsgContains("http:// or https://", http.request, { url = "file:///etc/passwd" })
  lu.assertErrorMsgContains("blank or control character at byte 19", http.request, { url = "http://127.0.0.1/a b" })
  lu.assertErrorMsgContains("one line", http.request, { url = url, headers = { A = "x\r\nB: y" } })
  lu.assertErrorMsgContains("method", http.request, { url = url, method = "GET /" })
  lu.assertErrorMsgContains("option timeout", http.request, { url = url, timeout = -1 })
end

function TestHttp:test_authorization_never_leaves_the_machine_in_clear()
  for _, host in ipairs { "example.com", "127.0.0.1.example.com", "localhost.example.com", "127.0.0.1@example.com", "[::1].example.com" } do
    lu.assertErrorMsgContains("only sent over https://", http.request,
      { url = "http://" .. host .. "/", headers = { authorization = "Bearer SECRET" } })
  end
end

TestServer = {}

function TestServer:test_a_taken_port_is_answered()
  local a <close> = assert(kooka.server.new())
  local v, message, code = kooka.server.new { port = a:port() }
  lu.assertNil(v)
  lu.assertStrContains(message, "port " .. a:port())
  lu.assertEquals(code, "net")
end

function TestServer:test_a_closed_server_raises_and_idle_serving_ends()
  local s = assert(kooka.server.new())
  lu.assertEquals(s:serve(function() end, { seconds = 0.15 }), 0)
  local asked = 0
  lu.assertEquals(s:serve(function() end, { stop = function() asked = asked + 1 return asked == 2 end }), 0)
  s:close()
  lu.assertErrorMsgContains("closed", s.port, s)
  s:close()
end

function TestServer:test_an_error_in_the_handler_answers_500_and_ends_the_server()
  local u, c = loopback.start [[return function(r) if r.path == "/bad" then return 5 end return { body = "ok" } end]]
  lu.assertEquals(http.request({ url = u .. "/" }).body, "ok")
  lu.assertEquals(http.request({ url = u .. "/bad" }).status, 500)
  lu.assertEquals(c:wait(), 1)
end

function TestServer:test_the_server_ends_with_its_parent()
  local u, c = loopback.start "return function() return {} end"
  lu.assertEquals(http.request({ url = u .. "/" }).status, 200)
  c:close_stdin()
  lu.assertEquals(c:wait(5), 0)
end

local status = lu.LuaUnit.run()
child:close_stdin()
child:wait(5)
os.exit(status)
