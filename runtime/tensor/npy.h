/* npy.h -- one array in NumPy's file format (numpy.lib.format, versions 1 to 3). */
#ifndef KK_NPY_H
#define KK_NPY_H

#include "base/err.h"
#include "tensor/tensor.h"

/* Little-endian booleans, integers and floats, either order of the axes; KK_EFORMAT for anything else and for a file
** whose size is not what the header says. The result is a copy. */
kk_status kk_npy_load(const char *path, kk_tensor **out, kk_err *e);
kk_status kk_npy_save(const char *path, const kk_tensor *t, kk_err *e);     /* version 1.0, C order */

#endif
