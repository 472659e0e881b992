--- labelled_spec: tables of texts and classes: columns found or named, bad rows named by line.
local lu = require "luaunit"
local helper = require "cli_helper"
local labelled = require "kooka.data.labelled"
local sys = require("kooka.core").sys

TestTables = {}

function TestTables:setUp() self.dir = helper.folder() end
function TestTables:tearDown() sys.remove_tree(self.dir) end

function TestTables:file(text, name)
  local path = self.dir .. "/" .. (name or "t.csv")
  assert(sys.write_file(path, text))
  return path
end

function TestTables:fails(message, path, o)
  local d, why, code = labelled.read(path, o)
  lu.assertNil(d)
  lu.assertEquals(code, "format")
  lu.assertStrContains(why, message)
end

function TestTables:test_columns_are_found_by_name()
  local d = assert(labelled.read(self:file 'id,Tweet,class\n1,"a, long\ntext",no\n2,b,yes\n3,c,no\n'))
  lu.assertEquals({ d.text_column, d.label_column }, { "Tweet", "class" })
  lu.assertEquals(d.texts, { "a, long\ntext", "b", "c" })
  lu.assertEquals(d.labels, { 1, 2, 1 })
  lu.assertEquals(d.names, { "no", "yes" })
  lu.assertEquals(d.lines, { 2, 4, 5 })
end

function TestTables:test_columns_without_known_names_are_the_longest_and_the_narrowest()
  local d = assert(labelled.read(self:file "who;was;gesagt\na;x;some words here\nb;y;more words here\nc;x;and more of them\n"))
  lu.assertEquals({ d.text_column, d.label_column }, { "gesagt", "was" })
end

function TestTables:test_named_columns_win_and_groups_are_kept()
  local d = assert(labelled.read(self:file "text\tlabel\tother\tuser\nabc\t1\tleft\tu\ndef\t2\tright\tv\n",
    { label = "other", group = "user" }))
  lu.assertEquals(d.names, { "left", "right" })
  lu.assertEquals(d.groups, { "u", "v" })
end

function TestTables:test_a_wrong_column_names_those_there_are()
  local path = self:file "text,label\na,1\nb,2\n"
  self:fails('there is no column "klass"; the file has text, label', path, { label = "klass" })
  self:fails('there is no column "words"; the file has text, label', path, { text = "words" })
  self:fails("text and label are the same column", path, { label = "text", text = "text" })
end

function TestTables:test_one_class_or_too_many_are_refused()
  self:fails('column "label" holds only one class ("1")', self:file "text,label\na,1\nb,1\n")
  local rows = { "text,label" }
  for i = 1, 60 do rows[i + 1] = ("words of row %d,l%d"):format(i, i) end
  self:fails("60 different values in 60 rows: that is no label", self:file(table.concat(rows, "\n") .. "\n"))
end

function TestTables:test_bad_rows_are_named_by_line_or_left_out()
  local path = self:file 'text,label\n"two\nlines",1\n ,2\nc,\nd,2\n'
  self:fails("2 rows cannot be used (line 4: no text; line 5: no label); ", path)
  local d = assert(labelled.read(path, { skip_bad = true }))
  lu.assertEquals(d.texts, { "two\nlines", "d" })
  lu.assertEquals({ d.skipped, d.lines[2] }, { 2, 6 })
  self:fails("row 2 (line 3), column 1: byte 1 of the field is 0xFF: not UTF-8", self:file "text,label\na,1\n\xff,2\n")
  self:fails("3 fields", self:file "text,label\na,1,x\n")
end

function TestTables:test_a_file_of_labels_must_be_as_long()
  local texts = self:file("a\nb\nc\n", "texts.txt")
  self:fails("texts.txt has 3 lines but " .. self.dir .. "/labels.txt has 2", texts, { labels = self:file("1\n2\n", "labels.txt") })
  local d = assert(labelled.read(texts, { labels = self:file("10\n9\n10", "labels.txt") }))
  lu.assertEquals(d.names, { "9", "10" })         -- numbers in the order of numbers
  lu.assertEquals(d.labels, { 2, 1, 2 })
end

function TestTables:test_a_table_to_predict_needs_no_labels()
  local d = assert(labelled.read(self:file "text\na\n\nb\n", { text = "text", label = false }))
  lu.assertNil(d.labels)
  lu.assertEquals(d.texts[1], "a")
  lu.assertEquals(select(3, labelled.read(self.dir .. "/nowhere.csv")), "io")
  self:fails("the file is empty", self:file "")
  self:fails("no rows below the header", self:file "text,label\n")
end

function TestTables:test_rows_that_share_a_text_or_a_group_are_together()
  local keys = labelled.together({ "a", "b", "a", "c", "d" }, { "u", "v", "w", "w", "x" })
  lu.assertEquals(keys[1], keys[3])
  lu.assertEquals(keys[3], keys[4])
  lu.assertNotEquals(keys[1], keys[2])
  lu.assertNotEquals(keys[2], keys[5])
  keys = labelled.together { "a", "b", "a" }
  lu.assertEquals(keys[1], keys[3])
  lu.assertNotEquals(keys[1], keys[2])
end

os.exit(lu.LuaUnit.run())
