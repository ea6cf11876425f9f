// SPDX-License-Identifier: GPL-2.0
/*
 * vnic_c: the smallest driver on ifref. It makes nics= virtual NICs that swallow what
 * they are sent; writing a number to the parameter pull pulls that one, as the interrupt
 * of a slot would. Unloading removes the rest, and waits until all are freed.
 *
 * What is missing here, compared with other drivers: unregister_netdev(), and every
 * thought about who may still use the device.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <ifref.h>
#include <linux/err.h>
#include <linux/etherdevice.h>
#include <linux/module.h>
#include <linux/netdevice.h>

#define MOST 1024

static unsigned int nics = 1;
module_param(nics, uint, 0444);
MODULE_PARM_DESC(nics, "How many NICs, at most 1024");

/* The softc, in netdev_priv(). */
struct vnic {
	struct net_device *dev;
	struct napi_struct napi;
};

static struct ifref_driver *driver;
static struct ifref_attachment *slots[MOST];

static netdev_tx_t vnic_start_xmit(struct sk_buff *skb, struct net_device *dev)
{
	dev_sw_netstats_tx_add(dev, 1, skb->len);
	dev_consume_skb_any(skb);
	return NETDEV_TX_OK;
}

static const struct net_device_ops vnic_netdev_ops = {
	.ndo_start_xmit = vnic_start_xmit,
	.ndo_set_mac_address = eth_mac_addr,
	.ndo_validate_addr = eth_validate_addr,
};

static int vnic_poll(struct napi_struct *napi, int budget)
{
	napi_complete_done(napi, 0);
	return 0;
}

/* Nothing reaches the driver any more. The grace period is the unregistration's. */
static void vnic_quiesce(void *softc)
{
	struct vnic *vnic = softc;

	__netif_napi_del(&vnic->napi);
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
	struct vnic *vnic;
	int err;

	if (!dev)
		return -ENOMEM;
	vnic = netdev_priv(dev);
	vnic->dev = dev;
	strscpy(dev->name, "vnic%d");
	dev->netdev_ops = &vnic_netdev_ops;
	dev->pcpu_stat_type = NETDEV_PCPU_STAT_TSTATS;
	eth_hw_addr_random(dev);
	netif_napi_add(dev, &vnic->napi, vnic_poll);

	*slot = ifref_attachment_new(driver, dev, vnic);
	err = PTR_ERR_OR_ZERO(*slot);
	if (!err)
		err = ifref_attach(*slot);
	if (!err)
		return 0;	/* the device is devd's */
	if (!IS_ERR(*slot))
		ifref_attachment_put(*slot);
	*slot = NULL;
	free_netdev(dev);
	return err;
}

static int pull_set(const char *val, const struct kernel_param *kp)
{
	unsigned int slot;
	int err = kstrtouint(val, 0, &slot);

	if (err)
		return err;
	if (slot >= MOST || !slots[slot])
		return -ENODEV;
	ifref_detach(slots[slot], IFREF_DETACH_GONE);
	return 0;
}

static const struct kernel_param_ops pull_ops = { .set = pull_set };
module_param_cb(pull, &pull_ops, NULL, 0200);
MODULE_PARM_DESC(pull, "Write to it which NIC to pull, from 0 on");

static void vnic_exit(void)
{
	unsigned int slot;

	ifref_driver_unregister(driver);
	for (slot = 0; slot < MOST; slot++)
		ifref_attachment_put(slots[slot]);
}

static int __init vnic_init(void)
{
	unsigned int slot;
	int err = 0;

	driver = ifref_driver_register("vnic_c", &vnic_ops);
	if (IS_ERR(driver))
		return PTR_ERR(driver);
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
