// SPDX-License-Identifier: GPL-2.0
/*
 * The shim: counters of the CPUs.
 */
#include <linux/cpu.h>
#include <linux/percpu.h>
#include <linux/smp.h>

#include "shim.h"
#include "trace.h"

/* linux/percpu.h */

struct ifref_shard {
	u64 counters[IFREF_SHARD_COUNTERS];
};

#define each_cpus(shards) ((struct ifref_shard __percpu *)(uintptr_t)(shards)->each)

/* The sign of a counter: its CPU is closed. */
#define CLOSED BIT_ULL(63)

bool ifref_shards_init(struct ifref_shards *shards, gfp_t gfp)
{
	shards->each = (void *)(uintptr_t)alloc_percpu_gfp(struct ifref_shard, gfp);
	return shards->each;
}

void ifref_shards_exit(struct ifref_shards *shards)
{
	free_percpu(each_cpus(shards));
}

bool ifref_shards_count(const struct ifref_shards *shards, unsigned int which)
{
	return !(this_cpu_inc_return(each_cpus(shards)->counters[which]) & CLOSED);
}

void ifref_shards_trace_get(const struct ifref_shards *shards)
{
	trace_ifref_ref_get(shards);
}

void ifref_shards_trace_put(const struct ifref_shards *shards)
{
	trace_ifref_ref_put(shards);
}

struct closing {
	struct ifref_shard __percpu *each;
	atomic64_t counted;
};

static void close_shard(struct closing *closing, struct ifref_shard *shard)
{
	u64 *gets = &shard->counters[IFREF_SHARD_GETS];
	u64 *puts = &shard->counters[IFREF_SHARD_PUTS];

	atomic64_add(READ_ONCE(*gets) - READ_ONCE(*puts), &closing->counted);
	WRITE_ONCE(*gets, READ_ONCE(*gets) | CLOSED);
	WRITE_ONCE(*puts, READ_ONCE(*puts) | CLOSED);
}

/* With hard interrupts off: nothing counts on this CPU meanwhile. */
static void close_here(void *info)
{
	struct closing *closing = info;

	close_shard(closing, this_cpu_ptr(closing->each));
}

long long ifref_shards_close(const struct ifref_shards *shards)
{
	struct closing closing = { .each = each_cpus(shards) };
	int cpu;

	lockdep_assert_cpus_held();
	on_each_cpu(close_here, &closing, true);
	for_each_possible_cpu(cpu)
		if (!cpu_online(cpu))
			close_shard(&closing, per_cpu_ptr(closing.each, cpu));
	return atomic64_read(&closing.counted);
}

unsigned long long ifref_shards_sum(const struct ifref_shards *shards, unsigned int which)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu_ptr(each_cpus(shards), cpu)->counters[which]) & ~CLOSED;
	return sum;
}

/* linux/cpu.h */

void ifref_cpus_lock(void)
{
	cpus_read_lock();
}

void ifref_cpus_unlock(void)
{
	cpus_read_unlock();
}
