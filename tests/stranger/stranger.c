// SPDX-License-Identifier: GPL-2.0
/*
 * A stranger to ifref with a notifier of its own, which delays an open or refuses a
 * registration, and says how many references the kernel counts: of the interface that
 * is called name.
 */
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <net/net_namespace.h>

static char name[IFNAMSIZ];
module_param_string(name, name, sizeof(name), 0600);
MODULE_PARM_DESC(name, "The interface");

static unsigned int pre_up_ms;
module_param(pre_up_ms, uint, 0600);
MODULE_PARM_DESC(pre_up_ms, "How long an open is delayed once the device was found present");

static bool refuse;
module_param(refuse, bool, 0600);
MODULE_PARM_DESC(refuse, "Whether its registration is refused");

static atomic_t opening = ATOMIC_INIT(0);

static int opening_get(char *page, const struct kernel_param *kp)
{
	return sysfs_emit(page, "%d\n", atomic_read(&opening));
}

static const struct kernel_param_ops opening_ops = { .get = opening_get };
module_param_cb(opening, &opening_ops, NULL, 0400);
MODULE_PARM_DESC(opening, "How many opens have been delayed, or are");

static int references_get(char *page, const struct kernel_param *kp)
{
	struct net_device *dev;
	int references = -1;

	rcu_read_lock();
	dev = dev_get_by_name_rcu(&init_net, name);
	if (dev)
		references = netdev_refcnt_read(dev);
	rcu_read_unlock();
	return sysfs_emit(page, "%d\n", references);
}

static const struct kernel_param_ops references_ops = { .get = references_get };
module_param_cb(references, &references_ops, NULL, 0400);
MODULE_PARM_DESC(references, "All references to it, or -1");

static int stranger_event(struct notifier_block *nb, unsigned long event, void *ptr)
{
	struct net_device *dev = netdev_notifier_info_to_dev(ptr);

	if (strcmp(dev->name, name))
		return NOTIFY_DONE;
	if (event == NETDEV_REGISTER && refuse)
		return notifier_from_errno(-EPERM);
	if (event == NETDEV_PRE_UP && pre_up_ms) {
		atomic_inc(&opening);
		msleep(pre_up_ms);
	}
	return NOTIFY_DONE;
}

static struct notifier_block stranger = { .notifier_call = stranger_event };

static int __init stranger_init(void)
{
	return register_netdevice_notifier(&stranger);
}

static void __exit stranger_exit(void)
{
	unregister_netdevice_notifier(&stranger);
}

module_init(stranger_init);
module_exit(stranger_exit);
MODULE_AUTHOR("The ifref developers");
MODULE_DESCRIPTION("ifref test: another notifier");
MODULE_LICENSE("GPL");
