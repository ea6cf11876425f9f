// SPDX-License-Identifier: GPL-2.0
/*
 * A driver on ifref that does what the tests tell it, at the times that they want.
 *
 * Commands are written to the parameter do, "COMMAND NIC [ARGUMENT]"; the parameter state
 * has a line for each NIC. What a NIC's softc must not see is counted in it: it outlives
 * its free, in a table of the module.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <ifref.h>
#include <linux/delay.h>
#include <linux/device/faux.h>
#include <linux/err.h>
#include <linux/etherdevice.h>
#include <linux/hrtimer.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/rtnetlink.h>
#include <linux/rwsem.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <net/rtnetlink.h>

#define NICS 64

/* The mark of what is sent after a detach. */
#define AFTER 0xdead

/* What is known of a NIC, for longer than it exists. */
struct nic {
	struct ifref_attachment *attachment;
	struct net_device *dev;		/* until free */
	struct net_device *held;	/* by the command hold */
	netdevice_tracker tracker;
	bool apart;			/* the softc is not in netdev_priv() */
	bool no;
	unsigned int again_ms, ask_ms, quiesce_ms, open_ms, xmit_ms, free_ms, holds;
	int in_free;			/* the NIC to detach in free; itself: to wait for */
	int err, wait_err;
	atomic_t quiesced, freed, asked, sent, late, opened, in_detach, inside, early;
	struct task_struct *detacher;
	u64 detach_ns, begun, took_us;
	struct hrtimer timer;
};

/* The softc: poisoned when it is freed. */
struct softc {
	struct nic *nic;
	bool quiet;
};

static struct nic rig[NICS];
static struct ifref_driver *driver;	/* NULL: no commands */
static struct faux_device *parent;	/* of whose kind is 4 */
static DECLARE_RWSEM(commanding);

static struct softc *softc_of(struct net_device *dev)
{
	return *(struct softc **)netdev_priv(dev);
}

static netdev_tx_t rig_start_xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct softc *softc = softc_of(dev);

	/* It must not be quiet at the end, either. */
	mdelay(READ_ONCE(softc->nic->xmit_ms));
	if (READ_ONCE(softc->quiet) || skb->mark == AFTER)
		atomic_inc(&softc->nic->late);
	atomic_inc(&softc->nic->sent);
	dev_consume_skb_any(skb);
	return NETDEV_TX_OK;
}

static int rig_open(struct net_device *dev)
{
	struct softc *softc = softc_of(dev);

	atomic_inc(&softc->nic->opened);
	msleep(softc->nic->open_ms);
	if (READ_ONCE(softc->quiet))
		atomic_inc(&softc->nic->late);
	return 0;
}

static const struct net_device_ops rig_netdev_ops = {
	.ndo_open = rig_open,
	.ndo_start_xmit = rig_start_xmit,
};

/* As a link has it whose kind is registered. */
static void rig_dellink(struct net_device *dev, struct list_head *head)
{
	unregister_netdevice_queue(dev, head);
}

static struct rtnl_link_ops rig_link_ops = { .kind = "rig", .dellink = rig_dellink };

static bool rig_may_detach(void *arg, struct ifref_veto *veto)
{
	struct softc *softc = arg;
	struct nic *nic = softc->nic;
	/* What is wanted while it thinks it over is not in its answer. */
	bool no = READ_ONCE(nic->no);

	atomic_inc(&nic->asked);
	msleep(READ_ONCE(nic->ask_ms));
	if (READ_ONCE(softc->quiet))
		atomic_inc(&nic->late);
	if (!no)
		return true;
	strscpy(veto->reason, "firmware is being written");
	veto->again_ms = nic->again_ms;
	return false;
}

static void rig_quiesce(void *arg)
{
	struct softc *softc = arg;

	WRITE_ONCE(softc->quiet, true);
	msleep(softc->nic->quiesce_ms);
	atomic_inc(&softc->nic->quiesced);
}

