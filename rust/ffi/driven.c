// SPDX-License-Identifier: GPL-2.0
/*
 * The shim: devices whose drivers are ifref's.
 */
#include <linux/capability.h>
#include <linux/device.h>
#include <linux/netdevice.h>
#include <linux/rtnetlink.h>
#include <linux/slab.h>
#include <net/net_namespace.h>
#include <net/rtnetlink.h>

#include "shim.h"

struct ifref_wrap {
	struct net_device_ops ops;
	const struct net_device_ops *driver;
	void *ctx;
	struct device **above;	/* all above it, and NULL */
	struct list_head leaving;
};

static netdev_tx_t wrap_start_xmit(struct sk_buff *skb, struct net_device *dev);

static struct ifref_wrap *wrap_of(const struct net_device *dev)
{
	return (struct ifref_wrap *)container_of_const(dev->netdev_ops, struct ifref_wrap, ops);
}

static netdev_tx_t wrap_start_xmit(struct sk_buff *skb, struct net_device *dev)
{
	const struct ifref_wrap *wrap = wrap_of(dev);

	if (likely(ifref_wrap_passes(wrap->ctx)))
		return wrap->driver->ndo_start_xmit(skb, dev);
	dev_core_stats_tx_dropped_inc(dev);
	dev_kfree_skb_any(skb);
	return NETDEV_TX_OK;
}

static int wrap_xdp_xmit(struct net_device *dev, int n, struct xdp_frame **frames, u32 flags)
{
	const struct ifref_wrap *wrap = wrap_of(dev);

	if (likely(ifref_wrap_passes(wrap->ctx)))
		return wrap->driver->ndo_xdp_xmit(dev, n, frames, flags);
	return -ENETDOWN;
}

static int wrap_open(struct net_device *dev)
{
	const struct ifref_wrap *wrap = wrap_of(dev);

	return ifref_wrap_open(wrap->ctx, wrap->driver->ndo_open, dev);
}

static void wrap_uninit(struct net_device *dev)
{
	const struct ifref_wrap *wrap = wrap_of(dev);

	ifref_wrap_unlinked(wrap->ctx);
	if (wrap->driver->ndo_uninit)
		wrap->driver->ndo_uninit(dev);
}

/*
 * Unregistering a network device walks up from it, to clear memalloc_noio where no other one is
 * below (pm_runtime_set_memalloc_noio()). What was unplugged since keeps nothing that was above it
 * (device_del()), so that is kept here, from the registration until the walk is over.
 */
static int keep_above(struct ifref_wrap *wrap, const struct net_device *dev)
{
	unsigned int depth = 0, at = 0;
	struct device *above;

	for (above = dev->dev.parent; above; above = above->parent)
		depth++;
	wrap->above = kzalloc_objs(*wrap->above, depth + 1, GFP_KERNEL);
	if (!wrap->above)
		return -ENOMEM;
	for (above = dev->dev.parent; above && at < depth; above = above->parent)
		wrap->above[at++] = get_device(above);
	return 0;
}

static void let_above_go(struct ifref_wrap *wrap)
{
	struct device **above = wrap->above;

	wrap->above = NULL;
	for (unsigned int at = 0; above && above[at]; at++)
		put_device(above[at]);
	kfree(above);
}

static void wrap_destructor(struct net_device *dev)
{
	struct ifref_wrap *wrap = wrap_of(dev);

	/* Somebody else has unregistered it, or it could not be registered. */
	let_above_go(wrap);
	ifref_wrap_drained(wrap->ctx);
}

struct ifref_wrap *ifref_wrap_new(const struct net_device *dev, int *err)
{
	const struct net_device_ops *driver = dev->netdev_ops;
	struct ifref_wrap *wrap;

