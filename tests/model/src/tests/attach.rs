// SPDX-License-Identifier: GPL-2.0

//! The linkages are being made, or could not be: who passes, and who ends the object.

use super::Seen;
use crate::{
    driven::{Devd, Object},
    lifecycle::{course::Course, Begun, Linking, Reason, Stage, Vetoed},
    platform::{explore, Model, Right},
};
use loom::thread;

/// An attach that a notifier refuses after the device could be found: devd is done with its
/// errand while the last reference goes. One of the two ends it.
#[test]
fn an_attach_that_fails_ends() {
    let seen = Seen::default();
    let drained_last = seen.clone();
    explore(move || {
        let devd = Devd::<Right>::attaching(1);
        let object = devd.object();
        object.life.course.fail();
        assert_eq!(object.life.course.stage(), Stage::Failing);
        assert!(!object.life.course.over());
        let core = thread::spawn({
            let devd = devd.clone();
            move || {
                let last = devd.object().life.drained();
                if last {
                    devd.object().end();
                }
                last
            }
        });
        let done_last = object.life.done();
        if done_last {
            object.end();
        }
        let last = core.join().unwrap();
        drained_last.note(last);
        assert_ne!(last, done_last, "nobody or both end it");
        assert_eq!(object.life.course.stage(), Stage::Failed);
        assert!(object.life.course.over());
    });
    seen.both();
}

/// Makes a state word, in the model.
fn course(check: fn(&Course<Model<Right>>)) {
    explore(move || check(&Course::default()));
}

/// Nothing is sent or opened from the detach on, be it before the linkages are made; but while the
/// driver is asked.
#[test]
fn what_is_to_go_does_not_pass() {
    course(|course| {
        assert!(course.passes());
        assert!(course.begin());
        assert!(!course.begin(), "begun twice");
        assert!(course.passes());
        assert_eq!(course.detach(Reason::Gone), Begun::No);
        assert!(!course.passes(), "wanted detached");
        assert!(course.unwanted());
        assert_eq!(course.linked(), Linking::Detach);
        assert!(!course.passes());
    });
    course(|course| {
        assert!(course.begin());
        assert!(!course.ask());
        assert!(!course.unwanted());
        assert!(course.passes());
        assert_eq!(course.linked(), Linking::Ask);
        assert!(course.passes());
        assert!(!course.vetoed());
        assert_eq!(course.veto(), Vetoed::Stands);
        assert!(course.passes() && course.vetoed());
        assert_eq!(course.detach(Reason::Unload), Begun::Asked);
        assert!(!course.passes() && !course.vetoed());
    });
}

/// One that comes while the linkages are being made begins the removal if it comes to that, and
/// nobody was asked.
#[test]
fn nobody_was_asked() {
    let seen = Seen::default();
    let begins = seen.clone();
    explore(move || {
        let devd = Devd::<Right>::attaching(1);
        let linker = thread::spawn({
            let devd = devd.clone();
            move || devd.object().life.course.linked()
        });
        let begun = devd.object().life.course.detach(Reason::Gone);
        assert_ne!(begun, Begun::Asked);
        begins.note(begun == Begun::Unasked);
        let linking = linker.join().unwrap();
        assert_eq!(linking == Linking::Detach, begun == Begun::No);
    });
    seen.both();
}

/// A wish outweighs a lesser one only, and the first reason that is acted on stays.
#[test]
fn the_weightiest_wish_counts() {
    for (first, second, counts) in [
        (Reason::Unload, Reason::Gone, Reason::Gone),
        (Reason::Gone, Reason::Unload, Reason::Gone),
        (Reason::Gone, Reason::Gone, Reason::Gone),
    ] {
        explore(move || {
            let course = Course::<Model<Right>>::default();
            assert_eq!(course.detach(first), Begun::No);
            assert!(!course.ask());
            assert_eq!(course.detach(second), Begun::No);
            assert_eq!(course.reason(), Some(counts));
            assert!(!course.begin(), "begun though it is not wanted");
        });
        explore(move || {
            let course = Course::<Model<Right>>::default();
            assert!(course.begin());
            assert!(!course.ask());
            assert_eq!(course.reason(), Some(Reason::Orderly));
            assert_eq!(course.detach(first), Begun::No);
            assert_eq!(course.detach(second), Begun::No);
            assert_eq!(course.linked(), Linking::Detach);
            assert_eq!(course.reason(), Some(counts));
            assert!(!course.unlinked(), "a removal had begun");
            assert_eq!(course.detach(second), Begun::No);
            assert_eq!(course.reason(), Some(counts));
        });
        explore(move || {
            let course = Course::<Model<Right>>::default();
            assert!(course.begin());
            assert_eq!(course.linked(), Linking::Attached);
            assert_eq!(course.detach(first), Begun::Unasked);
            assert_eq!(course.detach(second), Begun::No);
            assert_eq!(course.reason(), Some(first));
            assert_eq!(course.stage(), Stage::Detaching);
        });
    }
}

/// What nobody wants is not linked; the driver's yes and no count once, and while it is asked.
#[test]
fn an_answer_is_to_a_question() {
    course(|course| {
        assert!(!course.grant());
        assert_eq!(course.veto(), Vetoed::Overruled);
        assert!(course.begin());
        assert_eq!(course.linked(), Linking::Attached);
        assert!(!course.grant());
        assert_eq!(course.veto(), Vetoed::Overruled);
        assert!(course.ask());
        assert!(!course.ask(), "asked twice");
        assert!(course.grant());
        assert!(!course.grant());
        assert_eq!(course.veto(), Vetoed::Overruled);
        assert_eq!(course.stage(), Stage::Detaching);
        assert_eq!(course.reason(), Some(Reason::Orderly));
        assert!(!course.drained(), "not unlinked yet");
        assert!(!course.unlinked());
        assert!(!course.unlinked());
        assert_eq!(course.stage(), Stage::Unlinked);
        assert!(course.drained());
        assert!(!course.drained(), "drained twice");
        assert_eq!(course.stage(), Stage::Drained);
        assert!(!course.over());
        course.end();
        assert!(course.over());
        assert_eq!(course.stage(), Stage::Freed);
        assert_eq!(course.reason(), Some(Reason::Orderly));
    });
    course(|course| {
        assert!(course.begin());
        assert_eq!(course.linked(), Linking::Attached);
        assert!(course.unlinked(), "nobody had begun");
        assert_eq!(course.reason(), Some(Reason::Core));
    });
}

/// Nothing is done twice to an object that has ended.
#[test]
fn what_has_ended_is_sent_nowhere() {
    explore(|| {
        let devd = Devd::<Right>::attached(1);
        assert!(devd.detach(devd.object(), Reason::Gone));
        devd.pass(Object::end);
        let object = devd.object();
        assert_eq!(object.life.pins.count(), 0);
        assert!(!devd.send(object, 4));
        assert_eq!(object.life.errands.take(), 0);
        assert!(!devd.detach(object, Reason::Gone));
    });
}
