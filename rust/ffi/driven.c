// SPDX-License-Identifier: GPL-2.0
/*
 * The shim: devices whose drivers are ifref's.
 */
#include <linux/capability.h>
#include <linux/delay.h>
#include <linux/device.h>
#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/kernfs.h>
#include <linux/netdevice.h>
#include <linux/rtnetlink.h>
#include <linux/slab.h>
#include <net/net_namespace.h>
#include <net/netdev_rx_queue.h>
#include <net/rtnetlink.h>

#include "shim.h"

struct wrapped_ops {
	struct net_device_ops ops;
	struct ifref_wrap *wrap;
};

struct ifref_wrap {
	struct wrapped_ops open;	/* until ndo_uninit */
	struct wrapped_ops closed;	/* from then on */
	const struct net_device_ops *driver;
	const struct ethtool_ops *ethtool;	/* the driver's */
	void *ctx;
	struct device **above;	/* all above it, and NULL */
	struct kobject *glue;	/* the folder that it was in: ifref_netdev_leave_parent() */
};

static netdev_tx_t wrap_start_xmit(struct sk_buff *skb, struct net_device *dev);

static struct ifref_wrap *wrap_of(const struct net_device *dev)
{
	return container_of_const(READ_ONCE(dev->netdev_ops), struct wrapped_ops, ops)->wrap;
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

/*
 * A socket with a reference comes here and to the next one in no read section, and perhaps
 * after the device was unlinked: packet_snd().
 */
static u16 wrap_select_queue(struct net_device *dev, struct sk_buff *skb,
			     struct net_device *sb_dev)
{
	const struct ifref_wrap *wrap = wrap_of(dev);

