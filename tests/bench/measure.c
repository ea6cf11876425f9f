// SPDX-License-Identifier: GPL-2.0
/*
 * What the kernel's own operations cost, measured as bench.rs measures ifref's.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/netdevice.h>
#include <linux/percpu-refcount.h>
#include <linux/refcount.h>
#include <linux/timex.h>
#include <net/net_namespace.h>

#include "measure.h"

#define TURNS 1000
#define PASSES 50

u64 ifref_bench_now(void)
{
	return get_cycles();
}

/* The least that TURNS turns of op cost. */
#define LEAST(op) ({							\
	u64 least = U64_MAX;						\
									\
	for (int pass = 0; pass < PASSES; pass++) {			\
		u64 begun = ifref_bench_now();				\
									\
		_Pragma("GCC unroll 1")					\
		for (int turn = 0; turn < TURNS; turn++) {		\
			op;						\
			barrier();					\
		}							\
		least = min(least, ifref_bench_now() - begun);		\
	}								\
	least;								\
})

static void report(const char *name, u64 cost, u64 without)
{
	pr_info("%s=%llu/%d\n", name, cost - min(cost, without), TURNS);
}

static noinline u64 empty(void)
{
	return LEAST();
}

/* A hundred instructions: do they count as a hundred? */
static noinline u64 hundred(void)
{
	return LEAST(asm volatile(".rept 100; nop; .endr"));
}

static __always_inline u64 by_index(struct net *net, int ifindex)
{
	struct net_device *dev;
	u64 mtu = 0;

	rcu_read_lock();
	dev = dev_get_by_index_rcu(net, ifindex);
	if (dev)
		mtu = READ_ONCE(dev->mtu);
	rcu_read_unlock();
	return mtu;
}

static noinline u64 look_up(struct net *net, int ifindex)
{
	u64 sum = 0;
	u64 cost = LEAST(sum += by_index(net, ifindex));

	OPTIMIZER_HIDE_VAR(sum);
	return cost;
}

/* The device is in a register and known to be one: the cheapest case. */
static noinline u64 hold_put(struct net_device *dev)
{
	return LEAST(dev_hold(dev); barrier(); dev_put(dev));
}

static __always_inline void get_put_refcount(refcount_t *count)
{
	if (refcount_inc_not_zero(count))
		refcount_dec(count);
}

static noinline u64 shared_count(refcount_t *count)
{
	return LEAST(get_put_refcount(count));
}

static __always_inline void get_put_percpu(struct percpu_ref *ref)
{
	if (percpu_ref_tryget_live(ref))
		percpu_ref_put(ref);
}

static noinline u64 percpu_count(struct percpu_ref *ref)
{
	return LEAST(get_put_percpu(ref));
}

static void released(struct percpu_ref *ref)
{
}

int ifref_bench_kernel(void)
{
	struct net_device *lo = init_net.loopback_dev;
	refcount_t count = REFCOUNT_INIT(1);
	struct percpu_ref ref;
	u64 nothing = empty();
	int err;

	err = percpu_ref_init(&ref, released, 0, GFP_KERNEL);
	if (err)
		return err;
	report("hundred", hundred(), nothing);
	report("dev_get_by_index_rcu", look_up(&init_net, lo->ifindex), nothing);
	report("dev_hold_put", hold_put(lo), nothing);
	report("refcount", shared_count(&count), nothing);
	report("percpu_ref", percpu_count(&ref), nothing);
	percpu_ref_exit(&ref);
	return 0;
}
