// SPDX-License-Identifier: GPL-2.0
/*
 * How long it takes to remove N interfaces that are up: through devd, by
 * unregister_netdev() one by one, and by one unregister_netdevice_many(). tests/storm_rust
 * has a fourth way.
 *
 * Writing "devd N", "sequential N" or "batch N" to the parameter run makes them, removes
 * them, and leaves in the parameter took_us how long the removal took, from the first
 * submit to the last free. NAPI is the same in all three: deleted before the removal, whose
 * grace periods are the core's own.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <ifref.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/etherdevice.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/random.h>
#include <linux/rtnetlink.h>
#include <linux/timex.h>

#define MOST 1024

/* As long as what follows "up" takes: addresses that are looked for, reports in the log. */
#define SETTLE_S 3

/*
 * What waits in a removal, waits for ticks: the core's grace periods, its look at references. A
 * round begins up to a grace period later, by lot, or each would meet them in the same way.
 */
#define LOT_US (2 * TICK_NSEC / NSEC_PER_USEC)

struct storm {
	struct net_device *dev;
	struct napi_struct napi;
};

static unsigned long took_us;
module_param(took_us, ulong, 0444);
MODULE_PARM_DESC(took_us, "How long the last run took");

/* What a submit costs by the time stamp counter: the first, which wakes devd, and the others. */
static unsigned long first_cycles, others_cycles, wake_cycles;
module_param(first_cycles, ulong, 0444);
MODULE_PARM_DESC(first_cycles, "What the first submit of the last run cost");
module_param(others_cycles, ulong, 0444);
MODULE_PARM_DESC(others_cycles, "What all others cost");
module_param(wake_cycles, ulong, 0444);
MODULE_PARM_DESC(wake_cycles, "What it costs to wake a kthread_worker");

/* Two: the first wake-up in seconds starts the clock of the kernel's pressure statistics, too. */
static struct kthread_worker *sleepers[2];
static struct ifref_driver *driver;
static struct storm *storms[MOST];
static struct ifref_attachment *attachments[MOST];
static atomic_t left;
static DECLARE_COMPLETION(all_freed);

static netdev_tx_t storm_start_xmit(struct sk_buff *skb, struct net_device *dev)
{
	dev_consume_skb_any(skb);
	return NETDEV_TX_OK;
}

static int storm_open(struct net_device *dev)
{
	struct storm *storm = netdev_priv(dev);

	napi_enable(&storm->napi);
	return 0;
}

static int storm_stop(struct net_device *dev)
{
	struct storm *storm = netdev_priv(dev);

	napi_disable(&storm->napi);
	return 0;
}

/* Before the core's last grace period, so that free_netdev() needs none. */
static void storm_uninit(struct net_device *dev)
{
	struct storm *storm = netdev_priv(dev);

	__netif_napi_del(&storm->napi);
}

static const struct net_device_ops storm_netdev_ops = {
	.ndo_open = storm_open,
	.ndo_stop = storm_stop,
	.ndo_uninit = storm_uninit,
	.ndo_start_xmit = storm_start_xmit,
};

static int storm_poll(struct napi_struct *napi, int budget)
{
	napi_complete_done(napi, 0);
	return 0;
}

static void storm_free(void *softc)
{
	struct storm *storm = softc;

	free_netdev(storm->dev);
	if (atomic_dec_and_test(&left))
		complete(&all_freed);
}

static const struct ifref_driver_ops storm_ops = {
	.free = storm_free,
};

static int make(unsigned int at)
{
	struct net_device *dev = alloc_etherdev(sizeof(struct storm));

	if (!dev)
		return -ENOMEM;
	storms[at] = netdev_priv(dev);
	storms[at]->dev = dev;
	strscpy(dev->name, "storm%d");
	dev->netdev_ops = &storm_netdev_ops;
	eth_hw_addr_random(dev);
	netif_napi_add(dev, &storms[at]->napi, storm_poll);
	return 0;
}

static int open_it(unsigned int at)
{
	int err;

	rtnl_lock();
	err = dev_open(storms[at]->dev, NULL);
	rtnl_unlock();
	return err;
}

static int make_attached(unsigned int at)
{
	struct net_device *dev;
	int err = make(at);

	if (err)
		return err;
	dev = storms[at]->dev;
	attachments[at] = ifref_attachment_new(driver, dev, storms[at]);
	err = PTR_ERR_OR_ZERO(attachments[at]);
	if (!err) {
		err = ifref_attach(attachments[at]);
		if (!err)
			return open_it(at);
		ifref_attachment_put(attachments[at]);
	}
	attachments[at] = NULL;
	free_netdev(dev);
	return err;
}

