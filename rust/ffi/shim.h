/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The C shim's ABI: inline functions, struct fields and tracepoints of the
 * kernel that Rust cannot reach, and nothing else. No logic lives here.
 *
 * The Rust bindings are generated from this file at build time, so it names no
 * kernel header. Struct types are those of the kernel. Unless a comment says
 * otherwise a function may be called in any context.
 */
#ifndef IFREF_SHIM_H
#define IFREF_SHIM_H

struct attribute;
struct bus_type;
struct dentry;
struct device;
struct ethtool_drvinfo;
struct in_ifaddr;
struct inet6_ifaddr;
struct kobject;
struct lock_class_key;
struct module;
struct napi_struct;
struct net;
struct net_device;
struct notifier_block;
struct raw_spinlock;
struct rtnl_link_stats64;
struct seq_file;
struct sk_buff;
struct sk_buff_head;
struct task_struct;
struct wait_queue_head;
struct workqueue_struct;

/* An address as ifref compares and shows it. */
struct ifref_addr {
	unsigned char family;	/* AF_PACKET (link layer), AF_INET, AF_INET6 */
	unsigned char len;	/* bytes used of local */
	unsigned char prefix;	/* prefix length, 0 for link layer */
	unsigned char local[32];
	unsigned char peer[16];	/* IPv4: ifa_address, the other end or the same again */
};

/* What a follower may read of a device's counters. */
struct ifref_stats {
	unsigned long long rx_packets, tx_packets, rx_bytes, tx_bytes;
};

/* An IPv4 route, addresses in the host's order. */
struct ifref_route {
	unsigned int table;
	unsigned int dst;
	unsigned int len;
	struct net_device *dev;	/* of the first next hop; NULL if the route leads nowhere */
};

/* linux/netdevice.h */
struct net_device *ifref_info_dev(void *info);
int ifref_reg_state(const struct net_device *dev);
const unsigned char *ifref_reg_state_of(const struct net_device *dev); /* where it is */
_Bool ifref_dismantle(const struct net_device *dev);
_Bool ifref_moving(const struct net_device *dev);
void ifref_dev_hold(struct net_device *dev, void **tracker, _Bool atomic); /* !atomic: sleeps */
void ifref_dev_put(struct net_device *dev, void **tracker);
void ifref_name(const struct net_device *dev, char *buf, unsigned long size);
int ifref_ifindex(const struct net_device *dev);
unsigned int ifref_mtu(const struct net_device *dev);
unsigned int ifref_flags(const struct net_device *dev);
int ifref_refs(const struct net_device *dev);
struct net *ifref_net(const struct net_device *dev);
void ifref_link_addr(const struct net_device *dev, struct ifref_addr *addr);
/* Under the RCU read lock, device registered. */
void ifref_read_stats(struct net_device *dev, struct ifref_stats *stats);
/* Under RTNL, device registered. */
int ifref_sysfs_link(struct net_device *dev, struct kobject *target);
void ifref_sysfs_unlink(struct net_device *dev);
/* Under RTNL: calls @each for every device of every namespace. */
void ifref_for_each_netdev(void (*each)(void *ctx, struct net_device *dev), void *ctx);
/* Both sleep; never under RTNL. */
int ifref_netdev_listen(struct notifier_block *nb);
void ifref_netdev_unlisten(struct notifier_block *nb);

/* Under the RCU read lock; NULL if there is none, or the namespace has died. */
struct net_device *ifref_by_index(struct net *net, int ifindex);
struct net_device *ifref_by_name(struct net *net, const char *name);

/*
 * linux/netdevice.h: what the devices of a namespace receive, but for what they send. The
 * sk_buff is @receive's, unshared; softirq, RCU. All sleep; after the end no call is running.
 */
struct ifref_capture;
struct ifref_capture *ifref_capture_new(struct net *net,
					void (*receive)(void *ctx, struct sk_buff *skb,
							struct net_device *dev),
					void *ctx);
void ifref_capture_end(struct ifref_capture *capture);

/*
 * linux/gfp.h: whether @gfp allows to block; if so, GFP_NOIO and GFP_NOFS are the task's until end,
 * which gets *@scope.
 */
