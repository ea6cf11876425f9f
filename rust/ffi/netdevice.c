// SPDX-License-Identifier: GPL-2.0
/*
 * The shim: network devices, packets that are captured, namespaces, RTNL.
 */
#include <linux/etherdevice.h>
#include <linux/netdevice.h>
#include <linux/nsproxy.h>
#include <linux/rtnetlink.h>
#include <linux/slab.h>
#include <net/net_namespace.h>
#include <net/rtnetlink.h>

#include "shim.h"

IFREF_SAME(IFREF_NETDEV_UP, NETDEV_UP);
IFREF_SAME(IFREF_NETDEV_DOWN, NETDEV_DOWN);
IFREF_SAME(IFREF_NETDEV_REGISTER, NETDEV_REGISTER);
IFREF_SAME(IFREF_NETDEV_UNREGISTER, NETDEV_UNREGISTER);
IFREF_SAME(IFREF_NETDEV_CHANGEADDR, NETDEV_CHANGEADDR);
IFREF_SAME(IFREF_NETDEV_GOING_DOWN, NETDEV_GOING_DOWN);
IFREF_SAME(IFREF_NETDEV_CHANGENAME, NETDEV_CHANGENAME);
IFREF_SAME(IFREF_NETDEV_POST_TYPE_CHANGE, NETDEV_POST_TYPE_CHANGE);
IFREF_SAME(IFREF_NETREG_REGISTERED, NETREG_REGISTERED);
IFREF_SAME(IFREF_NETREG_UNREGISTERING, NETREG_UNREGISTERING);
IFREF_SAME(IFREF_NETREG_UNREGISTERED, NETREG_UNREGISTERED);
static_assert(sizeof(netdevice_tracker) <= sizeof(void *));

/* linux/netdevice.h */

struct net_device *ifref_info_dev(void *info)
{
	return netdev_notifier_info_to_dev(info);
}

int ifref_reg_state(const struct net_device *dev)
{
	return READ_ONCE(dev->reg_state);
}

const unsigned char *ifref_reg_state_of(const struct net_device *dev)
{
	return &dev->reg_state;
}

bool ifref_dismantle(const struct net_device *dev)
{
	return dev->dismantle;
}

bool ifref_moving(const struct net_device *dev)
{
	return dev->moving_ns;
}

void ifref_dev_hold(struct net_device *dev, void **tracker, bool atomic)
{
	netdev_hold(dev, (netdevice_tracker *)tracker, atomic ? GFP_ATOMIC : GFP_KERNEL);
}

void ifref_dev_put(struct net_device *dev, void **tracker)
{
	netdev_put(dev, (netdevice_tracker *)tracker);
}

void ifref_name(const struct net_device *dev, char *buf, unsigned long size)
{
	strscpy(buf, dev->name, size);
}

int ifref_ifindex(const struct net_device *dev)
{
	return READ_ONCE(dev->ifindex);
}

unsigned int ifref_mtu(const struct net_device *dev)
{
	return READ_ONCE(dev->mtu);
}

unsigned int ifref_flags(const struct net_device *dev)
{
	return netif_get_flags(dev);
}

int ifref_refs(const struct net_device *dev)
{
	return netdev_refcnt_read(dev);
}

struct net *ifref_net(const struct net_device *dev)
{
	return dev_net(dev);
}

void ifref_link_addr(const struct net_device *dev, struct ifref_addr *addr)
{
	memset(addr, 0, sizeof(*addr));
	addr->family = AF_PACKET;
	addr->len = min_t(unsigned int, dev->addr_len, sizeof(addr->local));
	memcpy(addr->local, dev->dev_addr, addr->len);
}

void ifref_read_stats(struct net_device *dev, struct ifref_stats *stats)
{
	struct rtnl_link_stats64 all;

	dev_get_stats(dev, &all);
	stats->rx_packets = all.rx_packets;
	stats->tx_packets = all.tx_packets;
	stats->rx_bytes = all.rx_bytes;
	stats->tx_bytes = all.tx_bytes;
}