static void rig_free(void *arg)
{
	struct softc *softc = arg;
	struct nic *nic = softc->nic;

	if (atomic_read(&nic->in_detach) && READ_ONCE(nic->detacher) == current)
		atomic_inc(&nic->inside);
	if (atomic_read(&nic->quiesced) != 1 || nic->holds)
		atomic_inc(&nic->early);
	msleep(nic->free_ms);
	if (nic->in_free >= 0 && &rig[nic->in_free] == nic)
		nic->wait_err = ifref_wait(nic->attachment);
	else if (nic->in_free >= 0)
		ifref_detach(rig[nic->in_free].attachment, IFREF_DETACH_GONE);
	free_netdev(nic->dev);
	if (nic->apart)
		kfree(softc);
	nic->dev = NULL;
	nic->took_us = (ktime_get_ns() - nic->begun) / 1000;
	atomic_inc(&nic->freed);
}

static const struct ifref_driver_ops rig_ops = {
	.may_detach = rig_may_detach,
	.quiesce = rig_quiesce,
	.free = rig_free,
};

static void detach(struct nic *nic, enum ifref_detach_reason reason)
{
	u64 begun = ktime_get_ns();

	nic->begun = begun;
	WRITE_ONCE(nic->detacher, in_task() ? current : NULL);
	atomic_inc(&nic->in_detach);
	ifref_detach(nic->attachment, reason);
	atomic_dec(&nic->in_detach);
	nic->detach_ns = ktime_get_ns() - begun;
}

static enum hrtimer_restart fire(struct hrtimer *timer)
{
	WARN_ON(!in_hardirq());
	detach(container_of(timer, struct nic, timer), IFREF_DETACH_GONE);
	return HRTIMER_NORESTART;
}

static int make(struct nic *nic, bool apart, bool link, bool child)
{
	struct net_device *dev = alloc_etherdev(sizeof(struct softc *) + sizeof(struct softc));
	struct softc *softc;

	if (!dev)
		return -ENOMEM;
	softc = apart ? kzalloc_obj(*softc, GFP_KERNEL) : netdev_priv(dev) + sizeof(struct softc *);
	if (!softc) {
		free_netdev(dev);
		return -ENOMEM;
	}
	*(struct softc **)netdev_priv(dev) = softc;
	memset(nic, 0, sizeof(*nic));
	hrtimer_setup(&nic->timer, fire, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);
	softc->nic = nic;
	nic->dev = dev;
	nic->apart = apart;
	nic->in_free = -1;
	snprintf(dev->name, IFNAMSIZ, "rig%d", (int)(nic - rig));
	dev->netdev_ops = &rig_netdev_ops;
	dev->lltx = true;
	if (link)
		dev->rtnl_link_ops = &rig_link_ops;
	if (child)
		SET_NETDEV_DEV(dev, &parent->dev);
	eth_hw_addr_random(dev);
	nic->attachment = ifref_attachment_new(driver, dev, softc);
	return PTR_ERR_OR_ZERO(nic->attachment);
}

static void attach(struct nic *nic)
{
	nic->err = ifref_attach(nic->attachment);
	if (nic->err && nic->err != -EDEADLK && nic->dev) {
		if (nic->apart)
			kfree(softc_of(nic->dev));
		free_netdev(nic->dev);
		nic->dev = NULL;
	}
}

static void gone_here(void *arg)
{
	detach(arg, IFREF_DETACH_GONE);
}

static int attach_in_thread(void *arg)
{
	attach(arg);
	return 0;
}

static int do_make(struct nic *nic, int arg)
{
	if (!IS_ERR_OR_NULL(nic->attachment)) {
		/* It may have been freed before its interrupt came. */
		hrtimer_cancel(&nic->timer);
		ifref_attachment_put(nic->attachment);
	}
	return make(nic, arg & 1, arg & 2, arg & 4);
}

static int do_attach(struct nic *nic, int arg)
{
	attach(nic);
	return 0;
}

static int do_attach_rtnl(struct nic *nic, int arg)
{
	rtnl_lock();
	nic->err = ifref_attach(nic->attachment);
	rtnl_unlock();
	return 0;
}