_Bool ifref_gfp_begin(unsigned int gfp, unsigned int *scope);
void ifref_gfp_end(unsigned int scope);

/* linux/rcupdate.h: under PROVE_RCU complains unless there is a read section. */
void ifref_rcu_check_section(void);

/* linux/skbuff.h: an sk_buff that the caller owns. scrub, transmit: process context or softirq. */
struct sk_buff *ifref_skb_new(unsigned int len, unsigned int gfp);
struct sk_buff *ifref_skb_clone(struct sk_buff *skb, unsigned int gfp);
void ifref_skb_scrub(struct sk_buff *skb);
unsigned int ifref_skb_len(const struct sk_buff *skb);
int ifref_skb_transmit(struct sk_buff *skb, struct net_device *dev); /* consumes @skb */
void ifref_skb_free(struct sk_buff *skb);

/* linux/rtnetlink.h; sleep */
void ifref_rtnl_lock(void);
void ifref_rtnl_unlock(void);
void ifref_rtnl_assert(void);
int ifref_rtnl_mine(void); /* whether the caller has it: 1, 0; -1: somebody has */

/*
 * linux/netdevice.h: a device of a driver of ifref's, some of its operations wrapped. new
 * sleeps, for a device that is not registered: NULL and -EINVAL, -EOPNOTSUPP or -ENOMEM. is_new,
 * link, unlink and unlink_all are under RTNL: whether it is not registered yet; registers the
 * device, and says whether rtnl_unlock() has yet to drain what could not be; puts one that is
 * registered on the list of those leaving; unregisters those.
 */
struct ifref_wrap;
struct ifref_wrap *ifref_wrap_new(const struct net_device *dev, int *err);
void ifref_wrap_free(struct ifref_wrap *wrap);
void ifref_wrap_let_above_go(struct ifref_wrap *wrap); /* sleeps: what is above the device */
void *ifref_wrap_ctx(const struct net_device *dev); /* NULL if it is not wrapped */
_Bool ifref_netdev_is_new(const struct net_device *dev);
int ifref_netdev_link(struct net_device *dev, struct ifref_wrap *wrap, void *ctx, _Bool *draining);
void ifref_netdev_unwrap(struct net_device *dev, const struct ifref_wrap *wrap);
void ifref_netdev_shut(struct net_device *dev); /* netif_device_detach() */
/* Sleeps: moves the device's folder from its parent's to where that of a virtual device is. */
int ifref_netdev_leave_parent(struct net_device *dev, struct ifref_wrap *wrap);
void ifref_netdev_unlink(struct net_device *dev);
void ifref_netdev_unlink_all(void);
void ifref_netdev_close(struct ifref_wrap *wrap); /* under RTNL, after that */

/*
 * Removal by an administrator. is_link: under the RCU read lock, device registered. delete_link:
 * under RTNL, device registered.
 */
_Bool ifref_netdev_is_link(const struct net_device *dev);
void ifref_netdev_delete_link(struct net_device *dev);
_Bool ifref_net_admin_over(const struct net *net);
/* Supplied by Rust. */
_Bool ifref_wrap_passes(const void *ctx);
int ifref_wrap_open(void *ctx, int (*open)(struct net_device *dev), struct net_device *dev);
void ifref_wrap_unlinked(void *ctx);
void ifref_wrap_drained(void *ctx);

/*
 * linux/device.h: a network device's parent, with a reference; NULL if it has none or is moved from
 * one to another by the kernel. get: under RTNL, device registered. releasable: whether it has a
 * driver that it may be released from, or is just being bound or unbound. release does that, if it
 * still may; sleeps, not under RTNL.
 */
struct device *ifref_parent_get(const struct net_device *dev);
void ifref_parent_hold(struct device *parent); /* any context */
void ifref_parent_put(struct device *parent); /* may sleep */
const struct bus_type *ifref_parent_bus(const struct device *parent);
_Bool ifref_parent_releasable(struct device *parent);
void ifref_parent_release(struct device *parent);

