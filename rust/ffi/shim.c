// SPDX-License-Identifier: GPL-2.0
/*
 * The C shim: what Rust cannot reach by itself. shim.h is its ABI and says what
 * each function is for; no logic lives here.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpu.h>
#include <linux/debugfs.h>
#include <linux/etherdevice.h>
#include <linux/inetdevice.h>
#include <linux/if_packet.h>
#include <linux/kobject.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/notifier.h>
#include <linux/nsproxy.h>
#include <linux/percpu.h>
#include <linux/rtnetlink.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/workqueue.h>
#include <net/addrconf.h>
#include <net/ip_fib.h>
#include <net/net_namespace.h>
#include <net/nexthop.h>
#include <net/rtnetlink.h>

#include "compat.h"
#include "shim.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

#define SAME(ours, kernels) static_assert((int)(ours) == (int)(kernels))

SAME(IFREF_NETDEV_UP, NETDEV_UP);
SAME(IFREF_NETDEV_DOWN, NETDEV_DOWN);
SAME(IFREF_NETDEV_REGISTER, NETDEV_REGISTER);
SAME(IFREF_NETDEV_UNREGISTER, NETDEV_UNREGISTER);
SAME(IFREF_NETDEV_CHANGEADDR, NETDEV_CHANGEADDR);
SAME(IFREF_NETDEV_GOING_DOWN, NETDEV_GOING_DOWN);
SAME(IFREF_NETDEV_CHANGENAME, NETDEV_CHANGENAME);
SAME(IFREF_NETDEV_POST_TYPE_CHANGE, NETDEV_POST_TYPE_CHANGE);
SAME(IFREF_NETREG_REGISTERED, NETREG_REGISTERED);
SAME(IFREF_NETREG_UNREGISTERING, NETREG_UNREGISTERING);
SAME(IFREF_NETREG_UNREGISTERED, NETREG_UNREGISTERED);
SAME(IFREF_BUS_UNBIND, BUS_NOTIFY_UNBIND_DRIVER);
SAME(IFREF_BUS_UNBOUND, BUS_NOTIFY_UNBOUND_DRIVER);
SAME(IFREF_MODULE_GOING, MODULE_STATE_GOING);
SAME(IFREF_FIB_REPLACE, FIB_EVENT_ENTRY_REPLACE);
SAME(IFREF_FIB_DEL, FIB_EVENT_ENTRY_DEL);
SAME(IFREF_RT_TABLE_MAIN, RT_TABLE_MAIN);
SAME(IFREF_AF_INET, AF_INET);
SAME(IFREF_AF_INET6, AF_INET6);
SAME(IFREF_AF_PACKET, AF_PACKET);
static_assert(sizeof_field(struct ifref_addr, local) == MAX_ADDR_LEN);
static_assert(sizeof(netdevice_tracker) <= sizeof(void *));

/* linux/netdevice.h */

struct net_device *ifref_info_dev(void *info)
{
	return netdev_notifier_info_to_dev(info);
}

int ifref_reg_state(const struct net_device *dev)
{
	return READ_ONCE(dev->reg_state);
}

const unsigned char *ifref_reg_state_of(const struct net_device *dev)
{
	return &dev->reg_state;
}

bool ifref_dismantle(const struct net_device *dev)
{
	return dev->dismantle;
}

bool ifref_moving(const struct net_device *dev)
{
	return dev->moving_ns;
}

void ifref_dev_hold(struct net_device *dev, void **tracker, bool atomic)
{
	netdev_hold(dev, (netdevice_tracker *)tracker, atomic ? GFP_ATOMIC : GFP_KERNEL);
}

void ifref_dev_put(struct net_device *dev, void **tracker)
{
	netdev_put(dev, (netdevice_tracker *)tracker);
}

void ifref_name(const struct net_device *dev, char *buf, unsigned long size)
{
	strscpy(buf, dev->name, size);
}

