// SPDX-License-Identifier: GPL-2.0
/*
 * The shim: devices of drivers in Rust.
 */
#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/irqflags.h>
#include <linux/netdevice.h>
#include <linux/preempt.h>
#include <linux/skbuff.h>
#include <linux/slab.h>

#include "shim.h"

static_assert(IFREF_ETH_ALEN == ETH_ALEN);
static_assert(IFREF_ETH_HLEN == ETH_HLEN);
static_assert(IFREF_ETH_DATA_LEN == ETH_DATA_LEN);
static_assert((int)IFREF_IFF_PROMISC == (int)IFF_PROMISC);
static_assert((int)IFREF_IFF_ALLMULTI == (int)IFF_ALLMULTI);
static_assert((int)IFREF_NETDEV_TX_OK == (int)NETDEV_TX_OK);

#define SAME_PLACE(field) static_assert(offsetof(struct ifref_link_stats, field) == \
					offsetof(struct rtnl_link_stats64, field))

SAME_PLACE(rx_packets);
SAME_PLACE(tx_packets);
SAME_PLACE(rx_bytes);
SAME_PLACE(tx_bytes);
SAME_PLACE(rx_errors);
SAME_PLACE(tx_errors);
SAME_PLACE(rx_dropped);
SAME_PLACE(tx_dropped);
SAME_PLACE(multicast);
SAME_PLACE(collisions);

/* linux/netdevice.h */

struct ifref_nic_table {
	struct net_device_ops netdev;
	struct ethtool_ops ethtool;
	int (*poll)(struct napi_struct *napi, int budget);
};

struct nic {
	struct napi_struct napi;
	void *private;
};

static struct nic *nic_of(const struct net_device *dev)
{
	return netdev_priv(dev);
}

/*
 * Here, so that freeing the device needs no grace period of its own: the core waits for one
 * after that. Disabled, NAPI counts as scheduled: to schedule it has no effect.
 */
static void nic_uninit(struct net_device *dev)
{
	__netif_napi_del(&nic_of(dev)->napi);
}

struct ifref_nic_table *ifref_nic_table_new(const struct ifref_nic_ops *ops)
{
	struct ifref_nic_table *table = kzalloc_obj(*table, GFP_KERNEL);

	if (!table)
		return NULL;
	table->netdev.ndo_uninit = nic_uninit;
	table->netdev.ndo_open = ops->open;
	table->netdev.ndo_stop = ops->stop;
	table->netdev.ndo_start_xmit = ops->start_xmit;
	table->netdev.ndo_set_rx_mode = ops->set_rx_mode;
	table->netdev.ndo_set_mac_address = ops->set_mac_address;
	table->netdev.ndo_validate_addr = eth_validate_addr;
	table->netdev.ndo_change_mtu = ops->change_mtu;
	table->netdev.ndo_get_stats64 = ops->get_stats64;
	table->netdev.ndo_tx_timeout = ops->tx_timeout;
	table->ethtool.get_drvinfo = ops->get_drvinfo;
	table->ethtool.get_link = ethtool_op_get_link;
	table->poll = ops->poll;
	return table;
}

void ifref_nic_table_free(struct ifref_nic_table *table)
{
	kfree(table);
}

struct net_device *ifref_nic_new(const struct ifref_nic_table *table, const char *name)
{
	struct net_device *dev = alloc_netdev(sizeof(struct nic), name, NET_NAME_ENUM, ether_setup);

	if (!dev)
		return NULL;
	dev->netdev_ops = &table->netdev;
	dev->ethtool_ops = &table->ethtool;
	dev->pcpu_stat_type = NETDEV_PCPU_STAT_TSTATS;
	/* A packet has one owner: see ifref_nic_sole(). */
	dev->priv_flags &= ~IFF_TX_SKB_SHARING;
	netif_napi_add(dev, &nic_of(dev)->napi, table->poll);
	return dev;
}

void ifref_nic_free(struct net_device *dev)
{
	free_netdev(dev);
}

void ifref_nic_set_private(struct net_device *dev, void *private)
{
	nic_of(dev)->private = private;
}

void *ifref_nic_private(const struct net_device *dev)
{
	return nic_of(dev)->private;
}

void ifref_nic_set_parent(struct net_device *dev, struct device *parent)
{
	SET_NETDEV_DEV(dev, parent);
}

void ifref_nic_set_mtu(struct net_device *dev, unsigned int mtu)
{
	WRITE_ONCE(dev->mtu, mtu);
}

void ifref_nic_set_max_mtu(struct net_device *dev, unsigned int mtu)
{
	dev->max_mtu = mtu;
}

bool ifref_nic_carrier(const struct net_device *dev)
{
	return netif_carrier_ok(dev);
}

void ifref_nic_carrier_on(struct net_device *dev)
{
	netif_carrier_on(dev);
}

void ifref_nic_carrier_off(struct net_device *dev)
{
	netif_carrier_off(dev);
}

void ifref_nic_start_queue(struct net_device *dev)
{
	netif_start_queue(dev);
}

void ifref_nic_stop_queue(struct net_device *dev)
{
	netif_stop_queue(dev);
}

void ifref_nic_wake_queue(struct net_device *dev)
{
	netif_wake_queue(dev);
}

