#!/bin/sh
# run.sh COMPILER FOLDER SOURCES...: builds tests/c/test_gemm.c and test_lstm.c for arm64 and runs them under qemu-user.
# The last line reads N passed, N failed, N skipped.
compiler=$1 folder=$2
shift 2
qemu=$(command -v qemu-aarch64-static || command -v qemu-aarch64)
if ! command -v "$compiler" >/dev/null || [ -z "$qemu" ]; then
  echo "test-arm64: skipped, it wants gcc-aarch64-linux-gnu and qemu-user-static"
  echo "0 passed, 0 failed, 1 skipped"
  exit 0
fi
mkdir -p "$folder"
passed=0 failed=0
for test in test_gemm test_lstm; do
  if "$compiler" -std=gnu11 -O2 -fno-math-errno -fno-trapping-math -static -Iruntime -Itests/arm64 -Itests/c \
      -o "$folder/$test" "tests/c/$test.c" "$@" -lm -ldl -lpthread 2>"$folder/$test.log"; then
    "$qemu" "$folder/$test" >"$folder/$test.out" 2>&1
    code=$?
    grep -E "^(ok|not ok|#)" "$folder/$test.out"
    passed=$((passed + $(grep -c "^ok" "$folder/$test.out")))
    bad=$(grep -c "^not ok" "$folder/$test.out")
    [ "$code" != 0 ] && [ "$bad" = 0 ] && bad=1
    failed=$((failed + bad))
  else
    cat "$folder/$test.log"
    failed=$((failed + 1))
  fi
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
