// SPDX-License-Identifier: GPL-2.0

//! What a network device is a child of, and where it is in sysfs.
//!
//! C headers: [`include/linux/device.h`](srctree/include/linux/device.h),
//! [`include/linux/kernfs.h`](srctree/include/linux/kernfs.h)

use super::{
    bindings,
    netdevice::NetDevice, //
};
use crate::text::Text;
use core::ptr::NonNull;

/// A reference to the parent of a network device that keeps it. Dropping it may sleep.
///
/// # Invariants
///
/// Owns the reference.
pub(crate) struct Parent(NonNull<kernel::bindings::device>);

// SAFETY: The driver core's locks guard a `struct device`; a reference may be put in any task
// where the release may sleep.
unsafe impl Send for Parent {}
// SAFETY: As above.
unsafe impl Sync for Parent {}

impl Parent {
    /// The parent of `dev`, unless it has none or the kernel moves it from one to another: a
    /// gadget's own interface, a Bluetooth connection's.
    ///
    /// # Safety
    ///
    /// Under RTNL, while registered: then it keeps its parent.
    pub(crate) unsafe fn of(dev: &NetDevice) -> Option<Self> {
        // SAFETY: the caller's promise.
        let parent = unsafe { bindings::ifref_parent_get(dev.raw()) };
        // INVARIANT: just taken.
        NonNull::new(parent).map(Self)
    }

    /// The address that identifies it while it exists.
    pub(crate) fn key(&self) -> usize {
        self.0.as_ptr() as usize
    }

    /// The address of its bus, to compare; 0 if it has none.
    pub(crate) fn bus(&self) -> usize {
        // SAFETY: the type's invariant.
        unsafe { bindings::ifref_parent_bus(self.0.as_ptr()) as usize }
    }

    /// Whether it has a driver that it may be released from; or is just being bound or unbound.
    /// Process context.
    pub(crate) fn releasable(&self) -> bool {
        // SAFETY: the type's invariant.
        unsafe { bindings::ifref_parent_releasable(self.0.as_ptr()) }
    }

    /// Releases it from its driver, with all interfaces that this has made of it, if it may be.
    /// Sleeps, as long as that takes.
    pub(crate) fn release_driver(&self) {
        // SAFETY: the type's invariant.
        unsafe { bindings::ifref_parent_release(self.0.as_ptr()) };
    }
}

impl Clone for Parent {
    fn clone(&self) -> Self {
        // SAFETY: the type's invariant.
        unsafe { bindings::ifref_parent_hold(self.0.as_ptr()) };
        // INVARIANT: just taken.
        Self(self.0)
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        // SAFETY: the type's invariant; the reference ends here.
        unsafe { bindings::ifref_parent_put(self.0.as_ptr()) };
    }
}

/// The folder of a network device. What is above it is only looked up by name, so that it does not
/// matter who moves the device meanwhile, and what of its parents exists.
///
/// # Invariants
///
/// Owns a reference to the node.
struct Node(NonNull<kernel::bindings::kernfs_node>);

impl Drop for Node {
    fn drop(&mut self) {
        // SAFETY: the type's invariant; the reference ends here.
        unsafe { bindings::ifref_node_put(self.0.as_ptr()) };
    }
}

/// A network device's folder and kind, to look its place up by.
pub(crate) struct Placed {
    node: Option<Node>,
    kind: Text<32>,
}

impl Placed {
    /// That of `dev`.
    ///
    /// # Safety
    ///
    /// The caller's read section, or its section under RTNL, has seen the device registered: it has
    /// its folder, and its kind.
    pub(crate) unsafe fn new(dev: &NetDevice) -> Self {
        // SAFETY: the caller's promise.
        let node = NonNull::new(unsafe { bindings::ifref_node_get(dev.raw()) });
        let kind = Text::filled_by(|buf, size| {
            // SAFETY: as above; the buffer has the given size.
            unsafe { bindings::ifref_link_kind(dev.raw(), buf, size) }
        });
        // INVARIANT: just taken.
        let node = node.map(Node);
        Self { node, kind }
    }

    /// What can be said now. Sleeps.
    pub(crate) fn look(&self) -> Place {
        let (mut driver, mut bus_path) = (None, None);
        if let Some(Node(node)) = &self.node {
            let node = node.as_ptr();
            // SAFETY: `Node`'s invariant; the closures' buffers have the given size.
            unsafe {
                driver = read(|buf, size| bindings::ifref_node_driver(node, buf, size));
                bus_path = read(|buf, size| bindings::ifref_node_bus_path(node, buf, size));
            }
        }
        Place {
            driver: driver.unwrap_or(self.kind),
            bus_path: bus_path.unwrap_or_else(|| Text::from("virtual")),
        }
    }
}

/// Where a network device is.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// The name of its parent's driver, else the kind of link, else "none".
    pub driver: Text<32>,
    /// Its parent's bus and name ("usb/1-1:1.0"), or "virtual".
    pub bus_path: Text<64>,
}

/// Text that a C function writes, if it does.
fn read<const N: usize>(fill: impl FnOnce(*mut u8, usize) -> bool) -> Option<Text<N>> {
    let mut written = false;
    let text = Text::filled_by(|buf, size| written = fill(buf, size));
    written.then_some(text)
}
