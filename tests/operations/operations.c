// SPDX-License-Identifier: GPL-2.0
/*
 * A driver with every operation that may reach one from elsewhere, and a thread that calls them
 * all, as who has a reference does, before, while and after the device is removed.
 *
 * Write the number of rounds to the parameter run. A round ends when the device was freed; calls
 * counts what has reached the driver, late what has after its quiesce.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <ifref.h>
#include <linux/bpf.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/if_arp.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/random.h>
#include <linux/rtnetlink.h>
#include <linux/version.h>

/* How often each operation is called before the submit, and tried after quiesce. */
static unsigned int before = 1000;
module_param(before, uint, 0600);
static unsigned int after = 100;
module_param(after, uint, 0600);

static struct ifref_driver *driver;
static struct ifref_attachment *attachment;
static struct net_device *dev;
static netdevice_tracker tracker;
static bool quiet;
static unsigned int tried;	/* how often all of them were tried */
static atomic_t calls, late, counted;
module_param_named(calls, calls.counter, int, 0400);
module_param_named(late, late.counter, int, 0400);
module_param_named(counted, counted.counter, int, 0400);
static DECLARE_COMPLETION(freed);

/* Looks once more after a while, which one call in some takes. */
static void reached(bool sleeps)
{
	unsigned int us = get_random_u32_below(500) ? 0 : 200;

	atomic_inc(&calls);
	if (READ_ONCE(quiet))
		atomic_inc(&late);
	if (!us)
		return;
	if (sleeps)
		fsleep(us);
	else
		udelay(us);
	if (READ_ONCE(quiet))
		atomic_inc(&late);
}

static netdev_tx_t ops_start_xmit(struct sk_buff *skb, struct net_device *dev)
{
	reached(false);
	dev_consume_skb_any(skb);
	return NETDEV_TX_OK;
}

static u16 ops_select_queue(struct net_device *dev, struct sk_buff *skb, struct net_device *sb_dev)
{
	reached(false);
	return 0;
}

static netdev_features_t ops_features_check(struct sk_buff *skb, struct net_device *dev,
					    netdev_features_t features)
{
	reached(false);
	return features;
}

static int ops_open(struct net_device *dev)
{
	reached(true);
	return 0;
}

static int ops_stop(struct net_device *dev)
{
	reached(true);
	return 0;
}

/* The last one under RTNL: whatever was begun when the removal was has come by then. */
static void ops_uninit(struct net_device *dev)
{
	fsleep(1000);
	reached(true);
}

static int ops_change_mtu(struct net_device *dev, int mtu)
{
	reached(true);
	WRITE_ONCE(dev->mtu, mtu);
	return 0;
}

static int ops_set_mac_address(struct net_device *dev, void *addr)
{
	reached(true);
	return eth_mac_addr(dev, addr);
}

static int ops_set_features(struct net_device *dev, netdev_features_t features)
{
	reached(true);
	return 0;
}

static int ops_setup_tc(struct net_device *dev, enum tc_setup_type type, void *data)
{
	reached(true);
	return 0;
}

static int ops_bpf(struct net_device *dev, struct netdev_bpf *bpf)
{
	reached(true);
	return 0;
}

static int ops_ioctl(struct net_device *dev, struct ifreq *ifr, int cmd)
{
	reached(true);
	return 0;
}

static void ops_get_stats64(struct net_device *dev, struct rtnl_link_stats64 *stats)
{
	atomic_inc(&counted);
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 3, 0)
static int ops_set_rx_mode_async(struct net_device *dev, struct netdev_hw_addr_list *uc,
				 struct netdev_hw_addr_list *mc)
{
	reached(true);
	return 0;
}

static void ops_work(struct net_device *dev, unsigned long events)
{
	reached(true);
}
#else
static void ops_set_rx_mode(struct net_device *dev)
{
	reached(false);
}
#endif

static const struct net_device_ops netdev_ops = {
	.ndo_start_xmit = ops_start_xmit,
	.ndo_select_queue = ops_select_queue,
	.ndo_features_check = ops_features_check,
	.ndo_open = ops_open,
	.ndo_stop = ops_stop,
	.ndo_uninit = ops_uninit,
	.ndo_change_mtu = ops_change_mtu,
	.ndo_set_mac_address = ops_set_mac_address,
	.ndo_set_features = ops_set_features,
	.ndo_setup_tc = ops_setup_tc,
	.ndo_bpf = ops_bpf,
	.ndo_eth_ioctl = ops_ioctl,
	.ndo_get_stats64 = ops_get_stats64,
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 3, 0)
	.ndo_set_rx_mode_async = ops_set_rx_mode_async,
	.ndo_work = ops_work,
#else
	.ndo_set_rx_mode = ops_set_rx_mode,
#endif
};

static u32 ops_get_link(struct net_device *dev)
{
	reached(true);
	return 1;
}

static int ops_get_link_ksettings(struct net_device *dev, struct ethtool_link_ksettings *settings)
{
	reached(true);
	return 0;
}

static const struct ethtool_ops ethtool_ops = {
	.get_link = ops_get_link,
	.get_link_ksettings = ops_get_link_ksettings,
};

