// SPDX-License-Identifier: GPL-2.0
/*
 * What usbnet.cocci adds to usbnet as a file of its own: each minidriver is a driver of
 * ifref's, and what is left of an interface when nothing refers to it any more.
 */
#include <ifref.h>
#include <linux/cleanup.h>
#include <linux/err.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/netdevice.h>
#include <linux/slab.h>
#include <linux/usb.h>
#include <linux/usb/usbnet.h>

struct minidriver {
	struct list_head list;
	struct usb_driver *usb;
	struct module *owner;
	struct ifref_driver *ifref;
};

static LIST_HEAD(minidrivers);
static DEFINE_MUTEX(minidrivers_mutex);

/* Was the end of usbnet_disconnect(). */
static void usbnet_free(void *softc)
{
	struct usbnet *dev = softc;

	/* What did not see in time that it is going may have queued some more. */
	cancel_work_sync(&dev->bh_work);
	timer_delete_sync(&dev->delay);
	cancel_work_sync(&dev->kevent);
	usb_free_urb(dev->interrupt);
	kfree(dev->padding_pkt);
	ifref_attachment_put(dev->attachment);
	usb_put_intf(dev->intf);
	usb_put_dev(dev->udev);
	free_netdev(dev->net);
}

static const struct ifref_driver_ops usbnet_ops = { .free = usbnet_free };

static struct minidriver *find(const struct usb_driver *usb)
{
	struct minidriver *one;

	lockdep_assert_held(&minidrivers_mutex);
	list_for_each_entry(one, &minidrivers, list)
		if (one->usb == usb)
			return one;
	return NULL;
}

/*
 * Was register_netdev(). What usbnet_free() gives back is taken here; it waits for
 * usbnet_disconnect(), whatever else removes the interface.
 */
int usbnet_attach(struct usbnet *dev, const struct usb_driver *usb)
{
	struct ifref_driver *driver = NULL;
	struct minidriver *one;
	int err;

	scoped_guard(mutex, &minidrivers_mutex) {
		one = find(usb);
		if (one)
			driver = one->ifref;
	}
	dev->attachment = ifref_attachment_new(driver, dev->net, dev);
	if (IS_ERR(dev->attachment))
		return PTR_ERR(dev->attachment);
	usb_get_dev(dev->udev);
	usb_get_intf(dev->intf);
	err = ifref_attach(dev->attachment);
	if (!err) {
		/* Nobody else detaches it while probe has the device's lock. */
		WARN_ON_ONCE(!ifref_hold_softc(dev->attachment));
		return 0;
	}
	usb_put_intf(dev->intf);
	usb_put_dev(dev->udev);
	ifref_attachment_put(dev->attachment);
	return err;
}

/* Was unregister_netdev(). Nothing that is sent or opened from here on comes. */
void usbnet_detach(struct usbnet *dev)
{
	ifref_detach(dev->attachment, IFREF_DETACH_GONE);
}

/* Instead of usb_register_driver(). */
int usbnet_register_driver(struct usb_driver *usb, struct module *owner, const char *name)
{
	struct minidriver *one __free(kfree) = kzalloc_obj(*one, GFP_KERNEL);
	int err;

	if (!one)
		return -ENOMEM;
	one->usb = usb;
	one->owner = owner;
	/* The code is usbnet's; who has to unregister it is the minidriver. */
	one->ifref = __ifref_driver_register(owner, name, &usbnet_ops);
	if (IS_ERR(one->ifref))
		return PTR_ERR(one->ifref);
	scoped_guard(mutex, &minidrivers_mutex)
		list_add(&one->list, &minidrivers);
	err = usb_register_driver(usb, owner, name);
	if (!err) {
		retain_and_null_ptr(one);
		return 0;
	}
	scoped_guard(mutex, &minidrivers_mutex)
		list_del(&one->list);
	WARN_ON(__ifref_driver_unregister(owner, one->ifref));
	return err;
}
EXPORT_SYMBOL_GPL(usbnet_register_driver);

/* Instead of usb_deregister(): all is disconnected, and then all is waited for. */
void usbnet_deregister(struct usb_driver *usb)
{
	struct minidriver *one;

	usb_deregister(usb);
	scoped_guard(mutex, &minidrivers_mutex) {
		one = find(usb);
		list_del(&one->list);
	}
	WARN_ON(__ifref_driver_unregister(one->owner, one->ifref));
	kfree(one);
}
EXPORT_SYMBOL_GPL(usbnet_deregister);
