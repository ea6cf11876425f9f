// SPDX-License-Identifier: GPL-2.0
//
// usbnet and its minidriver cdc_ether as drivers on ifref, which only submit: in
// usbnet_disconnect() stays what touches the USB interface; the rest is done when nothing
// refers to the network interface any more, in usbnet_ifref.c. Documentation/usbnet.rst
// tells what a reviewer looks at.

virtual usbnet
virtual header
virtual minidriver

// ---- the header: what usbnet keeps of ifref's

@depends on header@
@@
 struct usbnet {
 ...
+	/* ifref: the interface, and one who opens or stops it at a time */
+	struct ifref_attachment	*attachment;
+	struct mutex		open_mutex;
 };
+
+int usbnet_attach(struct usbnet *dev, const struct usb_driver *usb);
+void usbnet_detach(struct usbnet *dev);
+int usbnet_register_driver(struct usb_driver *usb, struct module *owner, const char *name);
+void usbnet_deregister(struct usb_driver *usb);
+
+/* Instead of usb_register(). */
+static inline int usbnet_register(struct usb_driver *usb)
+{
+	return usbnet_register_driver(usb, THIS_MODULE, KBUILD_MODNAME);
+}

// ---- a minidriver: one line

@depends on minidriver@
declarer name module_usb_driver;
declarer name module_driver;
identifier driver;
@@
-module_usb_driver(driver);
+module_driver(driver, usbnet_register, usbnet_deregister);

// ---- usbnet: one opens or stops at a time, and none opens what is going

@depends on usbnet@
identifier retval, dev;
statement S;
@@
 int usbnet_open(...)
 {
 ... when != usb_autopm_get_interface(...)
+	/* Before usbnet_disconnect() stops it, or not at all. */
+	guard(mutex)(&dev->open_mutex);
+	if (usbnet_going_away(dev))
+		return -ENODEV;
 	if ((retval = usb_autopm_get_interface(dev->intf)) < 0) S
 ... when any
 }

@depends on usbnet@
identifier dev;
@@
 int usbnet_stop(...)
 {
 ...
-	clear_bit(EVENT_DEV_OPEN, &dev->flags);
+	guard(mutex)(&dev->open_mutex);
+	/* It may have been stopped by usbnet_disconnect(). */
+	if (!test_and_clear_bit(EVENT_DEV_OPEN, &dev->flags))
+		return 0;
 ...
-	dev->flags = 0;
+	/* What goes away does so once and for all. */
+	dev->flags &= BIT(EVENT_UNPLUG);
 ... when any
 }

// ---- what is going sends nothing, not even if it was on its way here before

@depends on usbnet@
identifier net, dev;
statement S;
@@
 usbnet_start_xmit(..., struct net_device *net)
 {
 ...
 struct usbnet *dev = netdev_priv(net);
 ...
-	if (netif_queue_stopped(net))
+	if (netif_queue_stopped(net) || usbnet_going_away(dev))
 		S
 ... when any
 }

// ---- disconnect: submit, then see to the interface; what is left is for free

@depends on usbnet@
identifier intf, net, dev;
@@
 void usbnet_disconnect(struct usb_interface *intf)
 {
 ...
-	unregister_netdev(net);
+	usbnet_detach(dev);
+	netif_device_detach(net);
+	/* Once more: a usbnet_stop() may have been writing all flags. */
+	mutex_lock(&dev->open_mutex);
+	usbnet_mark_going_away(dev);
+	mutex_unlock(&dev->open_mutex);
+	usbnet_stop(net);
 ...
 	usb_kill_urb(dev->interrupt);
-	usb_free_urb(dev->interrupt);
-	kfree(dev->padding_pkt);
-	free_netdev(net);
+	ifref_release_softc(dev->attachment);
 }

// ---- probe

@depends on usbnet@
identifier udev, dev, net, driver, status;
@@
 usbnet_probe(struct usb_interface *udev, ...)
 {
 ...
 	struct usb_driver *driver = to_usb_driver(udev->dev.driver);
 ...
 	mutex_init(&dev->interrupt_mutex);
+	mutex_init(&dev->open_mutex);
 ...
-	status = register_netdev(net);
+	status = usbnet_attach(dev, driver);
 ... when any
 }

@depends on usbnet@
@@
 #include <linux/usb/usbnet.h>
+#include <ifref.h>
