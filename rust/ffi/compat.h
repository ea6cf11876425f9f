/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Every difference between the kernel versions that ifref builds on (7.2 and
 * 7.3) that C sees. Those that Rust sees are in compat.rs.
 */
#ifndef IFREF_COMPAT_H
#define IFREF_COMPAT_H

#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 2, 0)
#error "ifref needs Linux 7.2 or later"
#endif

#endif