/*
 * linux/kernfs.h: a network device's folder. What is read from it is safe while the device is moved
 * or frees its parent. get and link_kind: under RTNL or the RCU read lock, device registered. The
 * other two sleep, and write only if they return true.
 */
struct kernfs_node *ifref_node_get(const struct net_device *dev);
void ifref_node_put(struct kernfs_node *node);
_Bool ifref_node_bus_path(struct kernfs_node *node, char *buf, unsigned long size);
_Bool ifref_node_driver(struct kernfs_node *node, char *buf, unsigned long size);
void ifref_link_kind(const struct net_device *dev, char *buf, unsigned long size);

/*
 * A device of a driver in Rust. linux/netdevice.h: its operations, which are NULL if it has
 * none, are kept in a table, which outlives it. table_new and new sleep, and are NULL without
 * memory; new makes a device that is not registered, with one NAPI instance, disabled, and a
 * pointer of the driver's own. It is freed when it is not registered (any more): sleeps.
 */
struct ifref_nic_ops {
	int (*open)(struct net_device *dev);
	int (*stop)(struct net_device *dev);
	int (*start_xmit)(struct sk_buff *skb, struct net_device *dev);
	void (*set_rx_mode)(struct net_device *dev);
	int (*set_mac_address)(struct net_device *dev, void *sockaddr);
	int (*change_mtu)(struct net_device *dev, int mtu);
	void (*get_stats64)(struct net_device *dev, struct rtnl_link_stats64 *stats);
	void (*tx_timeout)(struct net_device *dev, unsigned int queue);
	void (*get_drvinfo)(struct net_device *dev, struct ethtool_drvinfo *info);
	int (*poll)(struct napi_struct *napi, int budget);
};

/* The first fields of struct rtnl_link_stats64. */
struct ifref_link_stats {
	unsigned long long rx_packets, tx_packets, rx_bytes, tx_bytes;
	unsigned long long rx_errors, tx_errors, rx_dropped, tx_dropped;
	unsigned long long multicast, collisions;
};

struct ifref_nic_table;
struct ifref_nic_table *ifref_nic_table_new(const struct ifref_nic_ops *ops);
void ifref_nic_table_free(struct ifref_nic_table *table);
struct net_device *ifref_nic_new(const struct ifref_nic_table *table, const char *name);
void ifref_nic_free(struct net_device *dev);
void ifref_nic_set_private(struct net_device *dev, void *private);
void *ifref_nic_private(const struct net_device *dev);
/* Before it is registered; set_mtu: or in its change_mtu. */
void ifref_nic_set_parent(struct net_device *dev, struct device *parent);
void ifref_nic_set_address(struct net_device *dev, const unsigned char *address);
void ifref_nic_random_address(struct net_device *dev);
void ifref_nic_set_mtu(struct net_device *dev, unsigned int mtu);
void ifref_nic_set_max_mtu(struct net_device *dev, unsigned int mtu);
/*
 * carrier_on, carrier_off, wake_queue, counting what was received: while registered. Counting what
 * was sent looks by itself.
 */
_Bool ifref_nic_carrier(const struct net_device *dev);
void ifref_nic_carrier_on(struct net_device *dev);
void ifref_nic_carrier_off(struct net_device *dev);
void ifref_nic_start_queue(struct net_device *dev);
void ifref_nic_stop_queue(struct net_device *dev);
void ifref_nic_wake_queue(struct net_device *dev);
void ifref_nic_count_sent(struct net_device *dev, unsigned int bytes);
void ifref_nic_count_received(struct net_device *dev, unsigned int bytes);
void ifref_nic_count_tx_dropped(struct net_device *dev);
void ifref_nic_count_rx_dropped(struct net_device *dev);
/* NAPI. enable, disable: by turns; sleep. complete: in its poll. */
struct net_device *ifref_napi_dev(const struct napi_struct *napi);
void ifref_nic_napi_enable(struct net_device *dev);
void ifref_nic_napi_disable(struct net_device *dev);
void ifref_nic_napi_schedule(struct net_device *dev);
_Bool ifref_nic_napi_complete(struct net_device *dev, int done);
struct sk_buff *ifref_nic_sole(struct sk_buff *skb);
/* In get_stats64; in set_rx_mode. */
void ifref_nic_counters(struct net_device *dev, struct rtnl_link_stats64 *stats);
unsigned int ifref_nic_flags(const struct net_device *dev);
void ifref_nic_for_each_multicast(struct net_device *dev,
				  void (*each)(void *ctx, const unsigned char *address), void *ctx);
