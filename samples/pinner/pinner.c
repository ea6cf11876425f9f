// SPDX-License-Identifier: GPL-2.0
/*
 * pinner: holds one interface for a while, in one of four ways.
 *
 * Writing to the parameter pin holds the interface ifname= for seconds= seconds:
 *
 *   mode=dev_hold   by dev_hold(), as modules do without ifref: its removal waits,
 *                   and the kernel cannot say for whom;
 *   mode=reference  by a reference: its removal does not wait, and the reference is
 *                   refused afterwards;
 *   mode=enter      by a use that may sleep: its removal waits, and ifref says for whom;
 *   mode=leave      by a use that is told when the interface goes, and leaves at once.
 *
 * Reading pin follows the reference and tells what it leads to. Policy for a refused
 * follow: report. The reference is dropped in the same step, and pin tells why.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <ifref.h>
#include <linux/completion.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/netdevice.h>
#include <linux/rcupdate.h>
#include <linux/string.h>
#include <linux/workqueue.h>
#include <net/net_namespace.h>

static char ifname[IFNAMSIZ + 1];	/* with the newline that echo adds */
module_param_string(ifname, ifname, sizeof(ifname), 0644);
MODULE_PARM_DESC(ifname, "The interface, in the initial namespace");

static char mode[16] = "reference";
module_param_string(mode, mode, sizeof(mode), 0644);
MODULE_PARM_DESC(mode, "dev_hold, reference, enter or leave");

static unsigned int seconds = 10;
module_param(seconds, uint, 0644);
MODULE_PARM_DESC(seconds, "For how long");

static bool forget;
module_param(forget, bool, 0644);
MODULE_PARM_DESC(forget, "Unload without putting the reference, as a faulty module would");

static DEFINE_MUTEX(lock);	/* what is held */
static struct ifref_holder *holder;
static struct net_device *held_dev;
static struct ifref *ref;
static struct ifref_entered *entered;
static int refused;

static DECLARE_COMPLETION(gone);

static void release(struct work_struct *work)
{
	mutex_lock(&lock);
	dev_put(held_dev);
	ifref_exit(entered);
	ifref_put(ref);
	held_dev = NULL;
	entered = NULL;
	ref = NULL;
	mutex_unlock(&lock);
}

static DECLARE_DELAYED_WORK(releasing, release);

/* What it does here takes long, and is over when the interface goes. */
static void use(struct work_struct *work)
{
	wait_for_completion_timeout(&gone, seconds * HZ);
	release(work);
}

static DECLARE_WORK(using, use);

static int hold(void)
{
	const char *name = strim(ifname);
	bool enters, leaves;

	if (!holder)	/* set while the module is being loaded */
		return -EAGAIN;
	if (held_dev || ref || entered)
		return -EBUSY;
	if (sysfs_streq(mode, "dev_hold")) {
		held_dev = dev_get_by_name(&init_net, name);
		return held_dev ? 0 : -ENOENT;
	}
	leaves = sysfs_streq(mode, "leave");
	enters = leaves || sysfs_streq(mode, "enter");
	if (!enters && !sysfs_streq(mode, "reference"))
		return -EINVAL;
	refused = 0;
	ref = ifref_get_by_name(holder, &init_net, name, GFP_KERNEL);
	if (IS_ERR(ref)) {
		int err = PTR_ERR(ref);

		ref = NULL;
		return err;
	}
	if (enters) {
		reinit_completion(&gone);
		entered = leaves ? ifref_enter_until(ref, &gone) : ifref_enter(ref);
		if (IS_ERR(entered)) {
			int err = PTR_ERR(entered);

			entered = NULL;
			ifref_put(ref);
			ref = NULL;
			return err;
		}
	}
	return 0;
}

static int pin_set(const char *val, const struct kernel_param *kp)
{
	int err;

	mutex_lock(&lock);
	err = hold();
	if (!err && sysfs_streq(mode, "leave"))
		schedule_work(&using);
	else if (!err)
		mod_delayed_work(system_dfl_wq, &releasing, seconds * HZ);
	mutex_unlock(&lock);
	return err;
}

static int pin_get(char *page, const struct kernel_param *kp)
{
	const struct ifref_live *live = NULL;
	char name[IFNAMSIZ];
	int len;

	mutex_lock(&lock);
	if (ref) {
		rcu_read_lock();
		live = ifref_follow_or_put(&ref, &refused);
		if (live)
			ifref_live_name(live, name);
		rcu_read_unlock();
	}
	if (live)
		len = sysfs_emit(page, "%s\n", name);
	else if (held_dev)
		len = sysfs_emit(page, "held\n");
	else if (refused)
		len = sysfs_emit(page, "refused: %pe\n", ERR_PTR(refused));
	else
		len = sysfs_emit(page, "idle\n");
	mutex_unlock(&lock);
	return len;
}

static const struct kernel_param_ops pin_ops = { .set = pin_set, .get = pin_get };
module_param_cb(pin, &pin_ops, NULL, 0600);
MODULE_PARM_DESC(pin, "Write to it to hold the interface; read it to follow the reference");

static int __init pinner_init(void)
{
	holder = ifref_holder_register("pinner");
	return PTR_ERR_OR_ZERO(holder);
}

static void __exit pinner_exit(void)
{
	cancel_delayed_work_sync(&releasing);
	complete_all(&gone);
	cancel_work_sync(&using);
	if (!forget)
		release(NULL);
	WARN_ON(ifref_holder_unregister(holder));
}

module_init(pinner_init);
module_exit(pinner_exit);
MODULE_AUTHOR("The ifref developers");
MODULE_DESCRIPTION("ifref sample: one interface, held in four ways");
MODULE_LICENSE("GPL");
