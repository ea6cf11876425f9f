// SPDX-License-Identifier: GPL-2.0
/*
 * Deliberate faults, each of which an oracle of the tests must report, and the
 * kernel's own references held on purpose.
 *
 * Write a word, for some with an argument, to /sys/module/ifref_fault/parameters/fault. What
 * is leaked stays leaked; what is held by "hold" goes with "release" or with the module.
 */
#include <linux/delay.h>
#include <linux/fault-inject.h>
#include <linux/inet.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/netdevice.h>
#include <linux/nsproxy.h>
#include <linux/rcupdate.h>
#include <linux/rtnetlink.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/timer.h>
#include <net/addrconf.h>
#include <net/net_namespace.h>

/* One reference held on purpose; the namespace is not. */
struct held {
	struct list_head list;
	struct net_device *dev;
};

static LIST_HEAD(all_held);
static DEFINE_MUTEX(held_lock);

static struct net_device *find(const char *name)
{
	return dev_get_by_name(current->nsproxy->net_ns, name);
}

/* lockdep: two mutexes taken in both orders. */
static int fault_lockdep(const char *arg)
{
	static DEFINE_MUTEX(one);
	static DEFINE_MUTEX(two);

	mutex_lock(&one);
	mutex_lock(&two);
	mutex_unlock(&two);
	mutex_unlock(&one);
	mutex_lock(&two);
	mutex_lock(&one);
	mutex_unlock(&one);
	mutex_unlock(&two);
	return 0;
}

/* PROVE_RCU: a dereference outside of a read section. */
static int fault_rcu(const char *arg)
{
	static int __rcu *pointer;

	return rcu_dereference(pointer) ? -EINVAL : 0;
}

/* DEBUG_ATOMIC_SLEEP: sleeping under a spinlock. */
static int fault_atomic(const char *arg)
{
	static DEFINE_SPINLOCK(lock);

	spin_lock(&lock);
	might_sleep();
	spin_unlock(&lock);
	return 0;
}

/* KASAN: a read of freed memory. */
static int fault_kasan(const char *arg)
{
	char *memory = kmalloc(64, GFP_KERNEL);

	if (!memory)
		return -ENOMEM;
	kfree(memory);
	OPTIMIZER_HIDE_VAR(memory);
	READ_ONCE(memory[8]);
	return 0;
}

/*
 * kmemleak: memory that nothing leads to. Many, because the allocator's sheaves keep stale pointers
 * to what they gave out last; zeroed, because fresh memory has stale pointers to its neighbours.
 */
static int fault_leak(const char *arg)
{
	void *memory;
	int i;

	for (i = 0; i < 300; i++) {
		memory = kzalloc(1000, GFP_KERNEL);
		OPTIMIZER_HIDE_VAR(memory);
	}
	return 0;
}

static void never(struct timer_list *timer)
{
}

/* DEBUG_OBJECTS: freed with a timer that is running. */
static int fault_object(const char *arg)
{
	struct timer_list *timer = kmalloc_obj(*timer);

	if (!timer)
		return -ENOMEM;
	timer_setup(timer, never, 0);
	mod_timer(timer, jiffies + 1000 * HZ);
	kfree(timer);
	return 0;
}

/* DEBUG_LIST: an entry that is taken off twice. */
static int fault_list(const char *arg)
{
	LIST_HEAD(list);
	struct list_head entry;

	list_add(&entry, &list);
	list_del(&entry);
	list_del(&entry);
	return 0;
}

/* The refcount tracker: a tracked reference to device ARG that is put as an untracked one. */
static int fault_tracker(const char *arg)
{
	struct net_device *dev = find(arg);
	netdevice_tracker tracker;

	if (!dev)
		return -ENODEV;
	netdev_hold(dev, &tracker, GFP_KERNEL);
	__dev_put(dev);
	dev_put(dev);
	return 0;
}

/* The ledger: one more made than was, in the counter at address ARG. */
static int fault_ledger(const char *arg)
{
	unsigned long address;
	int err = kstrtoul(arg, 0, &address);

	if (!err)
		atomic64_inc((atomic64_t *)address);
	return err;
}

/* failslab counts from the beginning again; ARG is its address. It has no knob for that. */
static int fault_count(const char *arg)
{
#ifdef CONFIG_FAULT_INJECTION
	unsigned long address;
	int err = kstrtoul(arg, 0, &address);

	if (!err)
		((struct fault_attr *)address)->count = 0;
	return err;
#else
	return -EOPNOTSUPP;
#endif
}

