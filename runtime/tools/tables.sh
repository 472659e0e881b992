#!/bin/sh
# Writes the table of ops or of bindings: a new file in op/ or lua/bind_* is registered by existing.
#   tables.sh ops op/*.c      tables.sh binds lua/bind_*.c
kind=$1; shift
echo "/* generated from the names of the source files; do not edit */"
case $kind in
ops)
  echo '#include "op/op.h"'
  names=$(sed -n 's/^const kk_op kk_op_\([a-z0-9_]*\) .*/\1/p' "$@")
  for n in $names; do echo "extern const kk_op kk_op_$n;"; done
  echo 'const kk_op *const kk_ops[] = {'
  for n in $names; do echo "  &kk_op_$n,"; done
  echo '  NULL'; echo '};' ;;
binds)
  echo '#include "lua.h"'
  names=$(sed -n 's/^KK_BIND(\([a-z0-9_]*\)).*/\1/p' "$@")
  for n in $names; do echo "void kk_bind_$n(lua_State *L);"; done
  echo 'extern void (*const kk_binds[])(lua_State *L);'
  echo 'void (*const kk_binds[])(lua_State *L) = {'
  for n in $names; do echo "  kk_bind_$n,"; done
  echo '  0'; echo '};' ;;
esac
