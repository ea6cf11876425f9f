// SPDX-License-Identifier: GPL-2.0
/*
 * The shim: modules, buses, the log.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/device.h>
#include <linux/module.h>
#include <linux/notifier.h>
#include <linux/preempt.h>
#include <linux/printk.h>
#include <linux/rcupdate.h>

#include "shim.h"

IFREF_SAME(IFREF_BUS_UNBIND, BUS_NOTIFY_UNBIND_DRIVER);
IFREF_SAME(IFREF_BUS_UNBOUND, BUS_NOTIFY_UNBOUND_DRIVER);
IFREF_SAME(IFREF_MODULE_GOING, MODULE_STATE_GOING);
/* linux/device/bus.h */

int ifref_bus_listen(const struct bus_type *bus, struct notifier_block *nb)
{
	return bus_register_notifier(bus, nb);
}

void ifref_bus_unlisten(const struct bus_type *bus, struct notifier_block *nb)
{
	bus_unregister_notifier(bus, nb);
}

/* linux/module.h */

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

/*
 * Who is preempted is no quiescent state of RCU-tasks, and who sleeps is. Without
 * CONFIG_TASKS_RCU nobody is preempted in the kernel, and it is synchronize_rcu(); a preemptible
 * kernel has it as soon as there are kprobes, ftrace or BPF.
 */
void ifref_module_left(void)
{
	synchronize_rcu_tasks();
}

const char *ifref_module_name(const struct module *module)
{
	return module->name;
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

void ifref_complain_of(const char *what, const char *name, unsigned long len, const char *text)
{
	pr_notice_ratelimited("%s \"%*pE\": %s\n", what, (int)len, name, text);
}