/* One kernel reference to device ARG of the caller's namespace, as with dev_hold(). */
static int fault_hold(const char *arg)
{
	struct held *held = kmalloc_obj(*held);

	if (!held)
		return -ENOMEM;
	held->dev = find(arg);
	if (!held->dev) {
		kfree(held);
		return -ENODEV;
	}
	mutex_lock(&held_lock);
	list_add(&held->list, &all_held);
	mutex_unlock(&held_lock);
	return 0;
}

/* Drops all of them. */
static int fault_release(const char *arg)
{
	struct held *held, *next;

	mutex_lock(&held_lock);
	list_for_each_entry_safe(held, next, &all_held, list) {
		list_del(&held->list);
		dev_put(held->dev);
		kfree(held);
	}
	mutex_unlock(&held_lock);
	return 0;
}

static bool rtnl;
module_param(rtnl, bool, 0444);
MODULE_PARM_DESC(rtnl, "whether RTNL is taken on purpose");

/* Takes RTNL for ARG milliseconds. */
static int fault_rtnl(const char *arg)
{
	unsigned int ms;
	int err = kstrtouint(arg, 0, &ms);

	if (err)
		return err;
	/* Meanwhile the parameters can be read. */
	kernel_param_unlock(THIS_MODULE);
	rtnl_lock();
	rtnl = true;
	msleep(ms);
	rtnl = false;
	rtnl_unlock();
	kernel_param_lock(THIS_MODULE);
	return 0;
}

/* A copy of the kernel's own IPv6 address that has come up. */
static struct in6_addr wanted6;
static struct inet6_ifaddr kept6;

static int seen6(struct notifier_block *nb, unsigned long event, void *data)
{
	const struct inet6_ifaddr *ifa = data;

	if (event == NETDEV_UP && !kept6.idev && ipv6_addr_equal(&ifa->addr, &wanted6))
		kept6 = *ifa;
	return NOTIFY_DONE;
}

/* The first of its chain: its next ones are all others. */
static struct notifier_block nb6 = { .notifier_call = seen6, .priority = INT_MAX };
static bool listens6;

/* Keeps an IPv6 address, ARG, as it is when it comes up. */
static int fault_keep6(const char *arg)
{
	if (listens6 || !in6_pton(arg, -1, wanted6.s6_addr, -1, NULL))
		return -EINVAL;
	listens6 = true;
	return register_inet6addr_notifier(&nb6);
}

/* That one, which was deleted since, is told to be up: late, as by a softirq that was held up. */
static int fault_late6(const char *arg)
{
	struct notifier_block *nb;

	if (!kept6.idev)
		return -ENOENT;
	kept6.state = INET6_IFADDR_STATE_DEAD;
	rcu_read_lock();
	for (nb = rcu_dereference(nb6.next); nb; nb = rcu_dereference(nb->next))
		nb->notifier_call(nb, NETDEV_UP, &kept6);
	rcu_read_unlock();
	return 0;
}

static const struct {
	const char *name;
	int (*provoke)(const char *arg);
} faults[] = {
	{ "lockdep", fault_lockdep },
	{ "rcu", fault_rcu },
	{ "atomic", fault_atomic },
	{ "kasan", fault_kasan },
	{ "leak", fault_leak },
	{ "object", fault_object },
	{ "list", fault_list },
	{ "tracker", fault_tracker },
	{ "ledger", fault_ledger },
	{ "count", fault_count },
	{ "hold", fault_hold },
	{ "release", fault_release },
	{ "rtnl", fault_rtnl },
	{ "keep6", fault_keep6 },
	{ "late6", fault_late6 },
};

static int fault_set(const char *text, const struct kernel_param *kp)
{
	char line[64];
	char *arg = line;
	const char *name;
	int i;

	if (strscpy(line, text, sizeof(line)) < 0)
		return -E2BIG;
	strreplace(line, '\n', '\0');
	name = strsep(&arg, " ");
	for (i = 0; i < ARRAY_SIZE(faults); i++) {
		if (!strcmp(faults[i].name, name))
			return faults[i].provoke(arg ?: "");
	}
	return -EINVAL;
}

static const struct kernel_param_ops fault_ops = { .set = fault_set };

module_param_cb(fault, &fault_ops, NULL, 0200);
MODULE_PARM_DESC(fault, "what to do wrong, once for each write");

static int __init fault_init(void)
{
	return 0;
}

static void __exit fault_exit(void)
{
	fault_release(NULL);
	if (listens6)
		unregister_inet6addr_notifier(&nb6);
}

module_init(fault_init);
module_exit(fault_exit);
MODULE_DESCRIPTION("Deliberate faults for the tests of ifref");
MODULE_LICENSE("GPL");