int ifref_ifindex(const struct net_device *dev)
{
	return READ_ONCE(dev->ifindex);
}

unsigned int ifref_mtu(const struct net_device *dev)
{
	return READ_ONCE(dev->mtu);
}

unsigned int ifref_flags(const struct net_device *dev)
{
	return netif_get_flags(dev);
}

int ifref_refs(const struct net_device *dev)
{
	return netdev_refcnt_read(dev);
}

struct net *ifref_net(const struct net_device *dev)
{
	return dev_net(dev);
}

struct device *ifref_parent(const struct net_device *dev)
{
	return dev->dev.parent;
}

void ifref_driver(const struct net_device *dev, char *buf, unsigned long size)
{
	const struct device *parent = dev->dev.parent;
	const struct device_driver *drv = parent ? READ_ONCE(parent->driver) : NULL;

	if (drv)
		strscpy(buf, drv->name, size);
	else if (dev->rtnl_link_ops)
		strscpy(buf, dev->rtnl_link_ops->kind, size);
	else
		strscpy(buf, "none", size);
}

void ifref_bus_path(const struct net_device *dev, char *buf, unsigned long size)
{
	const struct device *parent = dev->dev.parent;

	if (parent)
		snprintf(buf, size, "%s/%s", dev_bus_name(parent), dev_name(parent));
	else
		strscpy(buf, "virtual", size);
}

void ifref_link_addr(const struct net_device *dev, struct ifref_addr *addr)
{
	memset(addr, 0, sizeof(*addr));
	addr->family = AF_PACKET;
	addr->len = min_t(unsigned int, dev->addr_len, sizeof(addr->local));
	memcpy(addr->local, dev->dev_addr, addr->len);
}

void ifref_read_stats(struct net_device *dev, struct ifref_stats *stats)
{
	struct rtnl_link_stats64 all;

	dev_get_stats(dev, &all);
	stats->rx_packets = all.rx_packets;
	stats->tx_packets = all.tx_packets;
	stats->rx_bytes = all.rx_bytes;
	stats->tx_bytes = all.tx_bytes;
}

int ifref_sysfs_link(struct net_device *dev, struct kobject *target)
{
	return sysfs_create_link(&dev->dev.kobj, target, KBUILD_MODNAME);
}

void ifref_sysfs_unlink(struct net_device *dev)
{
	sysfs_remove_link(&dev->dev.kobj, KBUILD_MODNAME);
}

void ifref_for_each_netdev(void (*each)(void *ctx, struct net_device *dev), void *ctx)
{
	struct net_device *dev;
	struct net *net;

	down_read(&net_rwsem);
	for_each_net(net)
		for_each_netdev(net, dev)
			each(ctx, dev);
	up_read(&net_rwsem);
}

int ifref_netdev_listen(struct notifier_block *nb)
{
	return register_netdevice_notifier(nb);
}

void ifref_netdev_unlisten(struct notifier_block *nb)
{
	unregister_netdevice_notifier(nb);
}

struct net_device *ifref_by_index(struct net *net, int ifindex)
{
	return check_net(net) ? dev_get_by_index_rcu(net, ifindex) : NULL;
}

struct net_device *ifref_by_name(struct net *net, const char *name)
{
	return check_net(net) ? dev_get_by_name_rcu(net, name) : NULL;
}

struct ifref_capture {
	struct packet_type type;
	void (*receive)(void *ctx, struct sk_buff *skb, struct net_device *dev);
};

static int capture_receive(struct sk_buff *skb, struct net_device *dev, struct packet_type *type,
			   struct net_device *orig_dev)
{
	struct ifref_capture *capture = container_of(type, struct ifref_capture, type);

	skb = skb_share_check(skb, GFP_ATOMIC);
	if (skb)
		capture->receive(type->af_packet_priv, skb, dev);
	return NET_RX_SUCCESS;
}

