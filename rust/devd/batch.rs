// SPDX-License-Identifier: GPL-2.0

//! The helper: what of a batch is done in a section of its class, and its drain.

use super::{
    object::errand,
    Failure,
    Object,
    Step, //
};
use crate::lifecycle::{
    Begun,
    Linking,
    Stage, //
};
use core::mem;
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Runs the section that `lead` leads. Sleeps until all of it has drained, which may be for ever:
/// devd goes on when it is unlinked.
pub(super) fn section(lead: Arc<Object>) {
    let devd = lead.devd().clone();
    let class = lead.linkage().class();
    drop(lead);
    let mut batch = devd.take_section();
    class.section(&mut |step| match step {
        Step::Linking => {
            for object in mem::take(&mut batch) {
                if object.life().course.stage() != Stage::Attaching {
                    object.linkage().unlink();
                } else if link(&object.as_arc_borrow().into()) {
                    // The pin of this errand is that of the one on which it will be detached.
                    continue;
                }
                batch.push_back(object);
            }
        }
        Step::Unlinked => {
            while let Some(object) = batch.pop_front() {
                let object = object.into_arc();
                // The errand: from here on it may be freed.
                object.done();
            }
            devd.section_unlinked();
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
