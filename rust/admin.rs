// SPDX-License-Identifier: GPL-2.0

//! Removal by an administrator: `ifnets/<serial>/detach`.
//!
//! What a driver of ifref's has attached is detached in order, which the driver may veto. A device on a
//! bus is released from its driver, a virtual link is deleted. That is what the kernel itself waits
//! for, so it is done in a work item of its own, which may wait for ever without anybody else being
//! held up.

use crate::{
    devd::Devd,
    ffi::{
        module::{
            net_admin,
            Loaded, //
        },
        net_namespace::Net,
        parent::Parent,
        rtnetlink::Rtnl, //
    },
    ifnet::Ifnet,
    registry::errno, //
};
use kernel::{
    impl_has_work, new_work,
    prelude::*,
    sync::{
        rcu,
        Arc, //
    },
    workqueue::{
        Work,
        WorkItem, //
    },
};

/// One removal.
#[pin_data]
struct Removal {
    ifnet: Arc<Ifnet>,
    /// What is released from its driver; else it is a link that is deleted.
    parent: Option<Parent>,
    /// Of a link, the namespace that its administrator has the right over.
    net: Option<Net>,
    /// It may wait for ever, and its code must stay.
    _loaded: Loaded,
    #[pin]
    work: Work<Self, 0>,
}

impl_has_work! {
    impl HasWork<Self, 0> for Removal { self.work }
}

/// Has an interface removed; returns once that is queued. The outcome is in its state.
///
/// EPERM without CAP_NET_ADMIN, in the initial user namespace for a device, over its namespace for
/// a link, which is left alone if it has moved to another one by then; EBUSY if its parent has other
/// interfaces; EOPNOTSUPP if it is neither, as where the parent has no driver, or one that must not
/// be unbound; ENODEV if it is going already; ENOMEM. Process context; waits for no lock that sleeps:
/// who has it may wait for this write to end.
pub(crate) fn detach(ifnet: &Ifnet) -> Result {
    let parent = ifnet.kept_parent().filter(Parent::releasable);
    let (ifnet, net) = {
        let section = rcu::read_lock();
        let live = ifnet.live(&section).map_err(errno)?;
        let is_device = ifnet.is_driven() || parent.is_some();
        let net = (!is_device).then(|| ifnet.identity().net.clone());
        if !net.as_ref().map_or_else(net_admin, Net::administered) {
            return Err(EPERM);
        }
        if parent.is_some() && ifnet.siblings() > 0 {
            return Err(EBUSY);
        }
        if !is_device && !live.is_link() {
            return Err(EOPNOTSUPP);
        }
        (live.keep(), net)
    };
    if let (Some(object), None) = (ifnet.object(), &parent) {
        object.ask();
        return Ok(());
    }
    let devd = ifnet.devd().clone();
    let loaded = Loaded::get()?;
    let removal = Arc::pin_init(
        pin_init!(Removal {
            ifnet,
            parent,
            net,
            _loaded: loaded,
            work <- new_work!("ifref_removal"),
        }),
        GFP_KERNEL,
    )?;
    devd.start(removal)
}

impl Devd {
    fn start(&self, removal: Arc<Removal>) -> Result {
        let queued = self.helpers().enqueue::<Arc<Removal>, 0>(removal);
        queued.map_err(|_| EBUSY)
    }
}

impl WorkItem<0> for Removal {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        // Its driver's own remove detaches it then.
        if this.ifnet.object().is_some_and(|object| !object.consents()) {
            return;
        }
        let rtnl = Rtnl::lock();
        // Still the same one: this ifnet has a serial that no other has.
        let Some(dev) = this.ifnet.registered_device(&rtnl) else {
            return;
        };
        // It may have left while others had RTNL, and there nobody has given the right to delete it.
        if this.net.as_ref().is_some_and(|net| *net != dev.net()) {
            return;
        }
        match &this.parent {
            // Somebody else's by now, too.
            Some(_) if this.ifnet.siblings() > 0 => {}
            Some(parent) => {
                drop(rtnl);
                parent.release_driver();
            }
            None => dev.delete_link(&rtnl),
        }
    }
}