	*err = -EINVAL;
	if (dev->reg_state != NETREG_UNINITIALIZED || !driver || !driver->ndo_start_xmit ||
	    driver->ndo_start_xmit == wrap_start_xmit || dev->priv_destructor ||
	    dev->needs_free_netdev)
		return NULL;
	*err = -ENOMEM;
	wrap = kzalloc_obj(*wrap, GFP_KERNEL);
	if (!wrap)
		return NULL;
	*err = 0;
	INIT_LIST_HEAD(&wrap->leaving);
	wrap->driver = driver;
	wrap->ops = *driver;
	wrap->ops.ndo_start_xmit = wrap_start_xmit;
	wrap->ops.ndo_uninit = wrap_uninit;
	if (driver->ndo_open)
		wrap->ops.ndo_open = wrap_open;
	if (driver->ndo_xdp_xmit)
		wrap->ops.ndo_xdp_xmit = wrap_xdp_xmit;
	return wrap;
}

void ifref_wrap_free(struct ifref_wrap *wrap)
{
	kfree(wrap);
}

void *ifref_wrap_ctx(const struct net_device *dev)
{
	return dev->netdev_ops->ndo_start_xmit == wrap_start_xmit ? wrap_of(dev)->ctx : NULL;
}

int ifref_netdev_link(struct net_device *dev, struct ifref_wrap *wrap, void *ctx, bool *draining)
{
	int err;

	ASSERT_RTNL();
	*draining = false;
	err = keep_above(wrap, dev);
	if (err)
		return err;
	wrap->ctx = ctx;
	dev->netdev_ops = &wrap->ops;
	dev->priv_destructor = wrap_destructor;
	err = register_netdevice(dev);
	*draining = err && dev->reg_state == NETREG_UNREGISTERING;
	if (err && !*draining)
		let_above_go(wrap);
	return err;
}

void ifref_netdev_unwrap(struct net_device *dev, const struct ifref_wrap *wrap)
{
	dev->netdev_ops = wrap->driver;
	dev->priv_destructor = NULL;
}

void ifref_netdev_shut(struct net_device *dev)
{
	netif_device_detach(dev);
}

void ifref_netdev_stay(struct net_device *dev)
{
	ASSERT_RTNL();
	dev->netns_immutable = true;
	/* When it is unregistered there may be no path to it any more. */
	if (dev->reg_state == NETREG_REGISTERED && !dev_get_uevent_suppress(&dev->dev)) {
		kobject_uevent(&dev->dev.kobj, KOBJ_REMOVE);
		dev_set_uevent_suppress(&dev->dev, true);
	}
}

/* Devices, and their wraps; under RTNL. */
static LIST_HEAD(leaving);
static LIST_HEAD(leaving_wraps);

void ifref_netdev_unlink(struct net_device *dev)
{
	ASSERT_RTNL();
	if (dev->reg_state != NETREG_REGISTERED)
		return;
	unregister_netdevice_queue(dev, &leaving);
	list_add_tail(&wrap_of(dev)->leaving, &leaving_wraps);
}

void ifref_netdev_unlink_all(void)
{
	struct ifref_wrap *wrap, *next;

	unregister_netdevice_many(&leaving);
	INIT_LIST_HEAD(&leaving);	/* it was taken apart, as most are on a stack */
	list_for_each_entry_safe(wrap, next, &leaving_wraps, leaving) {
		list_del_init(&wrap->leaving);
		let_above_go(wrap);
	}
}

bool ifref_netdev_is_link(const struct net_device *dev)
{
	return dev->rtnl_link_ops && dev->rtnl_link_ops->dellink;
}

void ifref_netdev_delete_link(struct net_device *dev)
{
	LIST_HEAD(list);

	dev->rtnl_link_ops->dellink(dev, &list);
	unregister_netdevice_many(&list);
}

struct device *ifref_parent_get(const struct net_device *dev)
{
	struct device *parent = get_device(dev->dev.parent);

	/* Once it is unplugged it does not keep what was above it. */
	if (parent)
		get_device(parent->parent);
	return parent;
}

void ifref_parent_release(struct device *parent)
{
	struct device *above = parent->parent;
	/* As the driver core's own unbind: USB interfaces are under their device's lock. */
	bool locked = above && parent->type && parent->type->need_parent_lock;

	if (locked)
		device_lock(above);
	device_release_driver(parent);
	if (locked)
		device_unlock(above);
	put_device(above);
	put_device(parent);
}

bool ifref_net_admin_over(const struct net *net)
{
	return ns_capable(net->user_ns, CAP_NET_ADMIN);
}