struct ifref_capture *ifref_capture_new(struct net *net,
					void (*receive)(void *ctx, struct sk_buff *skb,
							struct net_device *dev),
					void *ctx)
{
	struct ifref_capture *capture = kzalloc_obj(*capture, GFP_KERNEL);

	if (!capture)
		return NULL;
	capture->receive = receive;
	capture->type.type = htons(ETH_P_ALL);
	capture->type.func = capture_receive;
	capture->type.af_packet_net = net;
	capture->type.af_packet_priv = ctx;
	capture->type.ignore_outgoing = true;
	dev_add_pack(&capture->type);
	return capture;
}

void ifref_capture_end(struct ifref_capture *capture)
{
	dev_remove_pack(&capture->type);
	kfree(capture);
}

/* linux/gfp.h */

bool ifref_may_block(gfp_t gfp)
{
	return gfpflags_allow_blocking(gfp);
}

/* linux/skbuff.h */

struct sk_buff *ifref_skb_new(unsigned int len, bool atomic)
{
	struct sk_buff *skb = alloc_skb(len, atomic ? GFP_ATOMIC : GFP_KERNEL);

	if (skb)
		skb_put_zero(skb, len);
	return skb;
}

struct sk_buff *ifref_skb_clone(struct sk_buff *skb, bool atomic)
{
	return skb_clone(skb, atomic ? GFP_ATOMIC : GFP_KERNEL);
}

void ifref_skb_scrub(struct sk_buff *skb)
{
	struct sk_buff *frag;

	skb_orphan(skb);
	skb_dst_drop(skb);
	nf_reset_ct(skb);
	skb_ext_reset(skb);
	skb->dev = NULL;
	skb->skb_iif = 0;
	skb_walk_frags(skb, frag)
		frag->dev = NULL;
}

unsigned int ifref_skb_len(const struct sk_buff *skb)
{
	return skb->len;
}

int ifref_skb_transmit(struct sk_buff *skb, struct net_device *dev)
{
	int err;

	skb->dev = dev;
	err = dev_queue_xmit(skb);
	return err > 0 ? net_xmit_errno(err) : err;
}

void ifref_skb_free(struct sk_buff *skb)
{
	dev_kfree_skb_any(skb);
}

void ifref_rtnl_lock(void)
{
	rtnl_lock();
}

void ifref_rtnl_unlock(void)
{
	rtnl_unlock();
}

/* linux/inetdevice.h, net/addrconf.h */

struct net_device *ifref_inet_dev(const struct in_ifaddr *ifa)
{
	return ifa->ifa_dev->dev;
}

void ifref_inet_addr(const struct in_ifaddr *ifa, struct ifref_addr *addr)
{
	memset(addr, 0, sizeof(*addr));
	addr->family = AF_INET;
	addr->len = sizeof(ifa->ifa_local);
	addr->prefix = ifa->ifa_prefixlen;
	memcpy(addr->local, &ifa->ifa_local, sizeof(ifa->ifa_local));
	memcpy(addr->peer, &ifa->ifa_address, sizeof(ifa->ifa_address));
}

struct net_device *ifref_inet6_dev(const struct inet6_ifaddr *ifa)
{
	return ifa->idev->dev;
}

void ifref_inet6_addr(const struct inet6_ifaddr *ifa, struct ifref_addr *addr)
{
	memset(addr, 0, sizeof(*addr));
	addr->family = AF_INET6;
	addr->len = sizeof(ifa->addr);
	addr->prefix = ifa->prefix_len;
	memcpy(addr->local, &ifa->addr, sizeof(ifa->addr));
}

bool ifref_inet6_dead(const struct inet6_ifaddr *ifa)
{
	return READ_ONCE(ifa->state) == INET6_IFADDR_STATE_DEAD;
}

void ifref_for_each_inet(struct net_device *dev,
			 void (*each)(void *ctx, struct in_ifaddr *ifa), void *ctx)
{
	struct in_device *in_dev = __in_dev_get_rtnl(dev);
	struct in_ifaddr *ifa;

	if (!in_dev)
		return;
	in_dev_for_each_ifa_rtnl(ifa, in_dev)
		each(ctx, ifa);
}

