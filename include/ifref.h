/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ifref: counted, revocable references to network interfaces; the API for C.
 *
 * A module that uses it needs symbols of ifref's and so keeps it loaded. It is told
 * of nothing: it follows a reference when it needs the interface, and is refused if
 * the interface has gone. Documentation/holders.rst is the guide, samples/pinner the
 * shortest program.
 *
 * Refusals have one meaning everywhere:
 *
 *   -ENODEV         the interface is going, or gone
 *   -EADDRNOTAVAIL  the address was taken off an interface that lives on
 *   -EXDEV          the interface moved to another network namespace
 *
 * A NULL or an error pointer instead of a handle is -EINVAL and a line in the kernel
 * log, rate-limited; functions that return nothing then do nothing.
 */
#ifndef _IFREF_H
#define _IFREF_H

#include <linux/types.h>

struct completion;
struct module;
struct net;
struct net_device;
struct sk_buff;

/* Opaque: a holder, a reference, an interface being followed, a use that sleeps. */
struct ifref_holder;
struct ifref;
struct ifref_live;
struct ifref_entered;

/**
 * struct ifref_id - a weak reference
 * @id: the address's id, never used again
 * @serial: its interface's serial, never used again
 *
 * May be copied and stored; keeps nothing, and never comes to mean another address.
 */
struct ifref_id {
	u64 id;
	u64 serial;
};

/**
 * struct ifref_packet - a parked packet with its reference beside it
 *
 * The structure is the caller's, who may move it; its fields are ifref's.
 */
struct ifref_packet {
	/* private: */
	struct sk_buff *skb;
	struct ifref *ref;
};

/**
 * ifref_holder_register - register a named user of references
 * @name: 1 to 31 letters, digits, '_', '.' or '-'
 *
 * Context: Process context, may sleep.
 * Return: The holder, or an ERR_PTR: -EINVAL for a bad name, -EEXIST if there is a
 * holder of that name, perhaps one that left references behind, or it is "kernel";
 * -ENOMEM. The first two are also told in the kernel log.
 */
#define ifref_holder_register(name) __ifref_holder_register(THIS_MODULE, name)
struct ifref_holder * __must_check __ifref_holder_register(struct module *module,
							   const char *name);

/**
 * ifref_holder_unregister - end a holder
 * @holder: the holder; nobody takes references by it any more
 *
 * References, packets and uses that are left stay good and are shown under the
 * holder's name as leaked until they end. A holder that is forgotten is unregistered
 * when its module has left its exit, and the kernel log names it.
 *
 * Context: Process context, sleeps for a grace period or so, and as long as others have
 * RTNL. Never under RTNL.
 * Return: 0; -EINVAL if it is no registered holder of this module; -EWOULDBLOCK where it
 * must not sleep; -EDEADLK, where lockdep knows, under RTNL. They are also told in the kernel
 * log, and change nothing.
 */
#define ifref_holder_unregister(holder) __ifref_holder_unregister(THIS_MODULE, holder)
int __must_check __ifref_holder_unregister(struct module *module, struct ifref_holder *holder);

/**
 * ifref_get_by_index - take a reference to an interface's link-layer address, by index
 * @holder: the holder
 * @net: the network namespace, which the caller keeps
 * @ifindex: the index
 * @gfp: for the holder's first reference to this address, which takes memory
 *
 * Context: Any context but NMI that @gfp allows; with PREEMPT_RT, not hard IRQ. No lock
 * but for the first reference.
 * Return: The reference, or an ERR_PTR: -ENOENT if there is no such interface, a
 * refusal if it is going, -ENOMEM, -EINVAL.
 */
struct ifref * __must_check ifref_get_by_index(struct ifref_holder *holder, struct net *net,
					       int ifindex, gfp_t gfp);

/**
 * ifref_get_by_name - take a reference to an interface's link-layer address, by name
 * @holder: the holder
 * @net: the network namespace, which the caller keeps
 * @name: the name
 * @gfp: for the holder's first reference to this address, which takes memory
 *
 * Context: Any context but NMI that @gfp allows; with PREEMPT_RT, not hard IRQ. No lock
 * but for the first reference.
 * Return: As ifref_get_by_index().
 */