static int make_registered(unsigned int at)
{
	int err = make(at);

	if (err)
		return err;
	err = register_netdev(storms[at]->dev);
	if (err) {
		free_netdev(storms[at]->dev);
		return err;
	}
	return open_it(at);
}

static void nothing(struct kthread_work *work)
{
}

static struct kthread_work nothing_work[ARRAY_SIZE(sleepers)];

static void measure_wake(void)
{
	unsigned int at;
	u64 begun;

	for (at = 0; at < ARRAY_SIZE(sleepers); at++) {
		preempt_disable();
		begun = get_cycles();
		kthread_queue_work(sleepers[at], &nothing_work[at]);
		wake_cycles = get_cycles() - begun;
		preempt_enable();
		kthread_flush_worker(sleepers[at]);
	}
}

static void remove_by_devd(unsigned int n)
{
	u64 begun, woken;
	unsigned int at;

	atomic_set(&left, n);
	preempt_disable();
	begun = get_cycles();
	ifref_detach(attachments[0], IFREF_DETACH_GONE);
	woken = get_cycles();
	for (at = 1; at < n; at++)
		ifref_detach(attachments[at], IFREF_DETACH_GONE);
	others_cycles = get_cycles() - woken;
	first_cycles = woken - begun;
	preempt_enable();
	wait_for_completion(&all_freed);
}

static void remove_one_by_one(unsigned int n)
{
	unsigned int at;

	for (at = 0; at < n; at++) {
		unregister_netdev(storms[at]->dev);
		free_netdev(storms[at]->dev);
	}
}

static void remove_at_once(unsigned int n)
{
	LIST_HEAD(list);
	unsigned int at;

	rtnl_lock();
	for (at = 0; at < n; at++)
		unregister_netdevice_queue(storms[at]->dev, &list);
	unregister_netdevice_many(&list);
	rtnl_unlock();
	for (at = 0; at < n; at++)
		free_netdev(storms[at]->dev);
}

static int run(const char *how, unsigned int n)
{
	bool devd = !strcmp(how, "devd");
	unsigned int at;
	u64 begun;
	int err = 0;

	for (at = 0; at < n && !err; at++)
		err = devd ? make_attached(at) : make_registered(at);
	if (err)
		return err;	/* what was made is lost: a run that fails is not a figure */
	ssleep(SETTLE_S);
	fsleep(get_random_u32_below(LOT_US));
	measure_wake();
	begun = ktime_get_ns();
	if (devd)
		remove_by_devd(n);
	else if (!strcmp(how, "sequential"))
		remove_one_by_one(n);
	else
		remove_at_once(n);
	took_us = (ktime_get_ns() - begun) / NSEC_PER_USEC;
	for (at = 0; devd && at < n; at++)
		ifref_attachment_put(attachments[at]);
	return 0;
}

static int run_set(const char *val, const struct kernel_param *kp)
{
	char how[16];
	unsigned int n;

	if (sscanf(val, "%15s %u", how, &n) != 2 || !n || n > MOST)
		return -EINVAL;
	return run(how, n);
}

static const struct kernel_param_ops run_ops = { .set = run_set };
module_param_cb(run, &run_ops, NULL, 0200);
MODULE_PARM_DESC(run, "devd, sequential or batch, and how many");

static void end_sleepers(unsigned int many)
{
	while (many--)
		kthread_destroy_worker(sleepers[many]);
}

static int __init storm_init(void)
{
	unsigned int at;

	for (at = 0; at < ARRAY_SIZE(sleepers); at++) {
		kthread_init_work(&nothing_work[at], nothing);
		sleepers[at] = kthread_run_worker(0, "ifref_storm");
		if (IS_ERR(sleepers[at])) {
			end_sleepers(at);
			return PTR_ERR(sleepers[at]);
		}
	}
	driver = ifref_driver_register("storm", &storm_ops);
	if (IS_ERR(driver))
		end_sleepers(at);
	return PTR_ERR_OR_ZERO(driver);
}

static void __exit storm_exit(void)
{
	WARN_ON(ifref_driver_unregister(driver));
	end_sleepers(ARRAY_SIZE(sleepers));
}

module_init(storm_init);
module_exit(storm_exit);
MODULE_AUTHOR("The ifref developers");
MODULE_DESCRIPTION("ifref test: how long removals take");
MODULE_LICENSE("GPL");
