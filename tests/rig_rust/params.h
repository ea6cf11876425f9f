/* SPDX-License-Identifier: GPL-2.0 */
/* Between rig_rust.rs, which declares the same, and params.c. */
#ifndef RIG_RUST_PARAMS_H
#define RIG_RUST_PARAMS_H

#include <linux/types.h>

#define RIG_NICS 64

/* In C: process context, sleep. */
void rig_make_link(const char *name);
void rig_under_rtnl(void (*run)(void *ctx), void *ctx);
void rig_on_each_cpu(void (*run)(void *ctx), void *ctx);
int rig_dev_hold(unsigned int at, const char *name);
int rig_dev_put(unsigned int at);

/* In Rust. */
int rig_do(const char *name, unsigned int at, int arg);
int rig_state(unsigned int at, char *to, size_t size);

#endif