/* What the core calls under RTNL, with the tests that it makes. */
static void call_under_rtnl(void)
{
	const struct net_device_ops *ops = dev->netdev_ops;
	struct ethtool_link_ksettings settings;
	struct netdev_bpf bpf = { .command = XDP_SETUP_PROG };
	struct sockaddr_storage addr = { .ss_family = ARPHRD_ETHER };
	struct ifreq ifr = {};

	memcpy(addr.__data, dev->dev_addr, ETH_ALEN);
	if (ops->ndo_change_mtu)
		ops->ndo_change_mtu(dev, ETH_DATA_LEN);
	if (ops->ndo_set_mac_address)
		ops->ndo_set_mac_address(dev, &addr);
	if (ops->ndo_set_features)
		ops->ndo_set_features(dev, dev->features);
	if (ops->ndo_setup_tc)
		ops->ndo_setup_tc(dev, TC_SETUP_QDISC_MQPRIO, NULL);
	if (ops->ndo_bpf)
		ops->ndo_bpf(dev, &bpf);
	if (ops->ndo_eth_ioctl)
		ops->ndo_eth_ioctl(dev, &ifr, 0);
	if (dev->ethtool_ops->get_link)
		dev->ethtool_ops->get_link(dev);
	if (dev->ethtool_ops->get_link_ksettings)
		dev->ethtool_ops->get_link_ksettings(dev, &settings);
	if (dev->reg_state == NETREG_REGISTERED) {
		dev_set_promiscuity(dev, 1);
		dev_set_promiscuity(dev, -1);
		if (get_random_u32_below(8) == 0)
			dev->flags & IFF_UP ? dev_close(dev) : dev_open(dev, NULL);
	}
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 3, 0)
	netdev_work_sched(dev, 1);
#endif
}

/* What it calls in a read section, or in none. */
static void call_unlocked(void)
{
	struct sk_buff *skb = alloc_skb(ETH_ZLEN, GFP_KERNEL);
	struct rtnl_link_stats64 stats;

	dev_get_stats(dev, &stats);
	if (!skb)
		return;
	skb_put_zero(skb, ETH_ZLEN);
	skb->dev = dev;
	dev->netdev_ops->ndo_select_queue(dev, skb, NULL);
	dev->netdev_ops->ndo_features_check(skb, dev, dev->features);
	rcu_read_lock_bh();
	dev->netdev_ops->ndo_start_xmit(skb, dev);
	rcu_read_unlock_bh();
}

static int call_all(void *arg)
{
	while (!kthread_should_stop()) {
		rtnl_lock();
		for (unsigned int i = 0; i < 10; i++)
			call_under_rtnl();
		rtnl_unlock();
		for (unsigned int i = 0; i < 10; i++)
			call_unlocked();
		WRITE_ONCE(tried, tried + 10);
		cond_resched();
	}
	return 0;
}

static void ops_quiesce(void *softc)
{
	WRITE_ONCE(quiet, true);
}

static void ops_free(void *softc)
{
	free_netdev(dev);
	complete(&freed);
}

static const struct ifref_driver_ops driver_ops = { .quiesce = ops_quiesce, .free = ops_free };

static void wait_for(const bool *until, unsigned int more)
{
	unsigned int from;

	while (until && !READ_ONCE(*until))
		fsleep(100);
	from = READ_ONCE(tried);
	while (READ_ONCE(tried) - from < more)
		fsleep(100);
}

/* As ip link del, of a link, but that nobody waits here for the references. */
static int remove(void *arg)
{
	unregister_netdev(dev);
	return 0;
}

static int once(void)
{
	struct task_struct *caller, *core = NULL;
	int err;

	dev = alloc_etherdev(0);
	if (!dev)
		return -ENOMEM;
	strscpy(dev->name, "ops0");
	dev->netdev_ops = &netdev_ops;
	dev->ethtool_ops = &ethtool_ops;
	dev->lltx = true;
	eth_hw_addr_random(dev);
	WRITE_ONCE(quiet, false);
	reinit_completion(&freed);
	attachment = ifref_attachment_new(driver, dev, NULL);
	if (IS_ERR(attachment)) {
		free_netdev(dev);
		return PTR_ERR(attachment);
	}
	err = ifref_attach(attachment);
	if (err) {
		free_netdev(dev);
		goto put;
	}
	netdev_hold(dev, &tracker, GFP_KERNEL);
	caller = kthread_run(call_all, NULL, "operations");
	if (IS_ERR(caller)) {
		err = PTR_ERR(caller);
		goto detach;
	}
	wait_for(NULL, before);
	fsleep(get_random_u32_below(3000));
	if (get_random_u32_below(4) == 0)
		core = kthread_create(remove, NULL, "remove");
	if (IS_ERR_OR_NULL(core))
		ifref_detach(attachment, IFREF_DETACH_GONE);
	else
		wake_up_process(get_task_struct(core));
	wait_for(&quiet, after);
	kthread_stop(caller);
detach:
	ifref_detach(attachment, IFREF_DETACH_GONE);
	netdev_put(dev, &tracker);
	wait_for_completion(&freed);
	if (!IS_ERR_OR_NULL(core))
		kthread_stop_put(core);
put:
	ifref_attachment_put(attachment);
	return err;
}

static int run_set(const char *val, const struct kernel_param *kp)
{
	unsigned int rounds;
	int err = kstrtouint(val, 0, &rounds);

	while (!err && rounds--)
		err = once();
	return err;
}

static const struct kernel_param_ops run_ops = { .set = run_set };
module_param_cb(run, &run_ops, NULL, 0200);
MODULE_PARM_DESC(run, "How many rounds to run");

static int __init operations_init(void)
{
	driver = ifref_driver_register("operations", &driver_ops);
	return PTR_ERR_OR_ZERO(driver);
}

static void __exit operations_exit(void)
{
	WARN_ON(ifref_driver_unregister(driver));
}

module_init(operations_init);
module_exit(operations_exit);
MODULE_AUTHOR("The ifref developers");
MODULE_DESCRIPTION("ifref test: a driver with every operation");
MODULE_LICENSE("GPL");
