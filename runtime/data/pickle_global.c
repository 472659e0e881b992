/* pickle_global.c -- the names that a pickle may use. What is not here is refused. */
#include <string.h>

#include "data/pickle.h"

static const kk_pname names[] = {
  {"collections", "OrderedDict", KK_G_ORDERED_DICT, NULL},
  {"builtins", "dict", KK_G_DICT, NULL},             {"__builtin__", "dict", KK_G_DICT, NULL},
  {"builtins", "list", KK_G_LIST, NULL},             {"__builtin__", "list", KK_G_LIST, NULL},
  {"builtins", "tuple", KK_G_TUPLE, NULL},           {"__builtin__", "tuple", KK_G_TUPLE, NULL},
  {"builtins", "set", KK_G_SET, NULL},               {"__builtin__", "set", KK_G_SET, NULL},
  {"builtins", "frozenset", KK_G_SET, NULL},         {"__builtin__", "frozenset", KK_G_SET, NULL},
  {"builtins", "int", KK_G_INT, NULL},               {"__builtin__", "int", KK_G_INT, NULL},
  {"__builtin__", "long", KK_G_INT, NULL},
  {"builtins", "float", KK_G_FLOAT, NULL},           {"__builtin__", "float", KK_G_FLOAT, NULL},
  {"builtins", "bool", KK_G_BOOL, NULL},             {"__builtin__", "bool", KK_G_BOOL, NULL},
  {"builtins", "str", KK_G_STR, NULL},               {"__builtin__", "unicode", KK_G_STR, NULL},
  {"__builtin__", "str", KK_G_STR, NULL},
  {"builtins", "bytes", KK_G_BYTES, NULL},           {"__builtin__", "bytes", KK_G_BYTES, NULL},
  {"_codecs", "encode", KK_G_ENCODE, NULL},          /* how protocol 2 writes bytes */
  {"fastcore.foundation", "L", KK_G_FASTCORE_L, NULL},
  {"torch", "Size", KK_G_SIZE, NULL},
  {"numpy", "dtype", KK_G_NUMPY_DTYPE, NULL},
  {"numpy.core.multiarray", "scalar", KK_G_NUMPY_SCALAR, NULL},
  {"numpy._core.multiarray", "scalar", KK_G_NUMPY_SCALAR, NULL},
  {"torch._utils", "_rebuild_tensor", KK_G_TENSOR, NULL},
  {"torch._utils", "_rebuild_tensor_v2", KK_G_TENSOR_V2, NULL},
  {"torch._utils", "_rebuild_parameter", KK_G_PARAMETER, NULL},
  {"torch", "FloatStorage", KK_G_STORAGE, "F32"},    {"torch", "DoubleStorage", KK_G_STORAGE, "F64"},
  {"torch", "HalfStorage", KK_G_STORAGE, "F16"},     {"torch", "BFloat16Storage", KK_G_STORAGE, "BF16"},
  {"torch", "LongStorage", KK_G_STORAGE, "I64"},     {"torch", "IntStorage", KK_G_STORAGE, "I32"},
  {"torch", "ShortStorage", KK_G_STORAGE, "I16"},    {"torch", "CharStorage", KK_G_STORAGE, "I8"},
  {"torch", "ByteStorage", KK_G_STORAGE, "U8"},      {"torch", "BoolStorage", KK_G_STORAGE, "BOOL"},
};

const kk_pname *kk_pickle_name(const char *module, size_t module_n, const char *name, size_t name_n) {
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const kk_pname *g = &names[i];
    if (strlen(g->module) == module_n && strlen(g->name) == name_n && memcmp(g->module, module, module_n) == 0 &&
        memcmp(g->name, name, name_n) == 0)
      return g;
  }
  return NULL;
}
