/* SPDX-License-Identifier: GPL-2.0 */
/* What include/ifref.h needs of the kernel, for bindgen, which has not its flags. */
#define bool _Bool
#define gfp_t unsigned int
#define u64 unsigned long long
#define __must_check
