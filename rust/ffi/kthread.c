// SPDX-License-Identifier: GPL-2.0
/*
 * The shim: threads, what runs in them, and what they wait for.
 */
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/rtnetlink.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "shim.h"

/* linux/kthread.h */

struct task_struct *ifref_thread_new(int (*run)(void *ctx), void *ctx, const char *name)
{
	struct task_struct *thread = kthread_create(run, ctx, "%s", name);

	if (!IS_ERR(thread)) {
		get_task_struct(thread);
		wake_up_process(thread);
	}
	return thread;
}

void ifref_thread_end(struct task_struct *thread)
{
	kthread_stop_put(thread);
}

bool ifref_thread_sleep(unsigned int ms)
{
	set_current_state(TASK_IDLE);
	if (!kthread_should_stop())
		schedule_timeout(msecs_to_jiffies(ms));
	__set_current_state(TASK_RUNNING);
	return !kthread_should_stop();
}

struct ifref_worker {
	struct kthread_worker *worker;
	struct kthread_work work;
	void (*run)(void *ctx);
	void *ctx;
};

static void worker_run(struct kthread_work *work)
{
	struct ifref_worker *worker = container_of(work, struct ifref_worker, work);

	worker->run(worker->ctx);
}

struct ifref_worker *ifref_worker_new(const char *name, void (*run)(void *ctx), void *ctx)
{
	struct ifref_worker *worker = kzalloc_obj(*worker, GFP_KERNEL);
	struct kthread_worker *thread;

	if (!worker)
		return ERR_PTR(-ENOMEM);
	worker->run = run;
	worker->ctx = ctx;
	kthread_init_work(&worker->work, worker_run);
	thread = kthread_run_worker(0, "%s", name);
	if (IS_ERR(thread)) {
		kfree(worker);
		return ERR_CAST(thread);
	}
	worker->worker = thread;
	return worker;
}

void ifref_worker_wake(struct ifref_worker *worker)
{
	kthread_queue_work(worker->worker, &worker->work);
}

void ifref_worker_end(struct ifref_worker *worker)
{
	kthread_destroy_worker(worker->worker);
	kfree(worker);
}

/* linux/workqueue.h */

struct workqueue_struct *ifref_ordered_workqueue(const char *name)
{
	return alloc_ordered_workqueue("%s", WQ_MEM_RECLAIM, name);
}

struct workqueue_struct *ifref_unbound_workqueue(const char *name)
{
	return alloc_workqueue("%s", WQ_UNBOUND, WQ_MAX_ACTIVE, name);
}

/* linux/wait.h */

bool ifref_wait_until(struct wait_queue_head *queue, bool (*over)(void *ctx), void *ctx,
		      unsigned int ms)
{
	if (!ms) {
		wait_event_idle(*queue, over(ctx));
		return true;
	}
	return wait_event_idle_timeout(*queue, over(ctx), msecs_to_jiffies(ms));
}

void ifref_wait_wake(struct wait_queue_head *queue)
{
	wake_up_all(queue);
}

/* linux/sched.h */

u64 ifref_run_delay(void)
{
#ifdef CONFIG_SCHED_INFO
	return current->sched_info.run_delay;
#else
	return 0;
#endif
}

const void *ifref_task(void)
{
	return current;
}

/* linux/spinlock.h */

void ifref_spin_lock_init(raw_spinlock_t *lock, const char *name, struct lock_class_key *key)
{
#ifdef CONFIG_DEBUG_SPINLOCK
	__raw_spin_lock_init(lock, name, key, LD_WAIT_SPIN);
#else
	*lock = __RAW_SPIN_LOCK_UNLOCKED(name);
#endif
}

unsigned long ifref_spin_lock_irqsave(raw_spinlock_t *lock) __acquires(lock)
{
	unsigned long flags;

	raw_spin_lock_irqsave(lock, flags);
	return flags;
}

void ifref_spin_unlock_irqrestore(raw_spinlock_t *lock, unsigned long flags) __releases(lock)
{
	raw_spin_unlock_irqrestore(lock, flags);
}

void ifref_spin_assert_held(raw_spinlock_t *lock)
{
	lockdep_assert_held(lock);
}
