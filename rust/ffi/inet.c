// SPDX-License-Identifier: GPL-2.0
/*
 * The shim: addresses and routes.
 */
#include <linux/if_packet.h>
#include <linux/inetdevice.h>
#include <net/addrconf.h>
#include <net/ip_fib.h>
#include <net/net_namespace.h>
#include <net/nexthop.h>

#include "shim.h"

IFREF_SAME(IFREF_FIB_REPLACE, FIB_EVENT_ENTRY_REPLACE);
IFREF_SAME(IFREF_FIB_DEL, FIB_EVENT_ENTRY_DEL);
IFREF_SAME(IFREF_RT_TABLE_MAIN, RT_TABLE_MAIN);
IFREF_SAME(IFREF_AF_INET, AF_INET);
IFREF_SAME(IFREF_AF_INET6, AF_INET6);
IFREF_SAME(IFREF_AF_PACKET, AF_PACKET);
static_assert(sizeof_field(struct ifref_addr, local) == MAX_ADDR_LEN);

/* linux/inetdevice.h, net/addrconf.h */

struct net_device *ifref_inet_dev(const struct in_ifaddr *ifa)
{
	return ifa->ifa_dev->dev;
}

void ifref_inet_addr(const struct in_ifaddr *ifa, struct ifref_addr *addr)
{
	memset(addr, 0, sizeof(*addr));
	addr->family = AF_INET;
	addr->len = sizeof(ifa->ifa_local);
	addr->prefix = ifa->ifa_prefixlen;
	memcpy(addr->local, &ifa->ifa_local, sizeof(ifa->ifa_local));
	memcpy(addr->peer, &ifa->ifa_address, sizeof(ifa->ifa_address));
}

struct net_device *ifref_inet6_dev(const struct inet6_ifaddr *ifa)
{
	return ifa->idev->dev;
}

void ifref_inet6_addr(const struct inet6_ifaddr *ifa, struct ifref_addr *addr)
{
	memset(addr, 0, sizeof(*addr));
	addr->family = AF_INET6;
	addr->len = sizeof(ifa->addr);
	addr->prefix = ifa->prefix_len;
	memcpy(addr->local, &ifa->addr, sizeof(ifa->addr));
}

bool ifref_inet6_dead(const struct inet6_ifaddr *ifa)
{
	return READ_ONCE(ifa->state) == INET6_IFADDR_STATE_DEAD;
}

void ifref_for_each_inet(struct net_device *dev,
			 void (*each)(void *ctx, struct in_ifaddr *ifa), void *ctx)
{
	struct in_device *in_dev = __in_dev_get_rtnl(dev);
	struct in_ifaddr *ifa;

	if (!in_dev)
		return;
	in_dev_for_each_ifa_rtnl(ifa, in_dev)
		each(ctx, ifa);
}

void ifref_for_each_inet6(struct net_device *dev,
			  void (*each)(void *ctx, struct inet6_ifaddr *ifa), void *ctx)
{
	struct inet6_dev *idev = __in6_dev_get(dev);
	struct inet6_ifaddr *ifa;

	if (!idev)
		return;
	read_lock_bh(&idev->lock);
	list_for_each_entry(ifa, &idev->addr_list, if_list)
		each(ctx, ifa);
	read_unlock_bh(&idev->lock);
}

int ifref_inet_listen(struct notifier_block *nb)
{
	return register_inetaddr_notifier(nb);
}

void ifref_inet_unlisten(struct notifier_block *nb)
{
	unregister_inetaddr_notifier(nb);
}

int ifref_inet6_listen(struct notifier_block *nb)
{
	return register_inet6addr_notifier(nb);
}

void ifref_inet6_unlisten(struct notifier_block *nb)
{
	unregister_inet6addr_notifier(nb);
}

int ifref_format(char *buf, unsigned long size, const struct ifref_addr *addr)
{
	switch (addr->family) {
	case AF_INET:
		if (memcmp(addr->peer, addr->local, addr->len))
			return scnprintf(buf, size, "%pI4 peer %pI4/%u", addr->local, addr->peer,
					 addr->prefix);
		return scnprintf(buf, size, "%pI4/%u", addr->local, addr->prefix);
	case AF_INET6:
		return scnprintf(buf, size, "%pI6c/%u", addr->local, addr->prefix);
	default:
		if (!addr->len)
			return scnprintf(buf, size, "none");
		return scnprintf(buf, size, "%*phC", addr->len, addr->local);
	}
}

/* net/ip_fib.h */

int ifref_fib_listen(struct notifier_block *nb)
{
	return register_fib_notifier(&init_net, nb, NULL, NULL);
}

void ifref_fib_unlisten(struct notifier_block *nb)
{
	unregister_fib_notifier(&init_net, nb);
}

bool ifref_fib_route(const void *info, struct ifref_route *route)
{
	const struct fib_notifier_info *about = info;
	const struct fib_entry_notifier_info *entry;

	if (about->family != AF_INET)
		return false;
	entry = container_of(about, struct fib_entry_notifier_info, info);
	route->table = entry->tb_id;
	route->dst = entry->dst;
	route->len = entry->dst_len;
	route->dev = fib_info_nhc(entry->fi, 0)->nhc_dev;
	return true;
}