int ifref_sysfs_link(struct net_device *dev, struct kobject *target)
{
	return sysfs_create_link(&dev->dev.kobj, target, KBUILD_MODNAME);
}

void ifref_sysfs_unlink(struct net_device *dev)
{
	sysfs_remove_link(&dev->dev.kobj, KBUILD_MODNAME);
}

void ifref_for_each_netdev(void (*each)(void *ctx, struct net_device *dev), void *ctx)
{
	struct net_device *dev;
	struct net *net;

	down_read(&net_rwsem);
	for_each_net(net)
		for_each_netdev(net, dev)
			each(ctx, dev);
	up_read(&net_rwsem);
}

int ifref_netdev_listen(struct notifier_block *nb)
{
	return register_netdevice_notifier(nb);
}

void ifref_netdev_unlisten(struct notifier_block *nb)
{
	unregister_netdevice_notifier(nb);
}

struct net_device *ifref_by_index(struct net *net, int ifindex)
{
	return check_net(net) ? dev_get_by_index_rcu(net, ifindex) : NULL;
}

struct net_device *ifref_by_name(struct net *net, const char *name)
{
	return check_net(net) ? dev_get_by_name_rcu(net, name) : NULL;
}

struct ifref_capture {
	struct packet_type type;
	void (*receive)(void *ctx, struct sk_buff *skb, struct net_device *dev);
};

static int capture_receive(struct sk_buff *skb, struct net_device *dev, struct packet_type *type,
			   struct net_device *orig_dev)
{
	struct ifref_capture *capture = container_of(type, struct ifref_capture, type);

	skb = skb_share_check(skb, GFP_ATOMIC);
	if (skb)
		capture->receive(type->af_packet_priv, skb, dev);
	return NET_RX_SUCCESS;
}

struct ifref_capture *ifref_capture_new(struct net *net,
					void (*receive)(void *ctx, struct sk_buff *skb,
							struct net_device *dev),
					void *ctx)
{
	struct ifref_capture *capture = kzalloc_obj(*capture, GFP_KERNEL);

	if (!capture)
		return NULL;
	capture->receive = receive;
	capture->type.type = htons(ETH_P_ALL);
	capture->type.func = capture_receive;
	capture->type.af_packet_net = net;
	capture->type.af_packet_priv = ctx;
	capture->type.ignore_outgoing = true;
	dev_add_pack(&capture->type);
	return capture;
}

void ifref_capture_end(struct ifref_capture *capture)
{
	dev_remove_pack(&capture->type);
	kfree(capture);
}

/* net/net_namespace.h */

void ifref_net_get(struct net *net)
{
	net_passive_inc(net);
}

void ifref_net_put(struct net *net)
{
	/*
	 * net_passive_dec() is not exported; this leads to it. kobj_ns_drop() would, too, but
	 * takes a lock that is not for softirqs.
	 */
	net_ns_type_operations.drop_ns(to_ns_common(net));
}

bool ifref_net_alive(const struct net *net)
{
	return check_net(net);
}

unsigned int ifref_net_inum(const struct net *net)
{
	return net->ns.inum;
}

struct net *ifref_init_net(void)
{
	return &init_net;
}

struct net *ifref_current_net(void)
{
	return current->nsproxy->net_ns;
}

/* linux/rtnetlink.h */

void ifref_rtnl_lock(void)
{
	rtnl_lock();
}

void ifref_rtnl_unlock(void)
{
	rtnl_unlock();
}

void ifref_rtnl_assert(void)
{
	ASSERT_RTNL();
}

int ifref_rtnl_mine(void)
{
	if (!rtnl_is_locked())
		return 0;
#ifdef CONFIG_PROVE_LOCKING
	return debug_locks ? lockdep_rtnl_is_held() : -1;
#else
	return -1;
#endif
}