struct net_device *ifref_napi_dev(const struct napi_struct *napi)
{
	return napi->dev;
}

void ifref_nic_napi_enable(struct net_device *dev)
{
	napi_enable(&nic_of(dev)->napi);
}

void ifref_nic_napi_disable(struct net_device *dev)
{
	napi_disable(&nic_of(dev)->napi);
}

void ifref_nic_napi_schedule(struct net_device *dev)
{
	/* A task runs the softirq at its end, if it can; that of an interrupt does anyway. */
	bool task = !(hardirq_count() | softirq_count()) && !irqs_disabled();

	if (task)
		local_bh_disable();
	napi_schedule(&nic_of(dev)->napi);
	if (task)
		local_bh_enable();
}

bool ifref_nic_napi_complete(struct net_device *dev, int done)
{
	return napi_complete_done(&nic_of(dev)->napi, done);
}

/*
 * A packet to send, as the driver's alone and in one piece, or NULL. The core's queues
 * give no other ones, but pktgen keeps a reference, and it and XDP may send fragments
 * past them.
 */
struct sk_buff *ifref_nic_sole(struct sk_buff *skb)
{
	skb = skb_share_check(skb, GFP_ATOMIC);
	if (skb && skb_linearize(skb)) {
		kfree_skb(skb);
		skb = NULL;
	}
	return skb;
}

void ifref_nic_count_sent(struct net_device *dev, unsigned int bytes)
{
	/* The counters need that, and the core waits for it as for an RCU read section. */
	guard(preempt)();
	if (READ_ONCE(dev->reg_state) == NETREG_REGISTERED)
		dev_sw_netstats_tx_add(dev, 1, bytes);
}

void ifref_nic_count_received(struct net_device *dev, unsigned int bytes)
{
	guard(preempt)();
	dev_sw_netstats_rx_add(dev, bytes);
}

void ifref_nic_count_tx_dropped(struct net_device *dev)
{
	dev_core_stats_tx_dropped_inc(dev);
}

void ifref_nic_count_rx_dropped(struct net_device *dev)
{
	dev_core_stats_rx_dropped_inc(dev);
}

void ifref_nic_counters(struct net_device *dev, struct rtnl_link_stats64 *stats)
{
	dev_get_tstats64(dev, stats);
}

unsigned int ifref_nic_flags(const struct net_device *dev)
{
	return READ_ONCE(dev->flags);
}

void ifref_nic_for_each_multicast(struct net_device *dev,
				  void (*each)(void *ctx, const unsigned char *address), void *ctx)
{
	struct netdev_hw_addr *ha;

	netdev_for_each_mc_addr(ha, dev)
		each(ctx, ha->addr);
}

/* linux/etherdevice.h */

void ifref_nic_set_address(struct net_device *dev, const unsigned char *address)
{
	eth_hw_addr_set(dev, address);
}

void ifref_nic_random_address(struct net_device *dev)
{
	eth_hw_addr_random(dev);
}

void ifref_nic_address(const struct net_device *dev, unsigned char *address)
{
	ether_addr_copy(address, dev->dev_addr);
}

int ifref_nic_prepare_address(struct net_device *dev, void *sockaddr)
{
	return eth_prepare_mac_addr_change(dev, sockaddr);
}

void ifref_nic_commit_address(struct net_device *dev, void *sockaddr)
{
	eth_commit_mac_addr_change(dev, sockaddr);
}

/* linux/skbuff.h */

struct sk_buff *ifref_nic_alloc_skb(struct net_device *dev, unsigned int room)
{
	/* As in ifref_skb_new(). */
	return room <= KMALLOC_MAX_SIZE ? netdev_alloc_skb_ip_align(dev, room) : NULL;
}

const unsigned char *ifref_skb_data(const struct sk_buff *skb)
{
	return skb->data;
}

unsigned int ifref_skb_headlen(const struct sk_buff *skb)
{
	return skb_headlen(skb);
}

unsigned int ifref_skb_tailroom(const struct sk_buff *skb)
{
	return skb_tailroom(skb);
}

bool ifref_skb_cloned(const struct sk_buff *skb)
{
	return skb_cloned(skb);
}

int ifref_skb_unshare(struct sk_buff *skb)
{
	return skb_ensure_writable(skb, skb_headlen(skb));
}

unsigned char *ifref_skb_put_zero(struct sk_buff *skb, unsigned int len)
{
	return skb_put_zero(skb, len);
}

bool ifref_skb_may_pull(struct sk_buff *skb, unsigned int len)
{
	return pskb_may_pull(skb, len);
}

void ifref_skb_received_by(struct sk_buff *skb, struct net_device *dev)
{
	skb_orphan(skb);
	skb_scrub_packet(skb, true);
	skb_forward_csum(skb);
	skb->protocol = eth_type_trans(skb, dev);
}

void ifref_skb_queue_init(struct sk_buff_head *queue)
{
	skb_queue_head_init(queue);
}

/* linux/netdevice.h: receiving */

void ifref_nic_rx(struct sk_buff *skb)
{
	netif_rx(skb);
}

void ifref_nic_receive(struct sk_buff *skb)
{
	netif_receive_skb(skb);
}

void ifref_nic_gro_receive(struct net_device *dev, struct sk_buff *skb)
{
	napi_gro_receive(&nic_of(dev)->napi, skb);
}