void ifref_for_each_inet6(struct net_device *dev,
			  void (*each)(void *ctx, struct inet6_ifaddr *ifa), void *ctx)
{
	struct inet6_dev *idev = __in6_dev_get(dev);
	struct inet6_ifaddr *ifa;

	if (!idev)
		return;
	read_lock_bh(&idev->lock);
	list_for_each_entry(ifa, &idev->addr_list, if_list)
		each(ctx, ifa);
	read_unlock_bh(&idev->lock);
}

int ifref_inet_listen(struct notifier_block *nb)
{
	return register_inetaddr_notifier(nb);
}

void ifref_inet_unlisten(struct notifier_block *nb)
{
	unregister_inetaddr_notifier(nb);
}

int ifref_inet6_listen(struct notifier_block *nb)
{
	return register_inet6addr_notifier(nb);
}

void ifref_inet6_unlisten(struct notifier_block *nb)
{
	unregister_inet6addr_notifier(nb);
}

int ifref_format(char *buf, unsigned long size, const struct ifref_addr *addr)
{
	switch (addr->family) {
	case AF_INET:
		if (memcmp(addr->peer, addr->local, addr->len))
			return scnprintf(buf, size, "%pI4 peer %pI4/%u", addr->local, addr->peer,
					 addr->prefix);
		return scnprintf(buf, size, "%pI4/%u", addr->local, addr->prefix);
	case AF_INET6:
		return scnprintf(buf, size, "%pI6c/%u", addr->local, addr->prefix);
	default:
		if (!addr->len)
			return scnprintf(buf, size, "none");
		return scnprintf(buf, size, "%*phC", addr->len, addr->local);
	}
}

/* net/net_namespace.h */

void ifref_net_get(struct net *net)
{
	net_passive_inc(net);
}

void ifref_net_put(struct net *net)
{
	/*
	 * net_passive_dec() is not exported; this leads to it. kobj_ns_drop() would, too, but
	 * takes a lock that is not for softirqs.
	 */
	net_ns_type_operations.drop_ns(to_ns_common(net));
}

bool ifref_net_alive(const struct net *net)
{
	return check_net(net);
}

unsigned int ifref_net_inum(const struct net *net)
{
	return net->ns.inum;
}

struct net *ifref_init_net(void)
{
	return &init_net;
}

struct net *ifref_current_net(void)
{
	return current->nsproxy->net_ns;
}

/* net/ip_fib.h */

int ifref_fib_listen(struct notifier_block *nb)
{
	return register_fib_notifier(&init_net, nb, NULL, NULL);
}

void ifref_fib_unlisten(struct notifier_block *nb)
{
	unregister_fib_notifier(&init_net, nb);
}

bool ifref_fib_route(const void *info, struct ifref_route *route)
{
	const struct fib_notifier_info *about = info;
	const struct fib_entry_notifier_info *entry;

	if (about->family != AF_INET)
		return false;
	entry = container_of(about, struct fib_entry_notifier_info, info);
	route->table = entry->tb_id;
	route->dst = entry->dst;
	route->len = entry->dst_len;
	route->dev = fib_info_nhc(entry->fi, 0)->nhc_dev;
	return true;
}

/* linux/device/bus.h */

int ifref_bus_listen(const struct bus_type *bus, struct notifier_block *nb)
{
	return bus_register_notifier(bus, nb);
}

void ifref_bus_unlisten(const struct bus_type *bus, struct notifier_block *nb)
{
	bus_unregister_notifier(bus, nb);
}

const struct bus_type *ifref_bus_of(const struct device *dev)
{
	return dev->bus;
}

/* linux/kobject.h */

struct ifref_folder {
	struct kobject kobj;
	struct kset *set;	/* that of the root folder, in whose place it is: for uevents */
	struct net *net;
	const void *data;
};

