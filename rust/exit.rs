// SPDX-License-Identifier: GPL-2.0

//! The exit: it ends what users have forgotten, and takes down what ifref owns. Only memory may stay.

use crate::{
    entered,
    ffi::module,
    ledger::LEDGER,
    registry::Registry, //
};
use core::mem;
use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        rcu,
        Arc, //
    },
};

impl Registry {
    /// Lets go what uses that were left behind keep of devices. No holder is registered any more.
    pub(crate) fn abandon_uses(&self) {
        self.holders().for_each(|holder| {
            let section = rcu::read_lock();
            for stake in holder.stakes().iter(&section) {
                let left = entered::abandon(stake.entries());
                LEDGER.left_behind.entered.add(left, Relaxed);
                if left != 0 {
                    let name = holder.name().as_str();
                    pr_warn!("{left} uses of holder {name} were left behind\n");
                }
            }
        });
    }

    /// Ends everything: nothing is submitted from here on. What users have forgotten to give back may keep
    /// memory from now on, and nothing else. Sleeps, one grace period or so.
    pub(crate) fn end(self: &Arc<Self>) {
        let watches = mem::take(&mut *self.watches.lock());
        drop(watches);
        // Those of a module that goes are ended then; but who registers says which module that is.
        while let Some(holder) = self.holders().find(|holder| !holder.unregistered()) {
            let name = holder.name().as_str();
            pr_warn!("holder {name} has not unregistered\n");
            holder.unregister(self);
        }
        self.for_each_ifnet(|ifnet| self.finish(ifnet));
        // What began before the registry was closed may still have asked for healing.
        self.queue.flush();
        // It runs at once and finds the registry closed.
        self.queue.flush_delayed(&self.heal);
        self.queue.flush_delayed(&self.sample);
        self.bury_ghosts();
        self.queue.drain();
        self.tree.end();
        // SAFETY: devd has ended, nothing is shown, adopted or held: no user is left that
        // could queue anything.
        unsafe {
            self.devd().end();
            self.queue.end();
        }
        // Who has told the end of one may not have returned: the network core from a device's
        // destructor, a worker of the kernel's from a folder's release. It takes a third of a second.
        if LEDGER.attachments.made() != 0 || cfg!(CONFIG_DEBUG_KOBJECT_RELEASE) {
            module::left();
        }
    }

    /// Ends what holders have left behind: nobody is loaded any more who could.
    fn bury_ghosts(self: &Arc<Self>) {
        self.holders().for_each(|holder| {
            let section = rcu::read_lock();
            for stake in holder.stakes().iter(&section) {
                let Some(stake) = stake.abandon() else {
                    continue;
                };
                let left = stake.references();
                pr_warn!(
                    "{left} references of holder {} to ifaddr {} were left behind\n",
                    holder.name().as_str(),
                    stake.ifaddr().id()
                );
                LEDGER.left_behind.references.add(left, Relaxed);
                self.pend_stake(stake);
            }
        });
    }
}
