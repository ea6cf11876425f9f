// SPDX-License-Identifier: GPL-2.0
/*
 * vnic_c: the smallest driver on ifref, in C. It makes nics= virtual NICs, each a loop: it
 * receives what it sends.
 *
 * A number that is written to the parameter pull pulls that one, and to pull_in_irq has a
 * timer do it, as the interrupt of a slot would. Unloading removes the rest, and waits
 * until all are freed.
 *
 * What is missing here, compared with other drivers: unregister_netdev(), and every
 * thought about who may still use the device. samples/vnic is the same in Rust.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <ifref.h>
#include <linux/err.h>
#include <linux/etherdevice.h>
#include <linux/hrtimer.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/skbuff.h>

#define MOST 1024

/* The most packets that are on their way round. */
#define RING 256

/* How often the timer looks whether one is to be pulled. */
#define TIMER_MS 10

static unsigned int nics = 1;
module_param(nics, uint, 0444);
MODULE_PARM_DESC(nics, "How many NICs, at most 1024");

static unsigned int pull_in_irq = UINT_MAX;
module_param(pull_in_irq, uint, 0600);
MODULE_PARM_DESC(pull_in_irq, "Write to it which NIC an interrupt is to pull");

/* The softc, in netdev_priv(). */
struct vnic {
	struct net_device *dev;
	struct napi_struct napi;
	struct sk_buff_head ring;
};

static struct ifref_driver *driver;
static struct ifref_attachment *slots[MOST];
static struct hrtimer interrupt;

static int vnic_open(struct net_device *dev)
{
	struct vnic *vnic = netdev_priv(dev);

	netif_start_queue(dev);
	napi_enable(&vnic->napi);
	return 0;
}

static int vnic_stop(struct net_device *dev)
{
	struct vnic *vnic = netdev_priv(dev);

	napi_disable(&vnic->napi);
	return 0;
}

/* Here, because the core waits for a grace period after it: free_netdev() needs none. */
static void vnic_uninit(struct net_device *dev)
{
	struct vnic *vnic = netdev_priv(dev);

	__netif_napi_del(&vnic->napi);
}

static netdev_tx_t vnic_start_xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct vnic *vnic = netdev_priv(dev);

	dev_sw_netstats_tx_add(dev, 1, skb->len);
	skb_queue_tail(&vnic->ring, skb);
	if (skb_queue_len_lockless(&vnic->ring) >= RING)
		netif_stop_queue(dev);
	/* After that: a poll comes that wakes the queue. */
	napi_schedule(&vnic->napi);
	return NETDEV_TX_OK;
}

static const struct net_device_ops vnic_netdev_ops = {
	.ndo_open = vnic_open,
	.ndo_stop = vnic_stop,
	.ndo_uninit = vnic_uninit,
	.ndo_start_xmit = vnic_start_xmit,
	.ndo_set_mac_address = eth_mac_addr,
	.ndo_validate_addr = eth_validate_addr,
};

static void vnic_receive(struct vnic *vnic, struct sk_buff *skb)
{
	if (!pskb_may_pull(skb, ETH_HLEN)) {
		dev_core_stats_rx_dropped_inc(vnic->dev);
		dev_kfree_skb_any(skb);
		return;
	}
	dev_sw_netstats_rx_add(vnic->dev, skb->len);
	/* Nothing is left of its way out. */
	skb_orphan(skb);
	skb_scrub_packet(skb, true);
	skb_forward_csum(skb);
	skb->protocol = eth_type_trans(skb, vnic->dev);
	/* What is merged takes the data for its own. */
	if (skb_cloned(skb))
		netif_receive_skb(skb);
	else
		napi_gro_receive(&vnic->napi, skb);
}

static int vnic_poll(struct napi_struct *napi, int budget)
{
	struct vnic *vnic = container_of(napi, struct vnic, napi);
	struct sk_buff *skb;
	int done;

	for (done = 0; done < budget; done++) {
		skb = skb_dequeue(&vnic->ring);
		if (!skb)
			break;
		vnic_receive(vnic, skb);
	}
	netif_wake_queue(vnic->dev);
	if (done < budget)
		napi_complete_done(napi, done);
	return done;
}