#define to_folder(k) container_of_const(k, struct ifref_folder, kobj)

static void folder_release(struct kobject *kobj)
{
	struct ifref_folder *folder = to_folder(kobj);

	if (folder->net)
		ifref_net_put(folder->net);
	kfree(folder);
}

static const struct ns_common *folder_namespace(const struct kobject *kobj)
{
	const struct net *net = to_folder(kobj)->net;

	return net ? to_ns_common(net) : NULL;
}

static const struct kobj_ns_type_operations *folder_child_ns_type(const struct kobject *kobj)
{
	return &net_ns_type_operations;
}

/* Files that may be written to are root's, of the namespace. */
static void folder_ownership(const struct kobject *kobj, kuid_t *uid, kgid_t *gid)
{
	struct net *net = to_folder(kobj)->net;

	/* Of one that is dead nobody knows whose it was. */
	if (!net || !maybe_get_net(net))
		return;
	net_ns_get_ownership(net, uid, gid);
	put_net(net);
}

static const struct sysfs_ops folder_sysfs_ops = {
	.show = ifref_folder_show,
	.store = ifref_folder_store,
};

static const struct kobj_type folder_ktype = {
	.release = folder_release,
	.sysfs_ops = &folder_sysfs_ops,
	.namespace = folder_namespace,
	.get_ownership = folder_ownership,
};

static const struct kobj_type tagged_folder_ktype = {
	.release = folder_release,
	.sysfs_ops = &folder_sysfs_ops,
	.child_ns_type = folder_child_ns_type,
};

struct ifref_folder *ifref_folder_new(struct ifref_folder *parent, const char *name, bool tagged,
				      struct net *net, const struct attribute *const *files,
				      const void *data, int *err)
{
	struct ifref_folder *folder = kzalloc_obj(*folder, GFP_KERNEL);

	if (!folder) {
		*err = -ENOMEM;
		return NULL;
	}
	if (!parent) {
		folder->set = kset_create_and_add(name, NULL, kernel_kobj);
		if (folder->set)
			return folder;
		kfree(folder);
		*err = -ENOMEM;
		return NULL;
	}
	if (net)
		ifref_net_get(net);
	folder->net = net;
	folder->data = data;
	folder->kobj.kset = parent->set;
	*err = kobject_init_and_add(&folder->kobj, tagged ? &tagged_folder_ktype : &folder_ktype,
				    parent->set ? &parent->set->kobj : &parent->kobj, "%s", name);
	if (!*err && files) {
		*err = sysfs_create_files(&folder->kobj, files);
		if (*err)
			kobject_del(&folder->kobj);
	}
	if (*err) {
		kobject_put(&folder->kobj);
		return NULL;
	}
	return folder;
}

void ifref_folder_remove(struct ifref_folder *folder)
{
	if (folder->set) {
		kset_unregister(folder->set);
		kfree(folder);
		return;
	}
	kobject_del(&folder->kobj);
	kobject_put(&folder->kobj);
}

void ifref_folder_announce(struct ifref_folder *folder, const char *file, const char *name,
			   const char *event)
{
	char interface[32], what[32];
	char *env[] = { interface, what, NULL };

	snprintf(interface, sizeof(interface), "INTERFACE=%s", name);
	snprintf(what, sizeof(what), "IFREF_EVENT=%s", event);
	sysfs_notify(&folder->kobj, NULL, file);
	/* A namespace that is dead has no socket for uevents any more. */
	if (folder->net && !maybe_get_net(folder->net))
		return;
	kobject_uevent_env(&folder->kobj, KOBJ_CHANGE, env);
	if (folder->net)
		put_net(folder->net);
}

struct kobject *ifref_folder_kobj(struct ifref_folder *folder)
{
	return &folder->kobj;
}

const void *ifref_folder_data(const struct kobject *kobj)
{
	return to_folder(kobj)->data;
}

/* linux/percpu.h */