/* Detach during attach. */
static int do_race(struct nic *nic, int arg)
{
	struct task_struct *thread = kthread_run(attach_in_thread, nic, "rig");

	if (IS_ERR(thread))
		return PTR_ERR(thread);
	udelay(arg);
	detach(nic, IFREF_DETACH_GONE);
	return 0;
}

static int do_gone(struct nic *nic, int arg)
{
	detach(nic, IFREF_DETACH_GONE);
	return 0;
}

static int do_irq(struct nic *nic, int arg)
{
	hrtimer_start(&nic->timer, us_to_ktime(arg), HRTIMER_MODE_REL_HARD);
	return 0;
}

static int do_twice(struct nic *nic, int arg)
{
	on_each_cpu(gone_here, nic, true);
	return 0;
}

/* Every NIC from this one to arg, at once. */
static int do_range(struct nic *nic, int arg)
{
	for (; nic <= &rig[arg]; nic++)
		detach(nic, IFREF_DETACH_GONE);
	return 0;
}

static int do_orderly(struct nic *nic, int arg)
{
	detach(nic, IFREF_DETACH_ORDERLY);
	return 0;
}

static int do_wait(struct nic *nic, int arg)
{
	nic->wait_err = ifref_wait(nic->attachment);
	return 0;
}

static int do_wait_rtnl(struct nic *nic, int arg)
{
	rtnl_lock();
	nic->wait_err = ifref_wait(nic->attachment);
	rtnl_unlock();
	return 0;
}

static int do_hold_softc(struct nic *nic, int arg)
{
	if (!ifref_hold_softc(nic->attachment))
		return -ENODEV;
	nic->holds++;
	return 0;
}

static int do_release_softc(struct nic *nic, int arg)
{
	nic->holds--;
	ifref_release_softc(nic->attachment);
	return 0;
}

static int do_dev_hold(struct nic *nic, int arg)
{
	netdev_hold(nic->dev, &nic->tracker, GFP_KERNEL);
	nic->held = nic->dev;
	return 0;
}

static int do_dev_put(struct nic *nic, int arg)
{
	if (!nic->held)
		return -ENODEV;
	netdev_put(nic->held, &nic->tracker);
	nic->held = NULL;
	return 0;
}

#define KNOB(knob)						\
	static int do_##knob(struct nic *nic, int arg)		\
	{							\
		WRITE_ONCE(nic->knob, arg);			\
		return 0;					\
	}

KNOB(no)
KNOB(again_ms)
KNOB(ask_ms)
KNOB(quiesce_ms)
KNOB(open_ms)
KNOB(free_ms)
KNOB(in_free)
KNOB(xmit_ms)

/* Sends as soon as the detach has returned, with RTNL: devd has not unlinked it by then. */
static int do_gone_and_sent(struct nic *nic, int arg)
{
	struct sk_buff *skb = alloc_skb(ETH_ZLEN, GFP_KERNEL);

	if (!skb)
		return -ENOMEM;
	skb_put_zero(skb, ETH_ZLEN);
	skb->mark = AFTER;
	rtnl_lock();
	skb->dev = nic->dev;
	detach(nic, IFREF_DETACH_GONE);
	dev_queue_xmit(skb);
	rtnl_unlock();
	return 0;
}

static const struct {
	const char *name;
	int (*run)(struct nic *nic, int arg);
} commands[] = {
#define COMMAND(command) { #command, do_##command }
	COMMAND(make), COMMAND(attach), COMMAND(attach_rtnl), COMMAND(race), COMMAND(gone),
	COMMAND(irq), COMMAND(twice), COMMAND(range), COMMAND(orderly), COMMAND(wait),
	COMMAND(wait_rtnl), COMMAND(hold_softc), COMMAND(release_softc), COMMAND(dev_hold),
	COMMAND(dev_put), COMMAND(no), COMMAND(again_ms), COMMAND(ask_ms), COMMAND(quiesce_ms),
	COMMAND(open_ms), COMMAND(free_ms), COMMAND(in_free), COMMAND(xmit_ms),
	COMMAND(gone_and_sent),
};

