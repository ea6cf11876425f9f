// SPDX-License-Identifier: GPL-2.0

//! What devd is told of an object: how it is linked into the system, and its driver's code.

use super::Object;
use crate::text::Text;
use core::any::Any;
use kernel::{
    fmt,
    prelude::*,
    sync::Arc, //
};

/// The steps of a section, in their order.
pub(crate) enum Step {
    /// Linkages are unmade.
    Unlink,
    /// They are unmade, and nothing that used them is running: others are made.
    Link,
}

/// A kind of object: what is linked and unlinked in one go. Known by its address, so it is a static.
pub(crate) struct Class {
    /// Runs one section: both steps, and then waits, if that is how it is, until the objects that
    /// were unlinked have drained. Sleeps, as long as it takes.
    ///
    /// Each object says itself when it has: [`Object::drained`].
    pub(crate) section: fn(step: &mut dyn FnMut(Step)),
}

/// The linkages could not be made.
pub(crate) struct Failure {
    /// Why.
    pub error: Error,
    /// Whether [`Object::drained`] is still to come.
    pub draining: bool,
}

/// The driver has said no.
#[derive(Clone, Copy, Default)]
pub struct Veto {
    /// Why.
    pub reason: Text<64>,
    /// After how many milliseconds to ask again; 0 if the driver will say.
    pub again_ms: u32,
}

/// What links one object into the system, and the code of its driver. Unless it says otherwise a
/// method runs on a worker of devd's, in process context, with no lock held.
pub(crate) trait Linkage: Send + Sync + Any {
    /// The class.
    fn class(&self) -> &'static Class;

    /// Itself, for the class.
    fn any(&self) -> &dyn Any;

    /// Makes the linkages. In a section.
    fn link(&self, object: &Arc<Object>) -> Result<(), Failure>;

    /// Unmakes them, unless that was done. In a section, at [`Step::Unlink`].
    fn unlink(&self);

    /// They are unmade, and nothing leads to the driver: lets go of what was kept for that. In a
    /// section, at [`Step::Link`].
    fn close(&self);

    /// It is going: whoever would follow a reference to it is refused from now on. Any context but
    /// NMI, and in the time of a few stores.
    fn invalidate(&self);

    /// As much of the removal as needs no section. devd's thread.
    fn withdraw(&self);

    /// Asks the driver.
    fn may_detach(&self) -> Result<(), Veto>;

    /// The driver's: nothing reaches it from here on. Once, after [`Self::close`], before `free`.
    fn quiesce(&self);

    /// The driver's: nothing refers to it any more. Once, and the last of all.
    fn free(&self);

    /// The linkages could not be made, and all is as before.
    fn fail(&self);

    /// Its name, for a report. Any context.
    fn name(&self, to: &mut dyn fmt::Write) -> fmt::Result;

    /// Reports who refers to it: it has been going for `ms` milliseconds.
    fn report(&self, object: &Object, ms: u64);
}
