// SPDX-License-Identifier: GPL-2.0
/*
 * What the driver in Rust needs of C: parameters that work while the module is unloaded,
 * a stranger's reference, a link's kind, two CPUs at once.
 */
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/rtnetlink.h>
#include <linux/smp.h>
#include <net/rtnetlink.h>

#include "params.h"

static struct {
	struct net_device *dev;
	netdevice_tracker tracker;
} held[RIG_NICS];

/* As a link has it whose kind is registered. */
static void dellink(struct net_device *dev, struct list_head *head)
{
	unregister_netdevice_queue(dev, head);
}

static struct rtnl_link_ops link_ops = { .kind = "rig_rust", .dellink = dellink };

void rig_make_link(const char *name)
{
	struct net_device *dev;

	rtnl_lock();
	dev = __dev_get_by_name(&init_net, name);
	if (dev)
		dev->rtnl_link_ops = &link_ops;
	rtnl_unlock();
}

void rig_under_rtnl(void (*run)(void *ctx), void *ctx)
{
	rtnl_lock();
	run(ctx);
	rtnl_unlock();
}

void rig_on_each_cpu(void (*run)(void *ctx), void *ctx)
{
	on_each_cpu(run, ctx, true);
}

int rig_dev_hold(unsigned int at, const char *name)
{
	held[at].dev = netdev_get_by_name(&init_net, name, &held[at].tracker, GFP_KERNEL);
	return held[at].dev ? 0 : -ENODEV;
}

int rig_dev_put(unsigned int at)
{
	if (!held[at].dev)
		return -ENODEV;
	netdev_put(held[at].dev, &held[at].tracker);
	held[at].dev = NULL;
	return 0;
}

static int do_set(const char *val, const struct kernel_param *kp)
{
	unsigned int at;
	char name[16];
	int arg = 0;
	int err;

	if (sscanf(val, "%15s %u %d", name, &at, &arg) < 2 || at >= RIG_NICS)
		return -EINVAL;
	/* Commands may run side by side. */
	kernel_param_unlock(THIS_MODULE);
	err = rig_do(name, at, arg);
	kernel_param_lock(THIS_MODULE);
	return err;
}

static const struct kernel_param_ops do_ops = { .set = do_set };
module_param_cb(do, &do_ops, NULL, 0200);
MODULE_PARM_DESC(do, "A command");

static int state_get(char *page, const struct kernel_param *kp)
{
	int len = 0;

	for (unsigned int at = 0; at < RIG_NICS; at++)
		len += rig_state(at, page + len, PAGE_SIZE - len);
	return len;
}

static const struct kernel_param_ops state_ops = { .get = state_get };
module_param_cb(state, &state_ops, NULL, 0400);
MODULE_PARM_DESC(state, "A line for each NIC");