struct ifref * __must_check ifref_get_by_name(struct ifref_holder *holder, struct net *net,
					      const char *name, gfp_t gfp);

/**
 * ifref_get_by_dev - take a reference to an interface's link-layer address
 * @holder: the holder
 * @dev: the device, which exists during the call
 * @gfp: for the holder's first reference to this address, which takes memory
 *
 * Context: Any context but NMI that @gfp allows; with PREEMPT_RT, not hard IRQ. No lock
 * but for the first reference.
 * Return: As ifref_get_by_index().
 */
struct ifref * __must_check ifref_get_by_dev(struct ifref_holder *holder, struct net_device *dev,
					     gfp_t gfp);

/**
 * ifref_get_by_id - take a reference to the address of a weak one
 * @holder: the holder
 * @id: from ifref_id_of()
 * @gfp: for the holder's first reference to this address, which takes memory
 *
 * Context: Any context but NMI that @gfp allows; with PREEMPT_RT, not hard IRQ. No lock
 * but for the first reference.
 * Return: The reference, or an ERR_PTR: a refusal if the address or its interface has
 * gone and somebody still refers to it, -ENOENT if nobody does, -ENOMEM, -EINVAL.
 */
struct ifref * __must_check ifref_get_by_id(struct ifref_holder *holder, struct ifref_id id,
					    gfp_t gfp);

/**
 * ifref_id_of - the weak reference to what a reference is to
 * @ref: the reference
 *
 * Context: Any context.
 * Return: The weak reference; zeros, which nothing has, if @ref is none.
 */
struct ifref_id ifref_id_of(struct ifref *ref);

/**
 * ifref_clone - take another reference to the same address, valid or not
 * @ref: the reference
 *
 * Context: Any context but NMI.
 * Return: The new reference; NULL if @ref is none.
 */
struct ifref * __must_check ifref_clone(struct ifref *ref);

/**
 * ifref_put - drop a reference
 * @ref: the reference, or NULL
 *
 * Context: Any context but NMI.
 */
void ifref_put(struct ifref *ref);

/**
 * ifref_follow - follow a reference, which stays in any case
 * @ref: the reference
 * @why: unless NULL, gets 0 or the refusal
 *
 * Context: Inside rcu_read_lock(), or where it is as good: softirq, with preemption or
 * bottom halves off; PROVE_RCU sees to that. Any context but NMI. Three loads; writes
 * nothing.
 * Return: The interface, which the caller may use until it leaves the RCU read
 * section, even if it goes meanwhile; NULL if refused.
 */
const struct ifref_live * __must_check ifref_follow(struct ifref *ref, int *why);

/**
 * ifref_follow_or_put - follow a reference; refused, drop it
 * @slot: where the reference is; a refusal puts it and leaves NULL there
 * @why: unless NULL, gets 0 or the refusal; -ENOENT if there was no reference
 *
 * Context: As ifref_follow(). @slot is the caller's alone.
 * Return: As ifref_follow().
 */
const struct ifref_live * __must_check ifref_follow_or_put(struct ifref **slot, int *why);

/**
 * ifref_live_name - copy the interface's name
 * @live: the interface
 * @name: gets the name, room for IFNAMSIZ bytes
 *
 * Context: The RCU read section of the follow.
 */
void ifref_live_name(const struct ifref_live *live, char *name);

/**
 * ifref_live_ifindex - the interface's index
 * @live: the interface
 *
 * Context: The RCU read section of the follow.
 * Return: The index.
 */
int ifref_live_ifindex(const struct ifref_live *live);

/**
 * ifref_live_mtu - the largest payload
 * @live: the interface
 *
 * Context: The RCU read section of the follow.
 * Return: Bytes.
 */
unsigned int ifref_live_mtu(const struct ifref_live *live);

/**
 * ifref_live_flags - the interface's flags, as user space sees them
 * @live: the interface
 *
 * Context: The RCU read section of the follow.
 * Return: IFF_*.
 */
