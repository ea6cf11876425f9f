// SPDX-License-Identifier: GPL-2.0
/* What ifref answers to misuse of its API for C. Loading it tells, in the kernel log. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <ifref.h>
#include <linux/err.h>
#include <linux/etherdevice.h>
#include <linux/irqflags.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/rcupdate.h>
#include <linux/rtnetlink.h>
#include <linux/sched/mm.h>
#include <linux/skbuff.h>
#include <linux/slab.h>
#include <net/net_namespace.h>

static char *what = "holders";
module_param(what, charp, 0400);
MODULE_PARM_DESC(what, "which case");

static void told(const char *what, int err)
{
	pr_info("%s: %d\n", what, err);
}

#define TELL_PTR(call) told(#call, PTR_ERR_OR_ZERO(call))
#define TELL(call) told(#call, call)

static void holders(struct ifref_holder *holder)
{
	struct ifref_holder *bad = ERR_PTR(-ENOMEM);
	const struct ifref_live *live;
	struct ifref_packet packet = {};
	struct ifref *lo, *none = NULL;
	struct sk_buff *skb;
	int why = 0;

	TELL_PTR(ifref_holder_register(NULL));
	TELL_PTR(ifref_holder_register(""));
	TELL_PTR(ifref_holder_register("a b"));
	TELL_PTR(ifref_holder_register("misuse"));
	TELL_PTR(ifref_get_by_index(NULL, &init_net, 1, GFP_KERNEL));
	TELL_PTR(ifref_get_by_index(bad, &init_net, 1, GFP_KERNEL));
	TELL_PTR(ifref_get_by_index(holder, NULL, 1, GFP_KERNEL));
	TELL_PTR(ifref_get_by_index(holder, &init_net, 0, GFP_KERNEL));
	TELL_PTR(ifref_get_by_name(holder, &init_net, NULL, GFP_KERNEL));
	TELL_PTR(ifref_get_by_name(holder, &init_net, "nonesuch", GFP_KERNEL));
	TELL_PTR(ifref_get_by_dev(holder, NULL, GFP_KERNEL));
	TELL_PTR(ifref_get_by_id(holder, (struct ifref_id){}, GFP_KERNEL));
	TELL_PTR(ifref_enter(NULL));
	TELL(ifref_packet_park(&packet, NULL, NULL));
	TELL(ifref_packet_transmit(&packet));
	rcu_read_lock();
	live = ifref_follow(NULL, &why);
	told("follow(NULL)", live ? 0 : why);
	live = ifref_follow_or_put(&none, &why);
	told("follow_or_put(&NULL)", live ? 0 : why);
	rcu_read_unlock();
	ifref_put(NULL);
	ifref_exit(NULL);
	ifref_packet_free(&packet);

	/* And what is no misuse. */
	lo = ifref_get_by_index(holder, &init_net, 1, GFP_KERNEL);
	TELL_PTR(lo);
	skb = alloc_skb(64, GFP_KERNEL);
	if (!IS_ERR(lo) && skb) {
		struct ifref_packet other = {};
		struct ifref *again = ifref_clone(lo);

		TELL_PTR(ifref_get_by_id(holder, ifref_id_of(lo), GFP_KERNEL));
		ifref_put(lo);	/* the look-up's */
		rcu_read_lock();
		live = ifref_follow(again, NULL);
		told("follow(lo) by index", live ? ifref_live_ifindex(live) : -1);
		rcu_read_unlock();
		skb->dev = init_net.loopback_dev;
		skb->skb_iif = skb->dev->ifindex;
		skb->mark = 7;
		skb->tstamp = ns_to_ktime(7);
		TELL(ifref_packet_park(&packet, skb, again));
		told("the mark and the time of what is parked", skb->mark == 7 && skb->tstamp == 7);
		told("what is parked leads nowhere", !skb->dev && !skb->skb_iif);
		TELL(ifref_packet_clone(&other, &packet, GFP_KERNEL));
		ifref_packet_free(&other);
		ifref_packet_free(&packet);
		ifref_packet_free(&packet);
		ifref_put(lo);
	}
	preempt_disable();
	TELL(ifref_holder_unregister(holder));
	preempt_enable();
	TELL(ifref_holder_unregister(holder));
	TELL(ifref_holder_unregister(holder));
	TELL(ifref_holder_unregister(NULL));
}