static int run(const char *name, unsigned int at, int arg)
{
	unsigned int i;

	if (!driver)
		return -EAGAIN;
	for (i = 0; i < ARRAY_SIZE(commands); i++) {
		if (strcmp(name, commands[i].name))
			continue;
		if (commands[i].run != do_make && IS_ERR_OR_NULL(rig[at].attachment))
			return -ENODEV;
		return commands[i].run(&rig[at], arg);
	}
	return -EINVAL;
}

static int do_set(const char *val, const struct kernel_param *kp)
{
	unsigned int at;
	char name[16];
	int arg = 0;
	int err;

	if (sscanf(val, "%15s %u %d", name, &at, &arg) < 2 || at >= NICS)
		return -EINVAL;
	/* Commands may run side by side. */
	kernel_param_unlock(THIS_MODULE);
	down_read(&commanding);
	err = run(name, at, arg);
	up_read(&commanding);
	kernel_param_lock(THIS_MODULE);
	return err;
}

static const struct kernel_param_ops do_ops = { .set = do_set };
module_param_cb(do, &do_ops, NULL, 0200);
MODULE_PARM_DESC(do, "A command");

static int state_get(char *page, const struct kernel_param *kp)
{
	int len = 0;

	for (struct nic *nic = rig; nic < rig + NICS; nic++)
		if (!IS_ERR_OR_NULL(nic->attachment))
			len += sysfs_emit_at(page, len,
					     "%d err=%d wait=%d asked=%d quiesced=%d freed=%d sent=%d late=%d opened=%d inside=%d early=%d ns=%llu took=%llu\n",
					     (int)(nic - rig), nic->err, nic->wait_err,
					     atomic_read(&nic->asked), atomic_read(&nic->quiesced),
					     atomic_read(&nic->freed), atomic_read(&nic->sent),
					     atomic_read(&nic->late), atomic_read(&nic->opened),
					     atomic_read(&nic->inside), atomic_read(&nic->early),
					     nic->detach_ns, nic->took_us);
	return len;
}

static const struct kernel_param_ops state_ops = { .get = state_get };
module_param_cb(state, &state_ops, NULL, 0400);
MODULE_PARM_DESC(state, "A line for each NIC");

static bool forget;
module_param(forget, bool, 0400);
MODULE_PARM_DESC(forget, "Unload without putting the attachments, as a faulty driver would");

static int __init rig_init(void)
{
	struct ifref_driver *made;

	parent = faux_device_create("rig", NULL, NULL);
	if (!parent)
		return -ENODEV;
	made = ifref_driver_register("rig", &rig_ops);
	if (IS_ERR(made)) {
		faux_device_destroy(parent);
		return PTR_ERR(made);
	}
	driver = made;
	return 0;
}

static void __exit rig_exit(void)
{
	unsigned int freed = 0, attached = 0;
	struct nic *nic;

	WARN_ON(ifref_driver_unregister(driver));
	down_write(&commanding);
	driver = NULL;
	up_write(&commanding);
	for (nic = rig; nic < rig + NICS; nic++) {
		if (IS_ERR_OR_NULL(nic->attachment))
			continue;
		hrtimer_cancel(&nic->timer);
		attached++;
		freed += atomic_read(&nic->freed);
		if (nic->dev && !nic->err) {
			/* It was made, and not attached. */
			if (nic->apart)
				kfree(softc_of(nic->dev));
			free_netdev(nic->dev);
		}
		if (!forget)
			ifref_attachment_put(nic->attachment);
	}
	faux_device_destroy(parent);
	pr_info("unloaded: %u attached, %u freed\n", attached, freed);
}

module_init(rig_init);
module_exit(rig_exit);
MODULE_AUTHOR("The ifref developers");
MODULE_DESCRIPTION("ifref test: a driver that does what it is told");
MODULE_LICENSE("GPL");
