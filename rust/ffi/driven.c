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
#include <net/netdev_rx_queue.h>
#include <net/rtnetlink.h>

#include "shim.h"

struct ifref_wrap {
	struct net_device_ops ops;
	const struct net_device_ops *driver;
	void *ctx;
	struct device **above;	/* all above it, and NULL */
};

static netdev_tx_t wrap_start_xmit(struct sk_buff *skb, struct net_device *dev);

static const struct ifref_wrap *wrap_of(const struct net_device *dev)
{
	return container_of_const(dev->netdev_ops, struct ifref_wrap, ops);
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
 * The core walks up from a network device: when it is unregistered, to clear memalloc_noio
 * (pm_runtime_set_memalloc_noio()); for what ethtool asks, for each netdev_err(). What was
 * unplugged since keeps nothing that was above it (device_del()), so that is kept here, until the
 * driver has freed its device.
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

void ifref_wrap_let_above_go(struct ifref_wrap *wrap)
{
	struct device **above = wrap->above;

	wrap->above = NULL;
	for (unsigned int at = 0; above && above[at]; at++)
		put_device(above[at]);
	kfree(above);
}

static void wrap_destructor(struct net_device *dev)
{
	ifref_wrap_drained(wrap_of(dev)->ctx);
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
	ifref_wrap_let_above_go(wrap);
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

/*
 * When it is unregistered there may be no path to it any more. The order is the core's own
 * (netdev_unregister_kobject(), device_del()): its queues, the file by which an "add" is asked for
 * once more, itself. What was sent is not sent again.
 */
static void announce_removal(struct net_device *dev)
{
	static const struct attribute uevent = { .name = "uevent" };
	unsigned int at;

	if (dev->reg_state != NETREG_REGISTERED || dev_get_uevent_suppress(&dev->dev))
		return;
	for (at = 0; at < dev->real_num_rx_queues; at++)
		if (dev->_rx[at].kobj.state_in_sysfs)
			kobject_uevent(&dev->_rx[at].kobj, KOBJ_REMOVE);
	for (at = 0; at < dev->real_num_tx_queues; at++)
		if (dev->_tx[at].kobj.state_in_sysfs)
			kobject_uevent(&dev->_tx[at].kobj, KOBJ_REMOVE);
	sysfs_remove_file(&dev->dev.kobj, &uevent);
	if (!kobject_uevent(&dev->dev.kobj, KOBJ_REMOVE))
		dev_set_uevent_suppress(&dev->dev, true);
}

void ifref_netdev_stay(struct net_device *dev)
{
	ASSERT_RTNL();
	dev->netns_immutable = true;
	announce_removal(dev);
}

static LIST_HEAD(leaving);	/* under RTNL */

void ifref_netdev_unlink(struct net_device *dev)
{
	ASSERT_RTNL();
	if (dev->reg_state == NETREG_REGISTERED)
		unregister_netdevice_queue(dev, &leaving);
}

void ifref_netdev_unlink_all(void)
{
	unregister_netdevice_many(&leaving);
	INIT_LIST_HEAD(&leaving);	/* it was taken apart, as most are on a stack */
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
}

void ifref_parent_put(struct device *parent)
{
	put_device(parent->parent);
	put_device(parent);
}

bool ifref_net_admin_over(const struct net *net)
{
	return ns_capable(net->user_ns, CAP_NET_ADMIN);
}
