// SPDX-License-Identifier: GPL-2.0
/*
 * What a packet costs on its way through an interface: out, and back if that is a loop.
 *
 * Writing an interface's name to the parameter run sends packets to its own address, with
 * bottom halves off, and then lets the softirq run. What each of the two took, by the time
 * stamp counter, is in tx_cycles and rx_cycles, how many were sent in packets.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/etherdevice.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/skbuff.h>
#include <linux/timex.h>
#include <net/net_namespace.h>

/* Less than one poll takes. */
#define PACKETS 32
#define BYTES 1000

static unsigned long tx_cycles, rx_cycles;
module_param(tx_cycles, ulong, 0444);
MODULE_PARM_DESC(tx_cycles, "What sending them cost in the last run");
module_param(rx_cycles, ulong, 0444);
MODULE_PARM_DESC(rx_cycles, "What the softirq after that cost");

static unsigned int packets;
module_param(packets, uint, 0444);
MODULE_PARM_DESC(packets, "How many were sent in the last run");

static struct sk_buff *make(struct net_device *dev)
{
	unsigned int headroom = LL_RESERVED_SPACE(dev);
	struct sk_buff *skb = alloc_skb(headroom + BYTES, GFP_KERNEL);

	if (!skb)
		return NULL;
	skb_reserve(skb, headroom);
	skb_reset_network_header(skb);
	skb_put_zero(skb, BYTES - ETH_HLEN);
	skb->dev = dev;
	/* For experiments: nobody listens. */
	skb->protocol = htons(ETH_P_802_EX1);
	dev_hard_header(skb, dev, ETH_P_802_EX1, dev->dev_addr, dev->dev_addr, skb->len);
	return skb;
}

static void measure(struct sk_buff_head *queue)
{
	struct sk_buff *skb;
	u64 begun, sent;

	packets = 0;
	preempt_disable();
	local_bh_disable();
	begun = get_cycles();
	while ((skb = __skb_dequeue(queue)))
		packets += !dev_queue_xmit(skb);
	sent = get_cycles();
	local_bh_enable();
	rx_cycles = get_cycles() - sent;
	tx_cycles = sent - begun;
	preempt_enable();
}

static int run(struct net_device *dev)
{
	struct sk_buff_head queue;
	struct sk_buff *skb;

	__skb_queue_head_init(&queue);
	while (skb_queue_len(&queue) < PACKETS) {
		skb = make(dev);
		if (!skb) {
			__skb_queue_purge(&queue);
			return -ENOMEM;
		}
		__skb_queue_tail(&queue, skb);
	}
	measure(&queue);
	return packets == PACKETS ? 0 : -EIO;
}

static int run_set(const char *val, const struct kernel_param *kp)
{
	struct net_device *dev;
	char name[IFNAMSIZ];
	int err;

	if (sscanf(val, "%15s", name) != 1)
		return -EINVAL;
	dev = dev_get_by_name(&init_net, name);
	if (!dev)
		return -ENODEV;
	err = run(dev);
	dev_put(dev);
	return err;
}

static const struct kernel_param_ops run_ops = { .set = run_set };
module_param_cb(run, &run_ops, NULL, 0200);
MODULE_PARM_DESC(run, "By which interface to send");

MODULE_AUTHOR("The ifref developers");
MODULE_DESCRIPTION("ifref test: what a packet costs");
MODULE_LICENSE("GPL");