struct ifref_shard {
	u64 counters[IFREF_SHARD_COUNTERS];
};

#define each_cpus(shards) ((struct ifref_shard __percpu *)(uintptr_t)(shards)->each)

/* The sign of a counter: its CPU is closed. */
#define CLOSED BIT_ULL(63)

bool ifref_shards_init(struct ifref_shards *shards, bool atomic)
{
	shards->each = (void *)(uintptr_t)alloc_percpu_gfp(struct ifref_shard,
							   atomic ? GFP_ATOMIC : GFP_KERNEL);
	return shards->each;
}

void ifref_shards_exit(struct ifref_shards *shards)
{
	free_percpu(each_cpus(shards));
}

bool ifref_shards_count(const struct ifref_shards *shards, unsigned int which)
{
	return !(this_cpu_inc_return(each_cpus(shards)->counters[which]) & CLOSED);
}

void ifref_shards_trace_get(const struct ifref_shards *shards)
{
	trace_ifref_ref_get(shards);
}

void ifref_shards_trace_put(const struct ifref_shards *shards)
{
	trace_ifref_ref_put(shards);
}

/* Where they are inlined their static keys are tested. */
EXPORT_TRACEPOINT_SYMBOL_GPL(ifref_ref_get);
EXPORT_TRACEPOINT_SYMBOL_GPL(ifref_ref_put);

struct closing {
	struct ifref_shard __percpu *each;
	atomic64_t counted;
};

static void close_shard(struct closing *closing, struct ifref_shard *shard)
{
	u64 *gets = &shard->counters[IFREF_SHARD_GETS];
	u64 *puts = &shard->counters[IFREF_SHARD_PUTS];

	atomic64_add(READ_ONCE(*gets) - READ_ONCE(*puts), &closing->counted);
	WRITE_ONCE(*gets, READ_ONCE(*gets) | CLOSED);
	WRITE_ONCE(*puts, READ_ONCE(*puts) | CLOSED);
}

/* With hard interrupts off: nothing counts on this CPU meanwhile. */
static void close_here(void *info)
{
	struct closing *closing = info;

	close_shard(closing, this_cpu_ptr(closing->each));
}

long long ifref_shards_close(const struct ifref_shards *shards)
{
	struct closing closing = { .each = each_cpus(shards) };
	int cpu;

	lockdep_assert_cpus_held();
	on_each_cpu(close_here, &closing, true);
	for_each_possible_cpu(cpu)
		if (!cpu_online(cpu))
			close_shard(&closing, per_cpu_ptr(closing.each, cpu));
	return atomic64_read(&closing.counted);
}

unsigned long long ifref_shards_sum(const struct ifref_shards *shards, unsigned int which)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu_ptr(each_cpus(shards), cpu)->counters[which]) & ~CLOSED;
	return sum;
}

/* linux/cpu.h */

void ifref_cpus_lock(void)
{
	cpus_read_lock();
}

void ifref_cpus_unlock(void)
{
	cpus_read_unlock();
}

/* linux/kthread.h */

struct task_struct *ifref_thread_new(int (*run)(void *ctx), void *ctx, const char *name)
{
	struct task_struct *thread = kthread_create(run, ctx, "%s", name);

	if (!IS_ERR(thread)) {
		get_task_struct(thread);
		wake_up_process(thread);
	}
	return thread;
}

void ifref_thread_end(struct task_struct *thread)
{
	kthread_stop_put(thread);
}

bool ifref_thread_sleep(unsigned int ms)
{
	set_current_state(TASK_IDLE);
	if (!kthread_should_stop())
		schedule_timeout(msecs_to_jiffies(ms));
	__set_current_state(TASK_RUNNING);
	return !kthread_should_stop();
}

/* linux/spinlock.h, linux/workqueue.h, linux/module.h */