	guard(rcu)();
	if (likely(ifref_wrap_passes(wrap->ctx)))
		return wrap->driver->ndo_select_queue(dev, skb, sb_dev);
	return 0;
}

static netdev_features_t wrap_features_check(struct sk_buff *skb, struct net_device *dev,
					     netdev_features_t features)
{
	const struct ifref_wrap *wrap = wrap_of(dev);

	guard(rcu)();
	if (likely(ifref_wrap_passes(wrap->ctx)))
		return wrap->driver->ndo_features_check(skb, dev, features);
	return features;
}

/*
 * What a filter's block or a socket's pool has bound is unbound by who holds that, and that may
 * be after the device was unlinked. Neither is offered: the core does without.
 */
static int wrap_setup_tc(struct net_device *dev, enum tc_setup_type type, void *type_data)
{
	const struct ifref_wrap *wrap = wrap_of(dev);

	if (type == TC_SETUP_BLOCK || type == TC_SETUP_FT)
		return -EOPNOTSUPP;
	return wrap->driver->ndo_setup_tc(dev, type, type_data);
}

static int wrap_bpf(struct net_device *dev, struct netdev_bpf *bpf)
{
	const struct ifref_wrap *wrap = wrap_of(dev);

	if (bpf->command == XDP_SETUP_XSK_POOL)
		return -EOPNOTSUPP;
	return wrap->driver->ndo_bpf(dev, bpf);
}

static int wrap_open(struct net_device *dev)
{
	const struct ifref_wrap *wrap = wrap_of(dev);

	return ifref_wrap_open(wrap->ctx, wrap->driver->ndo_open, dev);
}

/*
 * It is off the lists, and callers that found it there have ended (synchronize_net()). Who has a
 * reference may still call it: of the driver's operations there are only the counters from here
 * on, and another synchronize_net() follows.
 */
static void wrap_uninit(struct net_device *dev)
{
	static const struct ethtool_ops none;
	struct ifref_wrap *wrap = wrap_of(dev);

	ifref_wrap_unlinked(wrap->ctx);
	if (wrap->driver->ndo_uninit)
		wrap->driver->ndo_uninit(dev);
	WRITE_ONCE(dev->netdev_ops, &wrap->closed.ops);
	WRITE_ONCE(dev->ethtool_ops, &none);
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

/* What others call when they end, which may be after the device was unlinked. */
static bool offers_for_longer(const struct net_device *dev)
{
	const struct net_device_ops *ops = dev->netdev_ops;

#ifdef CONFIG_XFRM_OFFLOAD
	if (dev->xfrmdev_ops)
		return true;
#endif
#ifdef CONFIG_TLS_DEVICE
	if (dev->tlsdev_ops)
		return true;
#endif
#if IS_ENABLED(CONFIG_NET_SHAPER)
	if (ops->net_shaper_ops)
		return true;
#endif
	return ops->ndo_neigh_construct || ops->ndo_neigh_destroy ||
	       (dev->ethtool_ops && dev->ethtool_ops->set_module_eeprom_by_page) ||
	       (dev->header_ops && dev->header_ops->create != eth_header);
}

struct ifref_wrap *ifref_wrap_new(const struct net_device *dev, int *err)
{
	const struct net_device_ops *driver = dev->netdev_ops;
	struct net_device_ops *ops;
	struct ifref_wrap *wrap;

	*err = -EINVAL;
	if (dev->reg_state != NETREG_UNINITIALIZED || !driver || !driver->ndo_start_xmit ||
	    driver->ndo_start_xmit == wrap_start_xmit || dev->priv_destructor ||
	    dev->needs_free_netdev)
		return NULL;
	*err = -EOPNOTSUPP;
	if (offers_for_longer(dev))
		return NULL;
	*err = -ENOMEM;
	wrap = kzalloc_obj(*wrap, GFP_KERNEL);
	if (!wrap)
		return NULL;
	*err = 0;
	wrap->driver = driver;
	wrap->ethtool = dev->ethtool_ops;
	wrap->open.wrap = wrap;
	wrap->closed.wrap = wrap;
	ops = &wrap->closed.ops;
	ops->ndo_start_xmit = wrap_start_xmit;
	ops->ndo_get_stats64 = driver->ndo_get_stats64;
	/* The core looks whether these are there and reads them once more to call them. */
	if (driver->ndo_xdp_xmit)
		ops->ndo_xdp_xmit = wrap_xdp_xmit;
	if (driver->ndo_select_queue)
		ops->ndo_select_queue = wrap_select_queue;
	if (driver->ndo_features_check)
		ops->ndo_features_check = wrap_features_check;
	ops = &wrap->open.ops;
	*ops = *driver;
	ops->ndo_start_xmit = wrap_start_xmit;
	ops->ndo_uninit = wrap_uninit;
	ops->ndo_xdp_xmit = wrap->closed.ops.ndo_xdp_xmit;
	ops->ndo_select_queue = wrap->closed.ops.ndo_select_queue;
	ops->ndo_features_check = wrap->closed.ops.ndo_features_check;
	if (driver->ndo_open)
		ops->ndo_open = wrap_open;
	if (driver->ndo_setup_tc)
		ops->ndo_setup_tc = wrap_setup_tc;
	if (driver->ndo_bpf)
		ops->ndo_bpf = wrap_bpf;
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

/* Since ifref_wrap_new() its driver may have registered it, and perhaps unregistered. */
bool ifref_netdev_is_new(const struct net_device *dev)
{
	ASSERT_RTNL();
	return dev->reg_state == NETREG_UNINITIALIZED;
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
	dev->netdev_ops = &wrap->open.ops;
	dev->priv_destructor = wrap_destructor;
	err = register_netdevice(dev);
	*draining = err && dev->reg_state == NETREG_UNREGISTERING;
	return err;
}

void ifref_netdev_unwrap(struct net_device *dev, const struct ifref_wrap *wrap)
{
	if (dev->netdev_ops != &wrap->open.ops && dev->netdev_ops != &wrap->closed.ops)
		return;
	dev->netdev_ops = wrap->driver;
	dev->ethtool_ops = wrap->ethtool;
	dev->priv_destructor = NULL;
}

void ifref_netdev_shut(struct net_device *dev)
{
	netif_device_detach(dev);
}

/*
 * device_move() would do more than is right here: what is below the parent's folder "net" has two
 * references to that and gives one back; who looks for the parent finds none, at any time; and a
 * rename at the same time takes the device back. So the folder alone goes to where that of a device
 * without a parent is, and the core is told by a uevent.
 *
 * A rename stores dev->name, waits for kernfs (the class's link), and reads where the device is
 * before it has kernfs again. If its first wait has ended when the device is moved, the name
 * differs until it is done; if not, it finds the device in its new place.
 */
int ifref_netdev_leave_parent(struct net_device *dev, struct ifref_wrap *wrap)
{
	struct kobject *to = init_net.loopback_dev->dev.kobj.parent;
	struct kobject *kobj = &dev->dev.kobj;
	struct kobject *glue = kobj->parent;
	bool renaming, there;
	int err;

	if (!dev->dev.parent || glue == to)
		return 0;
	err = kobject_move(kobj, to);
	if (err)
		return err;
	kobject_get(to);	/* device_del() gives two back */
	wrap->glue = glue;
	sysfs_remove_link(kobj, "device");
	/* A rename that has failed on the way to another namespace leaves two names. */
	for (int tries = 0; tries < 1000; tries++) {
		scoped_guard(rcu) {
			renaming = strcmp(dev->name, rcu_dereference(kobj->sd->name));
			there = rcu_access_pointer(kobj->sd->__parent) == to->sd;
		}
		if (there && !renaming)
			return 0;
		if (renaming || kobject_move(kobj, to))
			fsleep(1000);
	}
	return -EBUSY;
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

void ifref_netdev_close(struct ifref_wrap *wrap)
{
	struct kobject *glue = wrap->glue;

	/* RTNL: others may be about to register a device there. */
	ASSERT_RTNL();
	wrap->glue = NULL;
	/* As cleanup_glue_dir(): if nobody else has it, nobody is to find it. */
	if (glue && kref_read(&glue->kref) == 1)
		kobject_del(glue);
	kobject_put(glue);
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

bool ifref_net_admin_over(const struct net *net)
{
	return ns_capable(net->user_ns, CAP_NET_ADMIN);
}
