/* SPDX-License-Identifier: GPL-2.0 */
/* What bench.rs needs of measure.c. */
#ifndef IFREF_BENCH_MEASURE_H
#define IFREF_BENCH_MEASURE_H

/* The time stamp counter. Any context. */
u64 ifref_bench_now(void);

/* Measures the kernel's own operations; an errno. Sleeps. */
int ifref_bench_kernel(void);

#endif
