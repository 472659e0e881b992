--- pretrained_spec: checkpoints of PyTorch and fastai (golden files by tests/golden/pretrained.py) load without running anything
-- and give the logits that fastai gives; the vocabulary moves as fastai's match_embeds does it; files that lie are answers.
local lu = require "luaunit"
local helper = require "cli_helper"
local kooka = require "kooka"
local nn = require "kooka.nn"
local pretrained = require "kooka.pretrained"
local golden_folder = (arg[0]:match "^(.*)/lua/[^/]*$" or "tests") .. "/golden/"
local golden = dofile(golden_folder .. "pretrained.lua")
local sys = kooka.sys

local function file(name) return golden_folder .. "pretrained/" .. name end

local function flat(v, out)
  out = out or {}
  if type(v) == "table" then
    for _, e in ipairs(v) do flat(e, out) end
  else
    out[#out + 1] = v
  end
  return out
end

local function close(what, got, want, off)
  got, want = flat(got:tolist()), flat(want)
  lu.assertEquals(#got, #want, what)
  for i = 1, #want do
    local by = math.abs(got[i] - want[i])
    if by > off or by ~= by then lu.fail(("%s[%d] is %.9g, expected %.9g"):format(what, i, got[i], want[i])) end
  end
end

local function refused(t, message, code) return lu.assertNil(t), message, code end

TestTorchFiles = {}

function TestTorchFiles.test_every_kind_of_tensor_and_view_comes_back()
  for _, name in ipairs { "tensors.pth", "big.pth" } do           -- big: the numbers of a big-endian machine
    local t, message = kooka.load_torch(file(name))
    lu.assertTable(t, message)
    lu.assertEquals(t.turned:tolist(), { { 0, 4, 8 }, { 1, 5, 9 }, { 2, 6, 10 }, { 3, 7, 11 } })
    lu.assertEquals(t.part:tolist(), { 5, 6, 7, 8 })
    lu.assertEquals(t.every_third:tolist(), { 1, 4, 7, 10 })
    lu.assertEquals(t.scalar:item(), 2.5)
    lu.assertEquals(t.empty:shape(), { 0, 3 })
    lu.assertEquals(t.half:tolist(), { 1.5, -.25 })
    lu.assertEquals(t.bfloat16:tolist(), { 1.5, -3 })
    lu.assertAlmostEquals(t.double:item(), .1, 1e-8)
    lu.assertEquals(t.long:tolist(), { 2 ^ 40, -1 })
    lu.assertEquals({ t.long:dtype(), t.int:dtype(), t.short:dtype(), t.bool:dtype() }, { "int64", "int32", "int32", "uint8" })
    lu.assertEquals({ t.int:item(), t.short:item(), t.bytes:item() }, { 7, -5, 200 })
    lu.assertEquals(t.bool:tolist(), { 1, 0 })
    lu.assertEquals(t.parameter:tolist(), { { 1 } })
    lu.assertEquals(t.nested[5], "five")
    lu.assertEquals(t.nested.size, { 2, 3 })
    lu.assertEquals({ t.nested.list[1], t.nested.list[3], t.nested.list[4] }, { 1, "x", { true, 1.5 } })
    lu.assertTrue(rawequal(t.nested.list[2], kooka.json.null))
  end
end

function TestTorchFiles.test_what_shares_a_storage_in_the_file_shares_it_here()
  local t = kooka.load_torch(file "tensors.pth")
  t.part:narrow(1, 1, 1):fill_(50)                                     -- element 5 of the twelve
  lu.assertEquals(t.turned:tolist()[2][2], 50)
end

function TestTorchFiles.test_words_come_in_every_protocol_of_pickle()
  for p = 0, 5 do lu.assertEquals(kooka.load_torch(file(("itos%d.pkl"):format(p))), golden.itos) end
end

function TestTorchFiles.test_an_optimizer_s_numpy_numbers_are_numbers()
  local t = kooka.load_torch(file "lm_bwd_opt.pth")
  lu.assertEquals(t.opt.hypers[1].lr, 1e-3)
  lu.assertNil(kooka.load_torch(file "lm_bwd_opt.pth", { unwrap = "model" }).opt)
end

TestHostile = {}

function TestHostile:setUp() self.dir = helper.folder() end
function TestHostile:tearDown() sys.remove_tree(self.dir) end

function TestHostile:load(bytes)
  local f = io.open(self.dir .. "/x", "wb")
  f:write(bytes)
  f:close()
  return kooka.load_torch(self.dir .. "/x")
end

function TestHostile:refuses(bytes, why)
  local _, message, code = refused(self:load(bytes))
  lu.assertStrContains(message, why)
  lu.assertEquals(code, "format")
end

function TestHostile:test_a_pickle_that_wants_to_run_something_is_refused_by_name()
  self:refuses("\x80\x02cos\nsystem\nX\4\0\0\0true\x85R.", "byte 2 (GLOBAL): it asks for os.system, which is not allowed")
  self:refuses("\x80\x04\x8c\x08builtins\x8c\4eval\x93\x8c\1" .. "1\x85R.", "(STACK_GLOBAL): it asks for builtins.eval")
  self:refuses("\x80\x02c__builtin__\ngetattr\n.", "__builtin__.getattr")
  self:refuses("\x80\x02ctorch.storage\n_load_from_bytes\n.", "torch.storage._load_from_bytes")
  self:refuses("(ios\nsystem\n.", "opcode that is not allowed")
  self:refuses("\x80\x02c\27[31m\nx\n.", "?[31m.x")                  -- what the file says cannot paint the terminal
end

function TestHostile:test_opcodes_that_do_not_exist_or_come_at_the_wrong_time()
  self:refuses("\x80\x02]\xff.", "byte 3 (?): unknown opcode 0xff")
  self:refuses("\x80\x07N.", "protocol 7")
  self:refuses("\x80\x02a.", "nothing is on the stack")
  self:refuses("\x80\x02]]a.a.", "bytes behind the end")
  self:refuses("\x80\x02NN.", "2 values are left")
  self:refuses("\x80\x02(N.", "left")
  self:refuses("\x80\x02}(K\1u.", "a key without its value")
  self:refuses("\x80\x02K\5K\6a.", "expected a list, got a int")
  self:refuses("\x80\x02h\5.", "nothing was put under memo number 5")
  self:refuses("\x80\x02]N\x85R.", "a list is called")
  self:refuses("\x80\x02NN\x85.", "left")
  self:refuses("\x80\x02]}b.", "a list gets attributes")
  self:refuses("\x80\x02X\3\0\0\0\xff\xfe\xfd.", "not UTF-8")
  self:refuses("\x80\x02", "ends without STOP")
  self:refuses("", "neither a file of torch.save nor a pickle")
  self:refuses("hello", "neither a file of torch.save nor a pickle")
end

function TestHostile:test_huge_counts_and_deep_nesting()
  self:refuses("\x80\x02X\xff\xff\xff\xffa.", "truncated")
  self:refuses("\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fa.", "truncated")
  self:refuses("\x80\x02\x8b\xff\xff\xff\x7f.", "truncated")
  self:refuses("\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xffN.", "frame")
  self:refuses("\x80\x02Nr\xff\xff\xff\xff.", "memo number")
  self:refuses("\x80\x02" .. ("]"):rep(100) .. ("a"):rep(99) .. ".", "nested more than 64 deep")
  self:refuses("\x80\x02]q\0h\0a.", "contains itself")
  self:refuses("\x80\x02" .. ("]"):rep(3000000) .. ("a"):rep(2999999) .. ".", "deep")
end

function TestHostile:test_shared_containers_are_not_unfolded()
  -- forty lists, each twice in the next: 2^40 values when unfolded
  local parts = { "\x80\x02]q\0" }
  for i = 1, 40 do parts[#parts + 1] = ("]q%c(h%ch%ce"):format(i, i - 1, i - 1) end
  local t = self:load(table.concat(parts) .. "\x86" .. ("\x86"):rep(39) .. ".")
  lu.assertTable(t)
end

function TestHostile:test_a_pickle_that_swells_is_stopped()
  local copy = "cbuiltins\nlist\nh\0\x85R0"                              -- a copy of the list, dropped, 100 times
  self:refuses("\x80\x02](" .. ("N"):rep(1000000) .. "eq\0" .. copy:rep(100) .. ".", "the values need more than 256 MB")
end

-- a zip archive of stored entries {name, data}; change(fields) before each record is written
local function crc32(s)
  local c = 0xffffffff
  for i = 1, #s do
    c = c ~ s:byte(i)
    for _ = 1, 8 do c = c & 1 == 1 and (c >> 1) ~ 0xedb88320 or c >> 1 end
  end
  return ~c & 0xffffffff
end

local function zip(entries, change, count)
  local out, directory, at = {}, {}, 0
  for i, it in ipairs(entries) do
    local e = { name = it[1], data = it[2], method = 0, flags = 0, crc = crc32(it[2]), size = #it[2], packed = #it[2], at = at }
    if change then change(e, i) end
    local header = string.pack("<I4I2I2I2I2I2I4I4I4I2I2", 0x04034b50, 20, e.flags, e.method, 0, 0, e.crc, 0, 0, #it[1], 0) .. it[1]
    out[#out + 1] = header .. e.data
    directory[#directory + 1] = string.pack("<I4I2I2I2I2I2I2I4I4I4I2I2I2I2I2I4I4", 0x02014b50, 20, 20, e.flags, e.method, 0, 0, e.crc,
      e.packed, e.size, #e.name, 0, 0, 0, 0, 0, e.at) .. e.name
    at = at + #header + #e.data
  end
  local d = table.concat(directory)
  count = count or #entries
  return table.concat(out) .. d .. string.pack("<I4I2I2I2I2I4I4I2", 0x06054b50, 0, 0, count, count, #d, at, 0)
end

-- state {a = tensor of the storage "0": four floats}
local function state(offset, sizes, strides, numel, type)
  local function number(v) return "\x8a\8" .. string.pack("<i8", v) end
  local function tuple(list)
    local parts = { "(" }
    for _, v in ipairs(list) do parts[#parts + 1] = number(v) end
    return table.concat(parts) .. "t"
  end
  return "\x80\2}X\1\0\0\0actorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\n" .. (type or "FloatStorage")
    .. "\nX\1\0\0\0" .. "0X\3\0\0\0cpu" .. number(numel or 4) .. "tQ" .. number(offset) .. tuple(sizes) .. tuple(strides) .. "\x89NtRs."
end
local FOUR = string.pack("<ffff", 1, 2, 3, 4)
local function archive(pickle, data) return { { "m/data.pkl", pickle }, { "m/data/0", data or FOUR } } end

function TestHostile:test_a_tensor_stays_inside_of_its_storage()
  lu.assertEquals(self:load(zip(archive(state(1, { 3 }, { 1 })))).a:tolist(), { 2, 3, 4 })
  local function bad(why, ...) self:refuses(zip(archive(state(...))), why) end
  bad("beyond its storage", 2, { 3 }, { 1 })
  bad("beyond its storage", 0, { 2, 2 }, { 4, 1 })
  bad("beyond its storage", 1 << 62, { 1 }, { 1 })
  bad("beyond its storage", 0, { 3, 3 }, { 1 << 62, 1 << 62 })
  bad("more elements than its storage", 0, { 1 << 40, 1 << 20 }, { 0, 0 })
  bad("more elements than its storage", 0, { 1 << 62, 4 }, { 0, 1 })
  bad("without storage and offset", -1, { 1 }, { 1 })
  bad("without sizes and strides", 0, { -1 }, { 1 })
  bad("without sizes and strides", 0, { 1 }, { 1, 1 })
  bad("without sizes and strides", 0, { 1, 1, 1, 1, 1, 1, 1 }, { 1, 1, 1, 1, 1, 1, 1 })
  bad("more than the file", 0, { 4 }, { 1 }, 1 << 61)
  bad("more than the file", 0, { 4 }, { 1 }, -1)
  bad("has 16 bytes, expected 4 elements of 8", 0, { 4 }, { 1 }, 4, "DoubleStorage")
  bad("ComplexFloatStorage, which is not allowed", 0, { 4 }, { 1 }, 4, "ComplexFloatStorage")
  self:refuses(zip { { "m/data.pkl", state(0, { 4 }, { 1 }) } }, 'storage "0" is not in the archive')
  self:refuses(zip { { "data.pkl", "" } }, "without data.pkl")
end

function TestHostile:test_archives_that_lie()
  local good = archive(state(0, { 4 }, { 1 }))
  local function bad(why, change, count) self:refuses(zip(good, change, count), why) end
  bad("is compressed", function(e) e.method = 8 end)
  bad("is encrypted", function(e) e.flags = 1 end)
  bad("overlaps another one", function(e, i) if i == 1 then e.size, e.packed = e.size + 1, e.size + 1 end end)
  bad("another name in its header", function(e, i) if i == 2 then e.name = "m/data/1" end end)
  bad("has two sizes", function(e) e.size = e.size + 1 end)
  bad("outside of the file", function(e, i) if i == 2 then e.size, e.packed = 1 << 30, 1 << 30 end end)
  bad("outside of the file", function(e) e.at = 0xfffffff0 end)
  bad("zip64 field is missing", function(e) e.size = 0xffffffff end)
  bad("is damaged", function(e) e.crc = e.crc ~ 1 end)
  bad("more entries than the directory has room for", nil, 60000)
  bad("the directory is longer than its entries", nil, 1)
  bad("zip64 record", nil, 0xffff)
  self:refuses(zip { { "m/data.pkl", "N." }, { "m/data.pkl", "N." } }, "is there twice")
  self:refuses(zip(good):sub(1, -2), "no record at the end")
  -- the same entry twice is the same bytes twice
  self:refuses(zip(good, function(e, i) if i == 2 then e.at = 0 end end), "header")
end

function TestHostile:test_every_beginning_of_a_file_is_refused()
  for _, name in ipairs { "lm.pth", "lm_legacy.pth", "itos2.pkl", "itos4.pkl" } do
    local bytes = sys.read_file(file(name))
    for n = 0, #bytes - 1, name:match "itos" and 1 or 37 do
      local t, _, code = self:load(bytes:sub(1, n))
      lu.assertNil(t, ("%s cut at %d"):format(name, n))
      lu.assertEquals(code, "format")
    end
  end
end

function TestHostile:test_a_damaged_number_is_noticed_in_an_archive()
  local bytes = sys.read_file(file "lm.pth")
  local at = bytes:find(kooka.load_torch(file "lm.pth")["1.decoder.bias"] and "lm/data/0", 1, true) + 120
  local damaged = bytes:sub(1, at - 1) .. string.char(bytes:byte(at) ~ 1) .. bytes:sub(at + 1)
  self:refuses(damaged, "is damaged (its CRC-32")
  sys.write_file(self.dir .. "/y", damaged)
  lu.assertTable((kooka.load_torch(self.dir .. "/y", { crc = false })))
end

TestFastai = {}

local function logits(name, ids)
  local state_, info = pretrained.load { weights = file(name) }
  lu.assertTable(state_, info)
  local m = nn.language_model(info.options)
  m:load_state(state_)
  m:eval()
  local scope <close> = kooka.scope()
  return (m(kooka.tensor(ids or golden.ids, "int32"))):keep(), info
end

function TestFastai.test_logits_are_fastai_s()
  for name, want in pairs { ["lm.pth"] = "lm", ["lm_legacy.pth"] = "lm", ["lm_bwd_opt.pth"] = "lm_bwd_opt", ["qrnn_legacy.pth"] = "qrnn" } do
    local got, info = logits(name)
    close(name, got, golden[want], 1e-5)
    lu.assertEquals(info.backward, want == "lm_bwd_opt")
    lu.assertEquals(info.cell, want == "qrnn" and "qrnn" or "lstm")
    lu.assertEquals(info.ignored, {})
  end
end

function TestFastai.test_an_encoder_alone_goes_into_a_classifier()
  local network = nn.classifier { vocab = 9, embed = 4, hidden = 5, layers = 3 }
  local state_, info = pretrained.load { weights = file "encoder.pth", model = network }
  lu.assertTable(state_, info)
  lu.assertFalse(info.decoder)
  lu.assertNil(state_.bias)
  local whole = pretrained.load { weights = file "lm.pth" }
  for name, t in pairs(network:state()) do
    if name:match "^encoder%." then close(name, t, whole[name]:tolist(), 0) end
  end
end

function TestFastai.test_the_vocabulary_moves_as_match_embeds_does()
  local state_, info = pretrained.load { weights = file "lm.pth", itos = file "itos2.pkl", vocab = golden.new }
  close("embedding", state_["encoder.embedding"], golden.embedding, 1e-7)
  close("bias", state_.bias, golden.bias, 1e-7)
  lu.assertEquals({ info.words.words, info.words.found, info.words.missing }, { 11, 9, 2 })
  lu.assertEquals(info.words.examples, { "new", "other" })
  lu.assertEquals(info.options.vocab, 11)
  lu.assertStrContains(table.concat(pretrained.say(info), "\n"), "9 of 11 words found (81.8 %), 2 begin at the mean: new other")
end

function TestFastai.test_pieces_of_our_tokenizer_meet_words()
  local pieces = { "xxunk", "xxpad", "xxbos", "xxeos", "\u{2581}xxup", "\u{2581}the", "the", "\u{2581}", ",", "\u{2581},", "\u{2581}n" }
  local old = { "_unk_", "xxpad", "xxbos", "xxup", "the", ",", "n" }
  local embedding, want = {}, { 1, 4, 9, 20, 16, 25, 20, 20, 36, 36, 49 }    -- 20: the mean of the squares
  for i = 1, 7 do embedding[i] = { i * i } end
  local tok = { piece = function(_, i) return pieces[i] end, size = function() return #pieces end }
  local list = {}
  for i = 1, tok:size() do list[i] = tok:piece(i) end
  local out, report = pretrained.remap({ ["encoder.embedding"] = kooka.tensor(embedding) }, old, list, { pieces = true })
  close("rows", out["encoder.embedding"], want, 0)
  lu.assertEquals({ report.found, report.missing }, { 8, 3 })
  -- where the old words are pieces too, only equal ones meet
  out = pretrained.remap({ ["encoder.embedding"] = kooka.tensor { { 1 }, { 5 } } }, { "\u{2581}the", "the" }, { "the", "\u{2581}the", "\u{2581}" },
    { pieces = true })
  close("pieces", out["encoder.embedding"], { 5, 1, 3 }, 0)
end

function TestFastai.test_a_checkpoint_of_another_shape_says_what_differs()
  local other = nn.language_model { vocab = 10, embed = 4, hidden = 6, layers = 2 }
  local _, message, code = refused(pretrained.load { weights = file "lm.pth", model = other })
  lu.assertEquals(code, "format")
  lu.assertStrContains(message, "encoder.embedding is (9,4) in the file, (10,4) in the model")
  lu.assertStrContains(message, "encoder.layer1.weight_hh is (20,5) in the file, (24,6) in the model")
  lu.assertStrContains(message, "encoder.layer3.weight_ih (16,5) is not in the model")
  local weights = kooka.load_torch(file "lm.pth")
  weights["0.rnns.1.module.weight_ih_l0"] = kooka.zeros(20, 6)
  weights["0.rnns.2.module.bias_hh_l0"] = nil
  _, message = refused(pretrained.load { weights = weights })
  lu.assertEquals(message, "weights: 0.rnns.1.weight_ih_l0 is (20,6), expected (20,5); 0.rnns.2.bias_hh_l0 is missing, expected (16)")
  weights = kooka.load_torch(file "lm.pth")
  weights["1.decoder.weight"] = kooka.ones(9, 4)
  _, message = refused(pretrained.load { weights = weights })
  lu.assertStrContains(message, "1.decoder.weight differs from the embedding")
  _, message = refused(pretrained.load { weights = file "lm.pth", itos = { "a", "b", "c", "d", "e", "f", "g", "h", "i", "j" } })
  lu.assertStrContains(message, "has 10 words, the embedding of")
  lu.assertStrContains(message, "(9,4) has 9 rows")
  _, message = refused(pretrained.load { weights = file "tensors.pth" })
  lu.assertStrContains(message, "expected tensors by name, got nested = a table")
  _, message = refused(pretrained.load { weights = { a = kooka.ones(1) } })
  lu.assertStrContains(message, "neither a language model of fastai")
  _, message, code = refused(pretrained.load { weights = "/nonexistent.pth" })
  lu.assertEquals(code, "io")
  lu.assertErrorMsgContains("needs itos", pretrained.load, { weights = file "lm.pth", vocab = { "a" } })
end

function TestFastai.test_older_names_and_weights_that_dropout_left_behind()
  local weights, renamed = kooka.load_torch(file "lm.pth"), {}
  for name, t in pairs(weights) do                       -- fastai 0.7's names
    name = name:gsub("(%d)%.weight_hh_l0_raw", "%1.module.weight_hh_l0_raw"):gsub("encoder_dp%.emb", "encoder_with_dropout.embed")
    renamed[name] = t
  end
  renamed["0.rnns.0.module.weight_hh_l0"] = kooka.zeros(20, 5)
  local state_, info = pretrained.load { weights = renamed }
  lu.assertTable(state_, info)
  lu.assertEquals(info.ignored, {})
  close("weight_hh", state_["encoder.layer1.weight_hh"], weights["0.rnns.0.weight_hh_l0_raw"]:tolist(), 0)
  renamed["0.rnns.0.module.weight_ih_l0_reverse"] = kooka.zeros(20, 4)
  lu.assertStrContains(select(2, pretrained.load { weights = renamed }), "both directions")
end

function TestFastai.test_a_network_with_one_bias_gets_the_sum()
  local options = { vocab = 9, embed = 4, hidden = 5, layers = 3, biases = 1 }
  local m = nn.language_model(options):eval()
  lu.assertNil(m:state()["encoder.layer1.bias_hh"])
  local state_, message = pretrained.load { weights = file "lm.pth", model = m }
  lu.assertTable(state_, message)
  local scope <close> = kooka.scope()
  close("logits", m(kooka.tensor(golden.ids, "int32")), golden.lm, 1e-5)
end

TestOurs = {}

function TestOurs:setUp() self.dir = helper.folder() end
function TestOurs:tearDown() sys.remove_tree(self.dir) end

function TestOurs:test_our_own_language_model_moves_too()
  for _, cell in ipairs { "lstm", "qrnn" } do
    local m = nn.language_model { vocab = 9, embed = 4, hidden = 5, layers = 2, cell = cell, seed = 3 }
    local path = self.dir .. "/lm.safetensors"
    lu.assertTrue(m:save(path))
    local state_, info = pretrained.load { weights = path, itos = golden.itos, vocab = golden.new }
    lu.assertTable(state_, info)
    lu.assertEquals({ info.format, info.cell, info.hidden, info.layers }, { "kooka", cell, 5, 2 })
    local other = nn.language_model(info.options):load_state(state_)
    lu.assertEquals(other.encoder.embedding:tolist()[2], m.encoder.embedding:tolist()[2])
  end
end

os.exit(lu.LuaUnit.run())