/* The first reference of a holder takes memory. */
static void first(const char *name, gfp_t gfp)
{
	struct ifref_holder *holder = ifref_holder_register(name);
	/* Where a file system gives back memory lockdep sees who asks for some by one. */
	bool reclaim = !(gfp & __GFP_FS);
	struct ifref *lo;

	if (reclaim)
		fs_reclaim_acquire(GFP_KERNEL);
	lo = ifref_get_by_index(holder, &init_net, 1, gfp);
	if (reclaim)
		fs_reclaim_release(GFP_KERNEL);
	told(name, PTR_ERR_OR_ZERO(lo));
	ifref_put(lo);
	told("unregister", ifref_holder_unregister(holder));
}

static void gfp_flags(struct ifref_holder *holder)
{
	first("nofs", GFP_NOFS);
	first("noio", GFP_NOIO);
	first("account", GFP_KERNEL_ACCOUNT);
	first("nowarn", GFP_ATOMIC | __GFP_NOWARN);
	first("plain", GFP_KERNEL);
	told("the task's flags", current->flags & (PF_MEMALLOC_NOIO | PF_MEMALLOC_NOFS));
	told("unregister", ifref_holder_unregister(holder));
}

/* PROVE_RCU has nothing to say. */
static void inside(struct ifref_holder *holder)
{
	struct ifref *lo = ifref_get_by_index(holder, &init_net, 1, GFP_KERNEL);
	int followed = 0;

	rcu_read_lock();
	followed += !!ifref_follow(lo, NULL);
	followed += !!ifref_follow_or_put(&lo, NULL);
	rcu_read_unlock();
	rcu_read_lock_bh();
	followed += !!ifref_follow(lo, NULL);
	rcu_read_unlock_bh();
	rcu_read_lock_sched();
	followed += !!ifref_follow(lo, NULL);
	rcu_read_unlock_sched();
	local_bh_disable();
	followed += !!ifref_follow(lo, NULL);
	local_bh_enable();
	local_irq_disable();
	followed += !!ifref_follow(lo, NULL);
	local_irq_enable();
	told("followed", followed);
	ifref_put(lo);
	told("unregister", ifref_holder_unregister(holder));
}

static void outside(struct ifref_holder *holder)
{
	struct ifref *lo = ifref_get_by_index(holder, &init_net, 1, GFP_KERNEL);

	told("followed", !!ifref_follow(lo, NULL));
	ifref_put(lo);
	told("unregister", ifref_holder_unregister(holder));
}

static void park(struct ifref_holder *holder)
{
	struct ifref *lo = ifref_get_by_index(holder, &init_net, 1, GFP_KERNEL);
	struct sk_buff *skb = alloc_skb(64, GFP_KERNEL);
	struct ifref_packet packet = {};

	if (!skb)
		return;
	local_irq_disable();
	TELL(ifref_packet_park(&packet, skb, lo));
	local_irq_enable();
	ifref_packet_free(&packet);
	told("unregister", ifref_holder_unregister(holder));
}

static netdev_tx_t start_xmit(struct sk_buff *skb, struct net_device *dev)
{
	dev_kfree_skb_any(skb);
	return NETDEV_TX_OK;
}

static const struct net_device_ops netdev_ops = { .ndo_start_xmit = start_xmit };

static void free_softc(void *softc)
{
	free_netdev(softc);
}

static const struct ifref_driver_ops driver_ops = { .free = free_softc };
static const struct ifref_driver_ops no_free = {};

static struct net_device *device(void)
{
	struct net_device *dev = alloc_etherdev(0);

	if (dev) {
		dev->netdev_ops = &netdev_ops;
		eth_hw_addr_random(dev);
	}
	return dev;
}

/* Who does by himself what devd is to do. */
static void by_hand(struct ifref_driver *driver)
{
	struct net_device *dev = device();
	struct ifref_attachment *attachment;

	if (!dev)
		return;
	attachment = ifref_attachment_new(driver, dev, dev);
	TELL(register_netdev(dev));
	TELL_PTR(ifref_attachment_new(driver, dev, dev));
	told("attach by hand", ifref_attach(attachment));
	/* It works on. */
	told("operations", dev->netdev_ops == &netdev_ops);
	unregister_netdev(dev);
	told("attach after hand", ifref_attach(attachment));
	ifref_attachment_put(attachment);
	free_netdev(dev);
}