/* linux/etherdevice.h; address copies it to 6 bytes. The others: in set_mac_address. */
void ifref_nic_address(const struct net_device *dev, unsigned char *address);
int ifref_nic_prepare_address(struct net_device *dev, void *sockaddr);
void ifref_nic_commit_address(struct net_device *dev, void *sockaddr);
/*
 * linux/skbuff.h: an sk_buff that the caller owns. alloc: room for @room bytes, NULL without
 * memory. put_zero: within its tailroom, the data not cloned. renew: takes off what it had on
 * its way here. eth_type_trans: there is an Ethernet header.
 */
struct sk_buff *ifref_nic_alloc_skb(struct net_device *dev, unsigned int room);
const unsigned char *ifref_skb_data(const struct sk_buff *skb);
unsigned int ifref_skb_headlen(const struct sk_buff *skb);
unsigned int ifref_skb_tailroom(const struct sk_buff *skb);
_Bool ifref_skb_cloned(const struct sk_buff *skb);
int ifref_skb_unshare(struct sk_buff *skb); /* 0 or -ENOMEM */
unsigned char *ifref_skb_put_zero(struct sk_buff *skb, unsigned int len);
_Bool ifref_skb_may_pull(struct sk_buff *skb, unsigned int len);
void ifref_skb_received_by(struct sk_buff *skb, struct net_device *dev);
void ifref_skb_queue_init(struct sk_buff_head *queue);
/* These consume it. rx: while its device is registered; the others: in the device's poll. */
void ifref_nic_rx(struct sk_buff *skb);
void ifref_nic_receive(struct sk_buff *skb);
void ifref_nic_gro_receive(struct net_device *dev, struct sk_buff *skb);

/* linux/inetdevice.h, net/addrconf.h */
struct net_device *ifref_inet_dev(const struct in_ifaddr *ifa);
void ifref_inet_addr(const struct in_ifaddr *ifa, struct ifref_addr *addr);
struct net_device *ifref_inet6_dev(const struct inet6_ifaddr *ifa);
void ifref_inet6_addr(const struct inet6_ifaddr *ifa, struct ifref_addr *addr);
_Bool ifref_inet6_dead(const struct inet6_ifaddr *ifa);
/* Under RTNL; @each of inet6 runs with bottom halves off. */
void ifref_for_each_inet(struct net_device *dev,
			 void (*each)(void *ctx, struct in_ifaddr *ifa), void *ctx);
void ifref_for_each_inet6(struct net_device *dev,
			  void (*each)(void *ctx, struct inet6_ifaddr *ifa), void *ctx);
/* All four sleep. */
int ifref_inet_listen(struct notifier_block *nb);
void ifref_inet_unlisten(struct notifier_block *nb);
int ifref_inet6_listen(struct notifier_block *nb);
void ifref_inet6_unlisten(struct notifier_block *nb);
/* As "52:54:00:12:34:56", "10.0.2.15/24", "10.0.0.1 peer 10.0.0.2/32"; returns the length. */
int ifref_format(char *buf, unsigned long size, const struct ifref_addr *addr);

/* net/net_namespace.h; the references keep the memory, not the namespace alive */
void ifref_net_get(struct net *net);
void ifref_net_put(struct net *net);
_Bool ifref_net_alive(const struct net *net);
unsigned int ifref_net_inum(const struct net *net);
struct net *ifref_init_net(void);
struct net *ifref_current_net(void);

/* net/ip_fib.h: routes of the initial namespace; listening sleeps and replays those there are. */
int ifref_fib_listen(struct notifier_block *nb);
void ifref_fib_unlisten(struct notifier_block *nb);
/* Whether the event is about an IPv4 route; if so, tells which. */
_Bool ifref_fib_route(const void *info, struct ifref_route *route);

