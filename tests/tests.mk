# tests.mk -- how the tests are built. tests/c/test_*.c: one cmocka program each, linked to the core
# without Lua. tests/double/test_*.c: the same against the core built with KK_REAL=double.
# tests/bind/test_*.c: with Lua and the bindings.
C_TESTS      = $(patsubst tests/c/%.c,$(B)/tests/%,$(sort $(wildcard tests/c/test_*.c)))
DOUBLE_TESTS = $(patsubst tests/double/%.c,$(B)/tests/double_%,$(sort $(wildcard tests/double/test_*.c)))
BIND_TESTS   = $(patsubst tests/bind/%.c,$(B)/tests/bind_%,$(sort $(wildcard tests/bind/test_*.c)))
D            = $(B)/obj-double
CORE_DOUBLE  = $(call obj,$(D),$(CORE_SRC),$(CXX_SRC)) $(O)/gen/ops.o
TEST_LIBS    = $(shell pkg-config --libs cmocka)

test-build: $(C_TESTS) $(DOUBLE_TESTS) $(BIND_TESTS)

$(B)/tests/test_%: tests/c/test_%.c $(wildcard tests/c/*.h) $(B)/libkooka.a
	@mkdir -p $(@D)
	$(CC) $(KK_C) -Itests/c -o $@ $< $(B)/libkooka.a $(TEST_LIBS) $(LIBS)
$(B)/tests/double_test_%: tests/double/test_%.c $(wildcard tests/c/*.h) $(B)/libkooka-double.a
	@mkdir -p $(@D)
	$(CC) $(KK_C) -DKK_REAL=double -Itests/c -o $@ $< $(B)/libkooka-double.a $(TEST_LIBS) $(LIBS)
$(B)/tests/bind_test_%: tests/bind/test_%.c $(wildcard tests/c/*.h tests/bind/*.h) $(BIND) $(B)/libkooka.a
	@mkdir -p $(@D)
	$(CC) $(KK_C) -Itests/c -Itests/bind -o $@ $< $(BIND) $(B)/libkooka.a $(TEST_LIBS) $(LUA_LIB) $(LIBS)

$(B)/libkooka-double.a: $(CORE_DOUBLE)
	@rm -f $@
	$(AR) rcs $@ $^
$(D)/%.o: runtime/%.c
	@mkdir -p $(@D)
	$(CC) $(KK_C) -DKK_REAL=double -MMD -MP -c -o $@ $<
$(D)/%.o: runtime/%.cc
	@mkdir -p $(@D)
	$(CXX) $(KK_CXX) -DKK_REAL=double -MMD -MP -c -o $@ $<
-include $(shell find $(B)/obj-double -name '*.d' 2>/dev/null)

# WARN: instrumented code defeats the range analysis behind -Wconversion; the plain build judges warnings.
asan: ## every test under AddressSanitizer and UndefinedBehaviorSanitizer
	ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 $(MAKE) B=build/asan OPT=-O1 WARN=-Wall VARIANT="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -DKK_NO_CLONES" asan-run
asan-run: all test-build
	$(LUA) tests/run.lua --build $(B) --asan $(ASAN_RUN)

# The programs that compute on several threads; Lua itself has one.
tsan: ## the core's tests under ThreadSanitizer, on all threads
	TSAN_OPTIONS=halt_on_error=1 $(MAKE) B=build/tsan OPT=-O1 WARN=-Wall VARIANT="-fsanitize=thread -DKK_NO_CLONES" tsan-run
tsan-run: $(C_TESTS)
	$(LUA) tests/run.lua --build $(B) --only tests/c/ --timeout 900

test-rocks: all ## installs the rocks into a fresh tree without network and runs them
	$(LUA) tests/rocks/run.lua --build $(B)

test-callgrind: $(B)/kooka ## instructions of three small pieces of work against those written down; needs valgrind
	$(LUA) tests/bench/callgrind.lua --build $(B)
callgrind-counts: $(B)/kooka ## writes those counts anew, after a change that was meant
	$(LUA) tests/bench/callgrind.lua --build $(B) --write

.PHONY: test-rocks test-build asan asan-run tsan tsan-run test-callgrind callgrind-counts

# NEON on a processor that is not there: the float32 kernel of arm64, its products and the LSTM layer.
ARM64     = aarch64-linux-gnu-gcc
ARM64_SRC = $(sort $(wildcard $(addprefix runtime/,$(addsuffix /*.c,base tensor linalg op grad)))) $(O)/gen/ops.c
test-arm64: $(O)/gen/ops.c ## products and LSTM on arm64's NEON, cross-compiled, under qemu-user (skipped where they are missing)
	@sh tests/arm64/run.sh "$(ARM64)" $(B)/arm64 $(ARM64_SRC)

# tests/fuzz/fuzz_*.c: readers of files from elsewhere, always under the sanitizers, with a loop of damaged inputs of their own.
# By hand: build/fuzz/fuzz_x FILE, or --from K --count N; with clang: make fuzz-libfuzzer, then build/fuzz/libfuzzer_x FOLDER.
FUZZ         = $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
FUZZ_SRC     = $(sort $(wildcard runtime/base/*.c runtime/tensor/*.c)) $(addprefix runtime/data/,zip.c pickle.c pickle_call.c pickle_global.c torch_file.c)
FUZZ_FLAGS   = -std=gnu11 -O1 -g -Wall -Wextra -fsanitize=address,undefined -fno-sanitize-recover=undefined -DKK_NO_CLONES -Iruntime -Itests/fuzz
FUZZ_OBJ     = $(patsubst runtime/%.c,$(B)/obj-fuzz/%.o,$(FUZZ_SRC))
$(B)/obj-fuzz/%.o: runtime/%.c
	@mkdir -p $(@D)
	$(CC) $(FUZZ_FLAGS) -MMD -MP -c -o $@ $<
$(B)/fuzz/fuzz_%: tests/fuzz/fuzz_%.c tests/fuzz/fuzz.h $(FUZZ_OBJ)
	@mkdir -p $(@D)
	$(CC) $(FUZZ_FLAGS) -o $@ $< $(FUZZ_OBJ) -lz -lm -ldl -lpthread
-include $(shell find $(B)/obj-fuzz -name '*.d' 2>/dev/null)
.SECONDARY: $(FUZZ_OBJ)
test-build: $(FUZZ)
fuzz-libfuzzer:
	@mkdir -p $(B)/fuzz
	for x in $(notdir $(FUZZ)); do clang $(FUZZ_FLAGS) -fsanitize=fuzzer -DKK_LIBFUZZER -o $(B)/fuzz/lib$$x tests/fuzz/$$x.c $(FUZZ_SRC) -lz -lm -ldl -lpthread || exit 1; done
.PHONY: fuzz-libfuzzer