unsigned int ifref_live_flags(const struct ifref_live *live);

/**
 * ifref_live_transmit - send a packet by the interface
 * @live: the interface
 * @skb: the packet, with its link-layer header; taken over in any case
 *
 * Context: The RCU read section of the follow; process context or softirq.
 * Return: 0; -EINVAL or -EMSGSIZE if the packet is shorter or longer than what the device may get;
 * or the error of dev_queue_xmit().
 */
int ifref_live_transmit(const struct ifref_live *live, struct sk_buff *skb);

/**
 * ifref_dev - the interface's net_device
 * @live: the interface
 *
 * Context: The RCU read section of the follow.
 * Return: The device. It is not used after the section, and only for what is safe on
 * one that is just being unregistered.
 */
struct net_device *ifref_dev(const struct ifref_live *live);

/**
 * ifref_enter - begin a use that may sleep
 * @ref: the reference, which stays the caller's
 *
 * Keeps the interface's memory, and so delays the end of its removal until
 * ifref_exit(): whoever waits for that is told the holder's name and the age. It keeps
 * memory, not registration: see ifref_entered_dev().
 *
 * Context: Any context but NMI; with PREEMPT_RT, not hard IRQ: it takes memory.
 * Return: The use, or an ERR_PTR: a refusal, -ENOMEM, -EINVAL.
 */
struct ifref_entered * __must_check ifref_enter(struct ifref *ref);

/**
 * ifref_enter_until - begin a use that leaves when it is asked to
 * @ref: the reference, which stays the caller's
 * @gone: complete_all() is called for it when the interface begins to go
 *
 * As ifref_enter(). Who waits for @gone, or looks at it between two steps
 * (completion_done()), and then calls ifref_exit(), does not delay the removal by more
 * than that; who does not is named as before. It is not completed if only the address
 * is taken off, or the interface moves. It is not touched after ifref_exit() has
 * returned, nor after ifref_holder_unregister() has.
 *
 * Context: Any context but NMI.
 * Return: The use, or an ERR_PTR: a refusal, -ENOMEM, -EINVAL.
 */
struct ifref_entered * __must_check ifref_enter_until(struct ifref *ref, struct completion *gone);

/**
 * ifref_exit - end a use that may sleep
 * @entered: the use, or NULL
 *
 * Context: Any context but NMI; with PREEMPT_RT, not hard IRQ: it gives back memory.
 */
void ifref_exit(struct ifref_entered *entered);

/**
 * ifref_entered_dev - the net_device of a use, if it is registered
 * @entered: the use
 *
 * Context: Under RTNL.
 * Return: The device, registered until RTNL is released; NULL if it is not any more.
 */
struct net_device *ifref_entered_dev(struct ifref_entered *entered);

/**
 * ifref_packet_park - park a packet
 * @packet: gets the packet
 * @skb: the caller's, not shared and on no queue; taken over
 * @ref: the reference; taken over
 *
 * The packet's device, route, socket, connection and extensions are dropped, its time
 * stamps and marks stay: nothing of it leads to the interface, which may go meanwhile.
 *
 * Context: Process context or softirq, hard interrupts on; lockdep sees to that.
 * Return: 0; -EINVAL, and nothing is taken over.
 */
int ifref_packet_park(struct ifref_packet *packet, struct sk_buff *skb, struct ifref *ref);

/**
 * ifref_packet_clone - another packet with the same data and a reference of its own
 * @to: gets the packet
 * @from: the packet
 * @gfp: for the sk_buff
 *
 * Context: Any context but NMI that @gfp allows; with PREEMPT_RT, not hard IRQ.
 * Return: 0, -ENOMEM or -EINVAL.
 */
int __must_check ifref_packet_clone(struct ifref_packet *to, const struct ifref_packet *from,
				    gfp_t gfp);

/**
 * ifref_packet_transmit - send a packet by the interface that it refers to
 * @packet: the packet; it is gone afterwards, in any case
 *
 * Context: Process context or softirq.
 * Return: 0, a refusal, the error of ifref_live_transmit(), or -EINVAL.
 */