void ifref_spin_lock_init(raw_spinlock_t *lock, const char *name, struct lock_class_key *key)
{
#ifdef CONFIG_DEBUG_SPINLOCK
	__raw_spin_lock_init(lock, name, key, LD_WAIT_SPIN);
#else
	*lock = __RAW_SPIN_LOCK_UNLOCKED(name);
#endif
}

unsigned long ifref_spin_lock_irqsave(raw_spinlock_t *lock) __acquires(lock)
{
	unsigned long flags;

	raw_spin_lock_irqsave(lock, flags);
	return flags;
}

void ifref_spin_unlock_irqrestore(raw_spinlock_t *lock, unsigned long flags) __releases(lock)
{
	raw_spin_unlock_irqrestore(lock, flags);
}

void ifref_spin_assert_held(raw_spinlock_t *lock)
{
	lockdep_assert_held(lock);
}

struct workqueue_struct *ifref_ordered_workqueue(const char *name)
{
	return alloc_ordered_workqueue("%s", WQ_MEM_RECLAIM, name);
}

int ifref_module_listen(struct notifier_block *nb)
{
	return register_module_notifier(nb);
}

void ifref_module_unlisten(struct notifier_block *nb)
{
	unregister_module_notifier(nb);
}

bool ifref_within_module(const struct module *module, unsigned long address)
{
	return within_module(address, module);
}

bool ifref_module_get(void)
{
	return try_module_get(THIS_MODULE);
}

void ifref_module_put(void)
{
	module_put(THIS_MODULE);
}

bool ifref_can_sleep(void)
{
	return preemptible() || (!IS_ENABLED(CONFIG_PREEMPT_COUNT) && !in_interrupt());
}

void ifref_complain(const char *text)
{
	pr_notice_ratelimited("%s\n", text);
}

/* linux/debugfs.h */

static int control_open(struct inode *inode, struct file *file)
{
	return single_open(file, ifref_control_show, inode->i_private);
}

static ssize_t control_write(struct file *file, const char __user *from, size_t len, loff_t *pos)
{
	return ifref_control_store(file_inode(file)->i_private, (unsigned long)from, len);
}

static const struct file_operations control_fops = {
	.owner = THIS_MODULE,
	.open = control_open,
	.read = seq_read,
	.write = control_write,
	.llseek = seq_lseek,
	.release = single_release,
};

struct dentry *ifref_control_dir(const char *name)
{
	return debugfs_create_dir(name, NULL);
}

void ifref_control_file(struct dentry *dir, const char *name, void *data)
{
	debugfs_create_file(name, 0600, dir, data, &control_fops);
}

void ifref_control_remove(struct dentry *dir)
{
	debugfs_remove(dir);
}

/* Tracepoints */

void ifref_trace_adopt(unsigned long long serial, const char *name, int ifindex,
		       unsigned int netns, const char *driver)
{
	trace_ifref_adopt(serial, name, ifindex, netns, driver);
}

void ifref_trace_invalidate(unsigned long long serial, const char *name, const char *cause)
{
	trace_ifref_invalidate(serial, name, cause);
}

void ifref_trace_free(unsigned long long serial, const char *name, const char *cause,
		      unsigned long long lead_ns)
{
	trace_ifref_free(serial, name, cause, lead_ns);
}

void ifref_trace_stuck(unsigned long long serial, const char *name, const char *stage,
		       unsigned long long ms, int softc_holds)
{
	trace_ifref_stuck(serial, name, stage, ms, softc_holds);
}

void ifref_trace_ifaddr_new(unsigned long long id, unsigned long long serial,
			    const struct ifref_addr *addr)
{
	trace_ifref_ifaddr_new(id, serial, addr);
}

void ifref_trace_ifaddr_invalidate(unsigned long long id, unsigned long long serial,
				   const char *reason)
{
	trace_ifref_ifaddr_invalidate(id, serial, reason);
}

void ifref_trace_refused(unsigned long long id, unsigned long long serial, const char *reason)
{
	trace_ifref_refused(id, serial, reason);
}