/* linux/device/bus.h; the first two sleep, and look @bus up by its address only */
int ifref_bus_listen(const struct bus_type *bus, struct notifier_block *nb);
void ifref_bus_unlisten(const struct bus_type *bus, struct notifier_block *nb);

/*
 * linux/kobject.h: a folder in sysfs. With a @net it shows in that namespace
 * only; below a @tagged one every folder must have one. All sleep.
 */
struct ifref_folder;
struct ifref_folder *ifref_folder_new(struct ifref_folder *parent, const char *name, _Bool tagged,
				      struct net *net, const struct attribute *const *files,
				      const void *data, int *err);
void ifref_folder_remove(struct ifref_folder *folder);
void ifref_folders_wait(void); /* until what was removed is released */
void ifref_folder_announce(struct ifref_folder *folder, const char *file, const char *name,
			   const char *event);
struct kobject *ifref_folder_kobj(struct ifref_folder *folder);
const void *ifref_folder_data(const struct kobject *kobj);
/* Supplied by Rust: the text of one file; what is written to one. */
long ifref_folder_show(struct kobject *kobj, struct attribute *attr, char *page);
long ifref_folder_store(struct kobject *kobj, struct attribute *attr, const char *text,
			unsigned long len);

/*
 * linux/percpu.h: counters of each CPU's own. init allocates them, zero; count counts one, in
 * one step with a look whether this CPU is closed, and says if it is not: rust/ffi/percpu.rs
 * has the same without a call. close closes all CPUs that there may be and says what their gets
 * less their puts were; with CPUs locked. Sums are over all CPUs, closed or not. trace_get and
 * trace_put are the tracepoints.
 */
struct ifref_shards {
	void *each;	/* struct ifref_shard __percpu * */
	unsigned long long ifaddr, serial;
	unsigned char holder[32];
};

_Bool ifref_shards_init(struct ifref_shards *shards, unsigned int gfp);
void ifref_shards_exit(struct ifref_shards *shards);
_Bool ifref_shards_count(const struct ifref_shards *shards, unsigned int which);
void ifref_shards_trace_get(const struct ifref_shards *shards);
void ifref_shards_trace_put(const struct ifref_shards *shards);
long long ifref_shards_close(const struct ifref_shards *shards);
unsigned long long ifref_shards_sum(const struct ifref_shards *shards, unsigned int which);

/* linux/cpu.h: no CPU comes or goes between the two; sleep */
void ifref_cpus_lock(void);
void ifref_cpus_unlock(void);

/* linux/workqueue.h; sleep */
struct workqueue_struct *ifref_ordered_workqueue(const char *name);
struct workqueue_struct *ifref_unbound_workqueue(const char *name);

/* linux/wait.h: sleeps, without adding to the load, until it is over or @ms are; 0: for ever */
_Bool ifref_wait_until(struct wait_queue_head *queue, _Bool (*over)(void *ctx), void *ctx,
		       unsigned int ms);
void ifref_wait_wake(struct wait_queue_head *queue);

/* linux/sched.h: the current task, to compare */
const void *ifref_task(void);
u64 ifref_run_delay(void);

/*
 * linux/kthread.h: a thread that runs @run when woken, or an ERR_PTR. wake: any context but NMI,
 * raw locks only. The others sleep; the end waits for the thread.
 */
struct ifref_worker;
struct ifref_worker *ifref_worker_new(const char *name, void (*run)(void *ctx), void *ctx);
void ifref_worker_wake(struct ifref_worker *worker);
void ifref_worker_end(struct ifref_worker *worker);

/*
 * linux/kthread.h: a running thread, or an ERR_PTR. The end waits for it; sleep, in the thread,
 * says whether it is to go on. All sleep.
 */
struct task_struct *ifref_thread_new(int (*run)(void *ctx), void *ctx, const char *name);
void ifref_thread_end(struct task_struct *thread);
_Bool ifref_thread_sleep(unsigned int ms);