int ifref_packet_transmit(struct ifref_packet *packet);

/**
 * ifref_packet_free - free a packet and drop its reference
 * @packet: the packet; one that is gone already is left alone
 *
 * Context: Any context but NMI.
 */
void ifref_packet_free(struct ifref_packet *packet);

/*
 * For drivers of network interfaces: Documentation/devd.rst. A driver submits, and
 * the thread ifref-devd makes and unmakes the linkages; samples/vnic_c is the smallest.
 */

/* Opaque: a driver, an interface that it attaches. */
struct ifref_driver;
struct ifref_attachment;

/**
 * struct ifref_veto - a driver's no
 * @reason: why, for the administrator
 * @again_ms: after how many milliseconds to ask again; 0: the driver will say so, by
 * another orderly ifref_detach(). It may do so before its no has been returned: then it
 * is asked again at once
 */
struct ifref_veto {
	char reason[64];
	unsigned int again_ms;
};

/**
 * struct ifref_driver_ops - a driver's code, which a worker of ifref's runs
 * @may_detach: whether it may be detached in order; if not, says in the veto why. It is
 * not asked when the hardware has gone or the driver is being unloaded. Optional.
 * @quiesce: nothing reaches the driver from here on but ndo_get_stats64: ndo_stop and
 * ndo_uninit have been called, under RTNL, and what ran has ended. Never under RTNL. What
 * must not wait for RTNL that long, as the parent goes, is stopped where the detach is
 * submitted. Once, before @free. Optional.
 * @free: nothing refers to the interface any more: free_netdev(), and what else is the
 * driver's. Once, and the last of all; the module's code is not called after it.
 *
 * All may sleep, and delay their own interface only. None may wait for devd: -EDEADLK.
 */
struct ifref_driver_ops {
	bool (*may_detach)(void *softc, struct ifref_veto *veto);
	void (*quiesce)(void *softc);
	void (*free)(void *softc);
};

/**
 * enum ifref_detach_reason - why an interface is detached
 * @IFREF_DETACH_GONE: the hardware has gone
 * @IFREF_DETACH_ORDERLY: somebody wants it so, and the driver is asked
 */
enum ifref_detach_reason {
	IFREF_DETACH_GONE,
	IFREF_DETACH_ORDERLY,
};

/**
 * ifref_driver_register - register a driver
 * @name: 1 to 31 letters, digits, '_', '.' or '-'
 * @ops: its code, which stays until it has unregistered
 *
 * Context: Process context, may sleep.
 * Return: The driver, or an ERR_PTR: -EINVAL for a bad name or without @free, -EEXIST if
 * there is a driver of that name, -ENOMEM. The first two are also told in the kernel log.
 */
#define ifref_driver_register(name, ops) __ifref_driver_register(THIS_MODULE, name, ops)

/**
 * __ifref_driver_register - register a driver of another module's
 * @module: the module, which is to unregister it before it is unloaded
 * @name: as for ifref_driver_register()
 * @ops: as well; a library's code, perhaps
 *
 * Context: Process context, may sleep.
 * Return: As ifref_driver_register().
 */
struct ifref_driver * __must_check __ifref_driver_register(struct module *module, const char *name,
							   const struct ifref_driver_ops *ops);

/**
 * ifref_driver_unregister - detach all that a driver has attached, and wait
 * @driver: the driver
 *
 * The unload: no driver is asked. Joins what is under way; none of the driver's code
 * runs afterwards. What keeps it waiting is told in the kernel log.
 *
 * Context: Process context, sleeps. Never under RTNL, or what a callback needs.
 * Return: 0; -EDEADLK in a callback of devd's or, where lockdep knows, under RTNL,
 * -EWOULDBLOCK where it must not sleep, -EINVAL if it is no driver of this module: these
 * change nothing, and are told in the kernel log.
 */
#define ifref_driver_unregister(driver) __ifref_driver_unregister(THIS_MODULE, driver)

