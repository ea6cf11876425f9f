// SPDX-License-Identifier: GPL-2.0

//! The helper: what of a batch is done in a section of its class, and its drain.

use super::{
    object::errand,
    Failure,
    Object,
    Step, //
};
use crate::lifecycle::{
    Linking,
    Stage, //
};
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
            for object in batch.iter() {
                if object.life().course.stage() == Stage::Attaching {
                    link(&object.into());
                } else {
                    object.linkage().unlink();
                }
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

/// Makes an object's linkages, unless a detach came before.
fn link(object: &Arc<Object>) {
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
        Err(Failure { error, draining }) => object.failed(error, draining),
        Ok(()) => {
            object.devd().stats().attached.count();
            match course.linked() {
                Linking::Attached => {}
                Linking::Ask => object.submit(errand::ASK),
                Linking::Detach => object.detach_at_once(),
            }
            object.settle();
        }
    }
}
