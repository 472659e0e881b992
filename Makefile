# kookaburra -- settings first, rules below. `make help` lists the targets.
LUA_PC   ?= $(shell for p in lua5.4 lua-5.4 lua54 lua; do pkg-config --exists $$p && echo $$p && break; done)
LUA      ?= lua5.4
CC       ?= cc
CXX      ?= c++
PREFIX   ?= /usr/local
OPT      ?= -O3
B        ?= build

WARN     = -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -fno-math-errno -fno-trapping-math -Werror
PKGS     = $(LUA_PC) libutf8proc libcurl sqlite3 jansson libmicrohttpd sentencepiece zlib
INCLUDES = -Iruntime $(shell pkg-config --cflags $(PKGS))
CFLAGS  ?= -g
KK_C     = -std=gnu11 $(OPT) $(CFLAGS) $(WARN) -fPIC -fvisibility=hidden $(INCLUDES) $(VARIANT)
KK_CXX   = -std=c++17 $(OPT) $(CFLAGS) -Wall -Wextra -fPIC -fvisibility=hidden $(INCLUDES) $(VARIANT)
# Linked: small or C++. The others (OpenBLAS, curl, SQLite, libmicrohttpd) are opened when first used.
LIBS     = $(shell pkg-config --libs libutf8proc jansson sentencepiece zlib) -lstdc++ -lm -ldl -lpthread
LUA_LIB  = $(firstword $(wildcard $(shell pkg-config --variable=libdir $(LUA_PC))/lib$(LUA_PC).a) $(shell pkg-config --libs $(LUA_PC)))

# ---- what is built from what: a new file needs no edit here
LAYERS   = base tensor linalg op grad sample users eval text data store net
CORE_SRC = $(sort $(wildcard $(addprefix runtime/,$(addsuffix /*.c,$(LAYERS)))))
CXX_SRC  = $(sort $(wildcard runtime/text/*.cc))
OP_SRC   = $(sort $(wildcard runtime/op/*.c))
BIND_SRC = $(sort $(wildcard runtime/lua/*.c))
MODULES  = $(sort $(wildcard lua/kooka/*.lua lua/kooka/*/*.lua lua/kooka/*/*/*.lua) $(wildcard recipes/*/*.lua))

obj      = $(patsubst runtime/%.c,$(1)/%.o,$(2)) $(patsubst runtime/%.cc,$(1)/%.o,$(3))
O        = $(B)/obj
CORE     = $(call obj,$(O),$(CORE_SRC),$(CXX_SRC)) $(O)/gen/ops.o
BIND     = $(call obj,$(O),$(BIND_SRC)) $(O)/gen/binds.o

all: $(B)/kooka $(B)/rock/kooka/core.so ## build the program and the module (default)

$(B)/libkooka.a: $(CORE)
	@rm -f $@
	$(AR) rcs $@ $^
$(B)/kooka: $(BIND) $(O)/cli/main.o $(O)/gen/modules.o $(B)/libkooka.a
	$(CC) $(OPT) $(CFLAGS) $(VARIANT) -Wl,-E -o $@ $(BIND) $(O)/cli/main.o $(O)/gen/modules.o $(B)/libkooka.a $(LUA_LIB) $(LIBS)
$(B)/rock/kooka/core.so: $(BIND) $(B)/libkooka.a
	@mkdir -p $(@D)
	$(CC) $(OPT) $(CFLAGS) $(VARIANT) -shared -Wl,-z,nodelete -o $@ $(BIND) $(B)/libkooka.a $(LIBS)

$(O)/%.o: runtime/%.c
	@mkdir -p $(@D)
	$(CC) $(KK_C) -MMD -MP -c -o $@ $<
$(O)/%.o: runtime/%.cc
	@mkdir -p $(@D)
	$(CXX) $(KK_CXX) -MMD -MP -c -o $@ $<
$(O)/gen/%.o: $(O)/gen/%.c
	$(CC) $(KK_C) -MMD -MP -c -o $@ $<
$(O)/gen/ops.c: runtime/tools/tables.sh $(OP_SRC)
	@mkdir -p $(@D)
	sh runtime/tools/tables.sh ops $(OP_SRC) > $@
$(O)/gen/binds.c: runtime/tools/tables.sh $(BIND_SRC)
	@mkdir -p $(@D)
	sh runtime/tools/tables.sh binds $(wildcard runtime/lua/bind_*.c) > $@
$(B)/embed: runtime/tools/embed.c
	@mkdir -p $(@D)
	$(CC) -O1 -o $@ $<
$(O)/gen/modules.c: $(B)/embed $(MODULES) $(O)/gen/modules.list
	@mkdir -p $(@D)
	$(B)/embed $(MODULES) > $@
# changes only when the list of modules does, so that a removed module leaves the program
$(O)/gen/modules.list: FORCE
	@mkdir -p $(@D)
	@echo $(MODULES) | cmp -s - $@ || echo $(MODULES) > $@
FORCE:

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)

# ---- people's targets
demo: all ## run the whole road on a generated community; the report lands in build/demo/report.html
	rm -rf $(B)/demo
	$(B)/kooka run road --out $(B)/demo

test: all test-build ## every test; the last line reads N passed, N failed, N skipped
	$(LUA) tests/run.lua --build $(B)

include tests/tests.mk

rock: $(B)/rock/kooka/core.so ## only the module, as LuaRocks wants it

# LuaRocks gives LIBDIR and LUADIR; recipes are rocks of their own.
install-rock: rock
	@test -n "$(LIBDIR)" && test -n "$(LUADIR)" || { echo "install-rock: set LIBDIR and LUADIR" >&2; exit 2; }
	mkdir -p $(LIBDIR)/kooka $(LUADIR)/kooka
	cp $(B)/rock/kooka/core.so $(LIBDIR)/kooka/core.so
	cp -R lua/kooka/. $(LUADIR)/kooka/

install: all ## program to PREFIX/bin, module for stock lua5.4 to PREFIX/lib and PREFIX/share (PREFIX, DESTDIR)
	mkdir -p $(DESTDIR)$(PREFIX)/bin
	cp $(B)/kooka $(DESTDIR)$(PREFIX)/bin/kooka
	$(MAKE) install-rock LIBDIR=$(DESTDIR)$(PREFIX)/lib/lua/5.4 LUADIR=$(DESTDIR)$(PREFIX)/share/lua/5.4

bench: all ## speed beside the peers; writes build/bench.json and tests/bench/RESULTS.md
	$(B)/kooka bench --json $(B)/bench.json --results tests/bench/RESULTS.md

# PyTorch first and alone: what follows would pull a build with CUDA. Any other Python: BENCH_PYTHON=/path make bench
bench-peers: ## installs the peers of make bench into build/venv (1.7 GB)
	python3 -m venv build/venv
	build/venv/bin/pip install torch==2.13.0
	build/venv/bin/pip install scikit-learn imbalanced-learn==0.14.2 sentencepiece torchvision==0.28.0 fastai
	build/venv/bin/python -c "import torch, sklearn, sentencepiece, fastai.text.core; print('peers: PyTorch', torch.__version__)"

bench-readme: ## copies the results that have a target into README.md
	$(LUA) tests/bench/readme_table.lua

lint: ## layers, banned calls, luacheck, help texts, format of files
	$(LUA) tests/lint.lua

clean: ## remove what make built
	rm -rf $(B)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile tests/tests.mk | expand -t 16

.PHONY: all demo test rock install-rock install bench bench-peers bench-readme lint clean help FORCE
.DELETE_ON_ERROR:
