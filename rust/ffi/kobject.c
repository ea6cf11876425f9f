// SPDX-License-Identifier: GPL-2.0
/*
 * The shim: files in sysfs and debugfs, and uevents.
 */
#include <linux/debugfs.h>
#include <linux/kobject.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/sysfs.h>
#include <linux/wait_bit.h>
#include <net/net_namespace.h>

#include "shim.h"

/* linux/kobject.h */

struct ifref_folder {
	struct kobject kobj;
	struct kset *set;	/* that of the root folder, in whose place it is: for uevents */
	struct net *net;
	const void *data;
};

#define to_folder(k) container_of_const(k, struct ifref_folder, kobj)

/* Not released yet: folder_release() is the module's. With DEBUG_KOBJECT_RELEASE it comes late. */
static atomic_t unreleased = ATOMIC_INIT(0);

static void folder_release(struct kobject *kobj)
{
	struct ifref_folder *folder = to_folder(kobj);

	if (folder->net)
		ifref_net_put(folder->net);
	kfree(folder);
	atomic_dec_and_wake_up(&unreleased);
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
	atomic_inc(&unreleased);
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

void ifref_folders_wait(void)
{
	wait_var_event(&unreleased, !atomic_read(&unreleased));
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
