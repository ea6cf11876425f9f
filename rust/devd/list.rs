// SPDX-License-Identifier: GPL-2.0

//! The list of what is attached.

use super::{
    Devd,
    Object,
    Owner, //
};
use crate::lifecycle::Reason;
use core::ptr;
use kernel::{
    list::ListArc,
    prelude::*,
    sync::Arc, //
};

impl Devd {
    /// Puts an object that is to be attached on the list, and begins.
    pub(super) fn enlist(&self, object: &Arc<Object>) -> Result {
        let item = ListArc::<_, 1>::try_from_arc_or_drop(object.clone()).ok_or(EINVAL)?;
        let mut objects = self.objects.lock();
        if object.owner.is_shut() {
            return Err(ENODEV);
        }
        let course = &object.life.course;
        if !course.begin() {
            return Err(if course.unwanted() { ENODEV } else { EINVAL });
        }
        object.owner.enter();
        objects.push_back(item);
        Ok(())
    }

    /// Takes one off that has come to its end.
    pub(super) fn delist(&self, object: &Arc<Object>) {
        let mut objects = self.objects.lock();
        // SAFETY: `enlist` has put it on this list, and it is taken off once.
        let item = unsafe { objects.remove(object) };
        object.owner.leave();
        drop(objects);
        drop(item);
        object.owner.tell();
    }

    /// The first one on the list of which `is` says so, with no lock held any more.
    pub(super) fn find(&self, is: impl Fn(&Object) -> bool) -> Option<Arc<Object>> {
        let objects = self.objects.lock();
        let found = objects.iter().find(|object| is(object));
        found.map(Arc::from)
    }

    /// Detaches all that is an owner's; it attaches nothing any more.
    pub(super) fn detach_all_of(&self, owner: &Owner) {
        let objects = self.objects.lock();
        owner.shut();
        for object in objects.iter() {
            let object: Arc<Object> = object.into();
            if ptr::eq(&*object.owner, owner) {
                object.detach(Reason::Unload);
            }
        }
    }
}