static void drivers(struct ifref_holder *holder)
{
	struct ifref_attachment *attachment;
	struct ifref_driver *driver;
	struct net_device *dev;

	TELL_PTR(ifref_driver_register(NULL, &driver_ops));
	TELL_PTR(ifref_driver_register("a/b", &driver_ops));
	TELL_PTR(ifref_driver_register("misuse", NULL));
	TELL_PTR(ifref_driver_register("nofree", &no_free));
	driver = ifref_driver_register("misuse", &driver_ops);
	TELL_PTR(driver);
	TELL_PTR(ifref_driver_register("misuse", &driver_ops));
	by_hand(driver);
	dev = device();
	if (!dev)
		return;
	attachment = ifref_attachment_new(driver, dev, dev);
	TELL(ifref_attach(attachment));
	TELL(ifref_attach(attachment));
	if (IS_ENABLED(CONFIG_PROVE_LOCKING)) {
		rtnl_lock();
		TELL(ifref_wait(attachment));
		TELL(ifref_driver_unregister(driver));
		TELL(ifref_holder_unregister(holder));
		rtnl_unlock();
	}
	preempt_disable();
	told("unregister in atomic", ifref_driver_unregister(driver));
	preempt_enable();
	told("unregister once", ifref_driver_unregister(driver));
	told("unregister twice", ifref_driver_unregister(driver));
	ifref_attachment_put(attachment);
	told("holder", ifref_holder_unregister(holder));
}

/* The code of some library's, which stays; the driver is this module's. */
static const struct ifref_driver_ops library_ops = { .free = (void *)kfree };

static void forgets(struct ifref_holder *holder)
{
	TELL_PTR(ifref_driver_register("forgotten", &library_ops));
	told("holder", ifref_holder_unregister(holder));
}

static void forgets_holder(struct ifref_holder *holder)
{
	TELL_PTR(ifref_get_by_index(holder, &init_net, 1, GFP_KERNEL));
}

static void puts_too_often(struct ifref_holder *holder)
{
	struct ifref *lo = ifref_get_by_index(holder, &init_net, 1, GFP_KERNEL);

	ifref_put(lo);
	ifref_put(lo);
	TELL(ifref_holder_unregister(holder));
}

static DECLARE_COMPLETION(gone);

/* Of a use that is left the completion goes with the module. */
static void leaves_use(struct ifref_holder *holder)
{
	TELL_PTR(ifref_enter_until(ifref_get_by_name(holder, &init_net, "d0", GFP_KERNEL), &gone));
	TELL(ifref_holder_unregister(holder));
}

/* Handles that were given back, and those of another module's. */
static void stale(struct ifref_holder *holder)
{
	struct ifref_driver *driver = ifref_driver_register("stale", &driver_ops), *other_driver;
	struct ifref_holder *other;

	TELL(ifref_holder_unregister(holder));
	other = ifref_holder_register("other");
	TELL_PTR(ifref_get_by_index(holder, &init_net, 1, GFP_KERNEL));
	TELL(ifref_holder_unregister(holder));
	TELL(__ifref_holder_unregister(NULL, other));
	TELL(ifref_holder_unregister(other));

	TELL(ifref_driver_unregister(driver));
	other_driver = ifref_driver_register("other", &driver_ops);
	TELL(ifref_driver_unregister(driver));
	TELL(__ifref_driver_unregister(NULL, other_driver));
	TELL(ifref_driver_unregister(other_driver));
}

static const struct {
	const char *name;
	void (*run)(struct ifref_holder *holder);
} cases[] = {
	{ "holders", holders },
	{ "gfp", gfp_flags },
	{ "inside", inside },
	{ "outside", outside },
	{ "park", park },
	{ "drivers", drivers },
	{ "forgets", forgets },
	{ "forgets_holder", forgets_holder },
	{ "puts_too_often", puts_too_often },
	{ "leaves_use", leaves_use },
	{ "stale", stale },
};

static int __init misuse_init(void)
{
	struct ifref_holder *holder;

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		if (strcmp(cases[i].name, what))
			continue;
		holder = ifref_holder_register("misuse");
		if (IS_ERR(holder))
			return PTR_ERR(holder);
		cases[i].run(holder);
		return 0;
	}
	return -EINVAL;
}

static void __exit misuse_exit(void)
{
}

module_init(misuse_init);
module_exit(misuse_exit);
MODULE_AUTHOR("The ifref developers");
MODULE_DESCRIPTION("ifref test: misuse of the API for C");
MODULE_LICENSE("GPL");
