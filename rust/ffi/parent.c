// SPDX-License-Identifier: GPL-2.0
/*
 * The shim: what a network device is a child of, and where it is in sysfs.
 */
#include <linux/device.h>
#include <linux/kernfs.h>
#include <linux/netdevice.h>
#include <linux/rtnetlink.h>
#include <net/rtnetlink.h>

#include "shim.h"

/*
 * Whether the kernel moves it to another parent while it is registered, without RTNL. A device
 * keeps its parent from device_add() to device_del(), unless device_move() is called; for network
 * devices that is done by u_ether.c, when a gadget is bound and unbound, and by Bluetooth's
 * hci_sysfs.c, for bnep, when a connection ends. Neither needs its parent to work, nor goes
 * because of that.
 */
static bool moves(const struct net_device *dev)
{
	const char *type = dev->dev.type ? dev->dev.type->name : NULL;

	return type && (!strcmp(type, "gadget") || !strcmp(type, "bluetooth"));
}

struct device *ifref_parent_get(const struct net_device *dev)
{
	ASSERT_RTNL();
	return moves(dev) ? NULL : get_device(dev->dev.parent);
}

void ifref_parent_hold(struct device *parent)
{
	get_device(parent);
}

void ifref_parent_put(struct device *parent)
{
	put_device(parent);
}

const struct bus_type *ifref_parent_bus(const struct device *parent)
{
	return parent->bus;
}

/*
 * Under its lock. Whether the driver core has a file "unbind" for it: a bus has, but for some
 * drivers; a class has not, and nothing is removed when a driver is taken from a class's device.
 */
static bool releasable(const struct device *parent)
{
	return parent->bus && parent->driver && !parent->driver->suppress_bind_attrs;
}

bool ifref_parent_releasable(struct device *parent)
{
	bool is;

	/* Who has the lock binds or unbinds it; the release itself waits for that. */
	if (!device_trylock(parent))
		return true;
	is = releasable(parent);
	device_unlock(parent);
	return is;
}

void ifref_parent_release(struct device *parent)
{
	struct device *above = NULL;
	bool is;

	device_lock(parent);
	is = releasable(parent);
	/*
	 * As the driver core's own unbind: USB interfaces are under their device's lock. One that
	 * has a driver was not unplugged, so it keeps what is above it.
	 */
	if (is && parent->type && parent->type->need_parent_lock)
		above = get_device(parent->parent);
	device_unlock(parent);
	if (!is)
		return;
	if (above)
		device_lock(above);
	device_release_driver(parent);
	if (above)
		device_unlock(above);
	put_device(above);
}

void ifref_link_kind(const struct net_device *dev, char *buf, unsigned long size)
{
	strscpy(buf, dev->rtnl_link_ops ? dev->rtnl_link_ops->kind : "none", size);
}

/* linux/kernfs.h */

struct kernfs_node *ifref_node_get(const struct net_device *dev)
{
	struct kernfs_node *node = dev->dev.kobj.sd;

	kernfs_get(node);
	return node;
}

void ifref_node_put(struct kernfs_node *node)
{
	kernfs_put(node);
}

/* What the link @name of a folder leads to, with a reference; NULL if there is no such link. */
static struct kernfs_node *follow(struct kernfs_node *folder, const char *name)
{
	struct kernfs_node *link = kernfs_find_and_get(folder, name);
	struct kernfs_node *target = NULL;

	if (link && kernfs_type(link) == KERNFS_LINK)
		target = link->symlink.target_kn;
	kernfs_get(target);
	kernfs_put(link);
	return target;
}

bool ifref_node_bus_path(struct kernfs_node *node, char *buf, unsigned long size)
{
	struct kernfs_node *parent = follow(node, "device");
	struct kernfs_node *bus = parent ? follow(parent, "subsystem") : NULL;

	rcu_read_lock();
	if (parent)
		snprintf(buf, size, "%s/%s", bus ? rcu_dereference(bus->name) : "",
			 rcu_dereference(parent->name));
	rcu_read_unlock();
	kernfs_put(bus);
	kernfs_put(parent);
	return parent;
}

bool ifref_node_driver(struct kernfs_node *node, char *buf, unsigned long size)
{
	struct kernfs_node *parent = follow(node, "device");
	struct kernfs_node *driver = parent ? follow(parent, "driver") : NULL;

	rcu_read_lock();
	if (driver)
		strscpy(buf, rcu_dereference(driver->name), size);
	rcu_read_unlock();
	kernfs_put(driver);
	kernfs_put(parent);
	return driver;
}