/* linux/spinlock.h */
void ifref_spin_lock_init(struct raw_spinlock *lock, const char *name, struct lock_class_key *key);
unsigned long ifref_spin_lock_irqsave(struct raw_spinlock *lock);
void ifref_spin_unlock_irqrestore(struct raw_spinlock *lock, unsigned long flags);
void ifref_spin_assert_held(struct raw_spinlock *lock);

/* linux/module.h; the listening sleeps */
int ifref_module_listen(struct notifier_block *nb);
void ifref_module_unlisten(struct notifier_block *nb);
_Bool ifref_within_module(const struct module *module, unsigned long address);
void ifref_module_left(void); /* sleeps until each task that was preempted in the module has left */
const char *ifref_module_name(const struct module *module);
_Bool ifref_module_get(void);
void ifref_module_put(void);
_Bool ifref_can_sleep(void);
void ifref_complain(const char *text);
void ifref_complain_of(const char *what, const char *name, unsigned long len, const char *text);

/*
 * linux/debugfs.h: files of which an open one keeps the module loaded. All sleep;
 * after the removal no call is running.
 */
struct dentry *ifref_control_dir(const char *name);
void ifref_control_file(struct dentry *dir, const char *name, void *data);
void ifref_control_remove(struct dentry *dir);
/* Supplied by Rust; @from is an address in user space. */
int ifref_control_show(struct seq_file *to, void *unused);
long ifref_control_store(void *data, unsigned long from, unsigned long len);

/* Tracepoints, trace.h */
void ifref_trace_adopt(unsigned long long serial, const char *name, int ifindex,
		       unsigned int netns, const char *driver);
void ifref_trace_invalidate(unsigned long long serial, const char *name, const char *cause);
void ifref_trace_free(unsigned long long serial, const char *name, const char *cause,
		      unsigned long long lead_ns);
void ifref_trace_stuck(unsigned long long serial, const char *name, const char *stage,
		       unsigned long long ms, int softc_holds);
void ifref_trace_ifaddr_new(unsigned long long id, unsigned long long serial,
			    const struct ifref_addr *addr);
void ifref_trace_ifaddr_invalidate(unsigned long long id, unsigned long long serial,
				   const char *reason);
void ifref_trace_refused(unsigned long long id, unsigned long long serial, const char *reason);

/* Event numbers and sizes, for Rust; the shim checks them against the kernel's. */
#define IFREF_SAME(ours, kernels) static_assert((int)(ours) == (int)(kernels))

enum {
	IFREF_NETDEV_UP = 1,
	IFREF_NETDEV_DOWN = 2,
	IFREF_NETDEV_REGISTER = 5,
	IFREF_NETDEV_UNREGISTER = 6,
	IFREF_NETDEV_CHANGEADDR = 8,
	IFREF_NETDEV_GOING_DOWN = 10,
	IFREF_NETDEV_CHANGENAME = 11,
	IFREF_NETDEV_POST_TYPE_CHANGE = 16,
	IFREF_NETREG_REGISTERED = 1,
	IFREF_NETREG_UNREGISTERING = 2,
	IFREF_NETREG_UNREGISTERED = 3,
	IFREF_BUS_UNBIND = 5,
	IFREF_BUS_UNBOUND = 6,
	IFREF_MODULE_GOING = 2,
	IFREF_FIB_REPLACE = 0,
	IFREF_FIB_DEL = 3,
	IFREF_RT_TABLE_MAIN = 254,
	IFREF_AF_INET = 2,
	IFREF_AF_INET6 = 10,
	IFREF_AF_PACKET = 17,
	IFREF_HOLDER_SIZE = 32,
	IFREF_ETH_ALEN = 6,
	IFREF_ETH_HLEN = 14,
	IFREF_ETH_DATA_LEN = 1500,
	IFREF_IFF_PROMISC = 0x100,
	IFREF_IFF_ALLMULTI = 0x200,
	IFREF_NETDEV_TX_OK = 0,
};

/* What a CPU counts, for ifref_shards_sum() and ifref_shards_count(). */
enum {
	IFREF_SHARD_GETS,
	IFREF_SHARD_PUTS,
	IFREF_SHARD_PARKED,
	IFREF_SHARD_UNPARKED,
	IFREF_SHARD_COUNTERS,
};

#endif
