// SPDX-License-Identifier: GPL-2.0
/*
 * Exports to other modules: the C API, and every symbol of the crate and the shim
 * that code may need which was inlined or made from generics in another module. The
 * list is generated from the objects, as for the kernel's own crates.
 */
#include <linux/export.h>

#define EXPORT_IFREF_GPL(sym) extern int sym; EXPORT_SYMBOL_GPL(sym)

#include "exports_generated.h"