/* Nothing reaches the driver from here on. */
static void vnic_quiesce(void *softc)
{
	struct vnic *vnic = softc;

	skb_queue_purge(&vnic->ring);
}

/* Nothing refers to the device any more. */
static void vnic_free(void *softc)
{
	struct vnic *vnic = softc;

	free_netdev(vnic->dev);
}

static const struct ifref_driver_ops vnic_ops = {
	.quiesce = vnic_quiesce,
	.free = vnic_free,
};

static int vnic_probe(struct ifref_attachment **slot)
{
	struct net_device *dev = alloc_etherdev(sizeof(struct vnic));
	struct ifref_attachment *attachment;
	struct vnic *vnic;
	int err;

	if (!dev)
		return -ENOMEM;
	vnic = netdev_priv(dev);
	vnic->dev = dev;
	skb_queue_head_init(&vnic->ring);
	strscpy(dev->name, "vnic%d");
	dev->netdev_ops = &vnic_netdev_ops;
	dev->pcpu_stat_type = NETDEV_PCPU_STAT_TSTATS;
	/* It keeps what it is sent. */
	dev->priv_flags &= ~IFF_TX_SKB_SHARING;
	eth_hw_addr_random(dev);
	netif_napi_add(dev, &vnic->napi, vnic_poll);

	attachment = ifref_attachment_new(driver, dev, vnic);
	err = PTR_ERR_OR_ZERO(attachment);
	if (!err) {
		err = ifref_attach(attachment);
		if (!err) {
			*slot = attachment;	/* the device is devd's */
			return 0;
		}
		ifref_attachment_put(attachment);
	}
	free_netdev(dev);
	return err;
}

static int pull(unsigned int slot)
{
	if (slot >= MOST || !slots[slot])
		return -ENODEV;
	ifref_detach(slots[slot], IFREF_DETACH_GONE);
	return 0;
}

static int pull_set(const char *val, const struct kernel_param *kp)
{
	unsigned int slot;
	int err = kstrtouint(val, 0, &slot);

	return err ?: pull(slot);
}

static const struct kernel_param_ops pull_ops = { .set = pull_set };
module_param_cb(pull, &pull_ops, NULL, 0200);
MODULE_PARM_DESC(pull, "Write to it which NIC to pull, from 0 on");

static enum hrtimer_restart vnic_interrupt(struct hrtimer *timer)
{
	pull(xchg(&pull_in_irq, UINT_MAX));
	hrtimer_forward_now(timer, ms_to_ktime(TIMER_MS));
	return HRTIMER_RESTART;
}

static void vnic_exit(void)
{
	unsigned int slot;

	hrtimer_cancel(&interrupt);
	WARN_ON(ifref_driver_unregister(driver));
	/* The parameters go after this. */
	kernel_param_lock(THIS_MODULE);
	for (slot = 0; slot < MOST; slot++) {
		ifref_attachment_put(slots[slot]);
		slots[slot] = NULL;
	}
	kernel_param_unlock(THIS_MODULE);
}

static int __init vnic_init(void)
{
	unsigned int slot;
	int err = 0;

	driver = ifref_driver_register("vnic_c", &vnic_ops);
	if (IS_ERR(driver))
		return PTR_ERR(driver);
	hrtimer_setup(&interrupt, vnic_interrupt, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);
	hrtimer_start(&interrupt, ms_to_ktime(TIMER_MS), HRTIMER_MODE_REL_HARD);
	for (slot = 0; slot < min(nics, MOST) && !err; slot++)
		err = vnic_probe(&slots[slot]);
	if (err)
		vnic_exit();
	return err;
}

static void __exit vnic_unload(void)
{
	vnic_exit();
}

module_init(vnic_init);
module_exit(vnic_unload);
MODULE_AUTHOR("The ifref developers");
MODULE_DESCRIPTION("ifref sample: the smallest driver");
MODULE_LICENSE("GPL");