/**
 * __ifref_driver_unregister - end a driver of another module's
 * @module: the module that __ifref_driver_register() was told
 * @driver: the driver
 *
 * Context: As ifref_driver_unregister().
 * Return: As ifref_driver_unregister().
 */
int __must_check __ifref_driver_unregister(struct module *module, struct ifref_driver *driver);

/**
 * ifref_attachment_new - prepare an interface for being attached
 * @driver: the driver
 * @dev: the device, not registered; freed by nobody but the driver, in @free or after
 * an error
 * @softc: what the driver's code gets, in netdev_priv() or apart
 *
 * The device's operations are wrapped while it is attached: dev->netdev_ops is ifref's.
 *
 * Context: Process context, may sleep.
 * Blocks of filters (TC_SETUP_BLOCK) and AF_XDP pools are not offered: -EOPNOTSUPP.
 * Return: The attachment, to be put by the driver, or an ERR_PTR: -EINVAL if the device
 * is registered, has no ndo_start_xmit, a priv_destructor or needs_free_netdev; -EOPNOTSUPP
 * if it has operations that others call when they end, which may be late: for IPsec or
 * TLS offload, shapers, neighbours, the flashing of modules, or a link-layer header of its
 * own; -ENOMEM.
 */
struct ifref_attachment * __must_check ifref_attachment_new(struct ifref_driver *driver,
							    struct net_device *dev, void *softc);

/**
 * ifref_attachment_put - give an attachment back
 * @attachment: the attachment, or NULL; not used any more by the driver
 *
 * In @free at the earliest, or after an error of ifref_attach(). As long as it is not
 * put ifref_detach() is safe, also after @free. One that is forgotten costs its memory,
 * and is told with the driver's name when ifref is unloaded.
 *
 * Context: Any context but NMI; with PREEMPT_RT, not hard IRQ: it may give back memory.
 */
void ifref_attachment_put(struct ifref_attachment *attachment);

/**
 * ifref_attach - have devd register the interface
 * @attachment: the attachment
 *
 * If it succeeds @free will be called, perhaps before it returns.
 *
 * Context: Process context, sleeps. Never under RTNL.
 * Return: 0, or the error of register_netdevice(); -ENODEV if a detach came first, or
 * the driver is being unregistered; -EINVAL if it was attached before, or others have
 * registered the device since; -EDEADLK in a callback of devd's or, where lockdep knows,
 * under RTNL; -EWOULDBLOCK where it must not sleep. After an error nothing is attached, and
 * @free is not called.
 */
int __must_check ifref_attach(struct ifref_attachment *attachment);

/**
 * ifref_detach - have devd remove the interface
 * @attachment: the attachment
 * @reason: why
 *
 * Returns at once, before anything is torn down: no ndo_start_xmit that begins after
 * that reaches the driver, unless it was orderly, which the driver may veto. Detaching
 * twice, or while it is attached, is no error; gone overrules orderly.
 *
 * Context: Any context but NMI. Takes raw locks only, no memory, and cannot fail.
 */
void ifref_detach(struct ifref_attachment *attachment, enum ifref_detach_reason reason);

/**
 * ifref_wait - sleep until the interface has been freed
 * @attachment: the attachment
 *
 * Context: Process context, sleeps. Never under RTNL.
 * Return: 0; -ENODEV if it was not attached; -EDEADLK in a callback of devd's or, where
 * lockdep knows, under RTNL, -EWOULDBLOCK where it must not sleep.
 */
int __must_check ifref_wait(struct ifref_attachment *attachment);

/**
 * ifref_hold_softc - delay @free
 * @attachment: the attachment
 *
 * For the driver's own references to its softc. Delays @free and unload, is reported if
 * that lasts, and overruled by nobody.
 *
 * Context: Any context but NMI.
 * Return: Whether there was something to hold: false before it is attached, and once
 * @free is to be called.
 */
bool __must_check ifref_hold_softc(struct ifref_attachment *attachment);

/**
 * ifref_release_softc - end a hold
 * @attachment: the attachment
 *
 * Context: Any context but NMI.
 */
void ifref_release_softc(struct ifref_attachment *attachment);

#endif /* _IFREF_H */
