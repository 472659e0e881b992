--- safetensors_spec: tensors go to files and come back; files that lie are answers, not crashes.
local lu = require "luaunit"
local kooka = require "kooka"

local function with_path(f)
  local path = os.tmpname()
  f(path)
  os.remove(path)
end

TestSafetensors = {}

function TestSafetensors.test_tensors_and_metadata_come_back()
  with_path(function(path)
    lu.assertTrue(kooka.save_safetensors(path, {
      ["encoder.weight"] = kooka.tensor {{1, 2.5}, {-3, 4}}, ids = kooka.tensor({1, 2, 3}, "int32"), one = kooka.tensor(7),
    }, {format = "kooka", note = 'a "b"\n'}))
    local t, meta = kooka.load_safetensors(path)
    lu.assertEquals(t["encoder.weight"]:tolist(), {{1, 2.5}, {-3, 4}})
    lu.assertEquals(t.ids:tolist(), {1, 2, 3})
    lu.assertEquals(t.ids:dtype(), "int32")
    lu.assertEquals(t.one:item(), 7)
    lu.assertEquals(meta, {format = "kooka", note = 'a "b"\n'})
  end)
end

function TestSafetensors.test_nothing_at_all_is_a_file_too()
  with_path(function(path)
    lu.assertTrue(kooka.save_safetensors(path, {}))
    local t, meta = kooka.load_safetensors(path)
    lu.assertEquals(t, {})
    lu.assertEquals(meta, {})
  end)
end

function TestSafetensors.test_bad_files_are_answers()
  local t, message, code = kooka.load_safetensors("/nonexistent/x")
  lu.assertNil(t)
  lu.assertStrContains(message, "/nonexistent/x")
  lu.assertEquals(code, "io")
  with_path(function(path)
    local f = io.open(path, "wb")
    f:write(string.pack("<I8", 2), "{]")
    f:close()
    t, message, code = kooka.load_safetensors(path)
    lu.assertNil(t)
    lu.assertStrContains(message, "header, byte 2: expected a string")
    lu.assertEquals(code, "format")
  end)
end

function TestSafetensors.test_misuse_raises()
  lu.assertErrorMsgContains('"a" is number, expected a tensor', kooka.save_safetensors, "/tmp/never", {a = 1})
  lu.assertErrorMsgContains("a key is a number", kooka.save_safetensors, "/tmp/never", {kooka.tensor {1}})
  lu.assertErrorMsgContains('metadata "n" is a number', kooka.save_safetensors, "/tmp/never", {}, {n = 1})
  lu.assertErrorMsgContains("__metadata__", kooka.save_safetensors, "/tmp/never", {__metadata__ = kooka.tensor {1}})
end

TestNpy = {}

function TestNpy.test_an_array_comes_back()
  with_path(function(path)
    lu.assertTrue(kooka.save_npy(path, kooka.tensor {{1, 2, 3}, {4, 5, 6.5}}))
    lu.assertEquals(kooka.load_npy(path):tolist(), {{1, 2, 3}, {4, 5, 6.5}})
  end)
end

function TestNpy.test_bad_files_are_answers()
  with_path(function(path)
    local t, message, code = kooka.load_npy(path)
    lu.assertNil(t)
    lu.assertStrContains(message, "not an npy file")
    lu.assertEquals(code, "format")
    local header = "{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}"
    local f = io.open(path, "wb")
    f:write("\x93NUMPY\1\0", string.pack("<I2", #header), header, ("\0"):rep(8))
    f:close()
    lu.assertStrContains(select(2, kooka.load_npy(path)), 'elements of type "<c8"')
  end)
end

--- NumPy reads what we write and we read what it writes, where it is installed.
function TestNpy.test_numpy_agrees()
  local p = io.popen("python3 -c 'import numpy' 2>&1")
  local missing = p:read("a")
  if not p:close() or missing ~= "" then lu.skip("no numpy") end
  with_path(function(path)
    kooka.save_npy(path, kooka.tensor {{1, 2, 3}, {4, 5, 6.5}})
    local script = ("import numpy as np; p = %q; a = np.load(p); assert a.shape == (2, 3) and a.dtype == np.float32 and a[1, 2] == 6.5; "
      .. "f = open(p, 'wb'); np.save(f, np.asfortranarray(a[:, :2].astype(np.float64)))"):format(path)
    lu.assertTrue(os.execute("python3 -c \"" .. script:gsub('"', "'") .. "\"") == true)
    lu.assertEquals(kooka.load_npy(path):tolist(), {{1, 2}, {4, 5}})
  end)
end

os.exit(lu.LuaUnit.run())
