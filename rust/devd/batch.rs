// SPDX-License-Identifier: GPL-2.0

//! The helper: what of a batch is done in a section of its class, and its drain.

use super::{
    jobs::job,
    object::errand,
    Failure,
    Object,
    Step, //
};
use crate::lifecycle::{
    Begun,
    Linking, //
};
use core::mem;
use kernel::{
    list::List,
    prelude::*,
    sync::Arc, //
};

/// Runs a section for the class of `lead`, with all that waits for one, unless another helper has
/// taken it. Sleeps until what it has unlinked has drained, which may be endlessly.
pub(super) fn section(lead: Arc<Object>) {
    let devd = lead.devd().clone();
    let class = lead.linkage().class();
    drop(lead);
    let (mut going, mut coming) = (List::new(), List::new());
    (class.section)(&mut |step| match step {
        Step::Unlink => {
            // Not before: what comes while others have the section's lock comes along.
            (going, coming) = devd.take_section(class);
            for object in going.iter() {
                object.linkage().unlink();
            }
        }
        Step::Link => {
            for object in mem::take(&mut going) {
                let object = object.into_arc();
                object.linkage().close();
                // It waits for no lock of the section's.
                object.assign(job::QUIESCE);
                // The errand: `free` waits for `quiesce` alone from here on.
                object.done();
            }
            for object in mem::take(&mut coming) {
                // On no list: as soon as it is linked it may be detached, and come to one again.
                let object = object.into_arc();
                // The pin of this errand is that of the one on which it will be detached.
                if !link(&object) {
                    object.done();
                }
            }
        }
    });
}

/// Makes an object's linkages, unless a detach came before. False if they are not made.
fn link(object: &Arc<Object>) -> bool {
    let course = &object.life().course;
    let linked = if course.unwanted() {
        Err(Failure {
            error: ENODEV,
            draining: false,
        })
    } else {
        object.linkage().link(object)
    };
    match linked {
        Err(Failure { error, draining }) => {
            object.failed(error, draining);
            return false;
        }
        Ok(()) => object.devd().stats().attached.count(),
    }
    match object.life().course.linked() {
        Linking::Attached => {}
        Linking::Ask => object.submit(errand::ASK),
        Linking::Detach => object.detach_at_once(Begun::Asked),
    }
    object.settle();
    true
}
