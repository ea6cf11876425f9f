// SPDX-License-Identifier: GPL-2.0

//! Contenders for what a driver has attached: detach, unload, the core, the driver's own hold.

use super::Seen;
use crate::{
    driven::{Devd, Object, ASK, DETACH},
    lifecycle::{course::Course, Linking, Reason, Stage, Vetoed},
    platform::{explore, explore_within, Flaws, Model, Right},
};
use loom::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering, Ordering::Relaxed},
    thread,
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

struct Torn;
impl Flaws for Torn {
    const ATOMIC: bool = false;
}

struct Loose;
impl Flaws for Loose {
    const FULL: bool = false;
    const LOAD_WORD: Ordering = Relaxed;
    const STORE_POINTER: Ordering = Relaxed;
    const LOAD_POINTER: Ordering = Relaxed;
}

/// Two detach one object; whoever is told so wakes devd, which may run beside the other.
fn detach_twice<F: Flaws>() {
    explore(|| {
        let devd = Devd::<F>::attached(1);
        let contenders = [Reason::Gone, Reason::Orderly].map(|reason| {
            let devd = devd.clone();
            thread::spawn(move || {
                let woken = devd.detach(devd.object(), reason);
                if woken {
                    devd.pass(Object::end);
                }
                woken
            })
        });
        let won = contenders.map(|contender| contender.join().unwrap());
        assert_ne!(won[0], won[1], "not one winner");
        let reason = [Reason::Gone, Reason::Orderly][usize::from(won[1])];
        assert_eq!(devd.object().life.course.reason(), Some(reason));
        assert_eq!(devd.object().life.course.stage(), Stage::Freed);
        assert_eq!(devd.object().life.pins.count(), 0);
    });
}

/// One submits, one free, and its reason stays.
#[test]
fn one_of_two_detaches() {
    detach_twice::<Right>();
}

/// Found: a compare-and-exchange of two accesses.
#[test]
#[should_panic]
fn detaching_in_two_accesses() {
    detach_twice::<Torn>();
}

/// The hardware goes while the driver is unloaded: the unload waits for one free, whoever began,
/// and then the code goes.
fn unload<F: Flaws>(end: fn(&Object<F>)) {
    explore(move || {
        let devd = Devd::<F>::attached(1);
        let popped = thread::spawn({
            let devd = devd.clone();
            move || {
                if devd.detach(devd.object(), Reason::Gone) {
                    devd.pass(end);
                }
            }
        });
        if devd.detach(devd.object(), Reason::Unload) {
            devd.pass(end);
        }
        devd.wait(devd.object());
        devd.object().text.free();
        popped.join().unwrap();
        assert_eq!(devd.object().detached.load(Relaxed), 1);
    });
}

/// The sick case: the unload joins the detach that is under way.
#[test]
fn an_unload_joins() {
    unload::<Right>(Object::end);
}

/// Found: those who wait are told before the driver has returned.
#[test]
#[should_panic(expected = "Causality violation")]
fn telling_before_the_free() {
    unload::<Right>(Object::end_early);
}

/// Found: who waits does not see what the free did.
#[test]
#[should_panic(expected = "Causality violation")]
fn telling_without_an_order() {
    unload::<Loose>(Object::end);
}

/// The driver lets its softc go while the last reference of others goes.
fn release<F: Flaws>() {
    let seen = Seen::default();
    let last = seen.clone();
    explore(move || {
        let devd = Devd::<F>::attached(1);
        assert!(devd.object().life.pins.pin());
        let (driver, last) = (devd.clone(), last.clone());
        let driver = thread::spawn(move || {
            let object = driver.object();
            object.softc.touch();
            let ends = object.life.done();
            last.note(ends);
            if ends {
                object.end();
            }
        });
        assert!(devd.detach(devd.object(), Reason::Gone));
        devd.pass(Object::end);
        driver.join().unwrap();
        assert_eq!(devd.object().life.course.stage(), Stage::Freed);
        assert!(!devd.object().life.pins.pin(), "pinned after its end");
    });
    seen.both();
}

/// Whoever is the last ends it, and after all that the others did.
#[test]
fn the_last_pin_frees() {
    release::<Right>();
}

/// Found: a pin that goes without an order.
#[test]
#[should_panic(expected = "Causality violation")]
fn releasing_without_an_order() {
    release::<Loose>();
}

/// Somebody takes a pin while the object ends: either it is refused, or the end waits for it.
fn pin_late<F: Flaws>() {
    let seen = Seen::default();
    let pinned = seen.clone();
    explore(move || {
        let devd = Devd::<F>::attached(1);
        let (user, pinned) = (devd.clone(), pinned.clone());
        let user = thread::spawn(move || {
            let object = user.object();
            let got = object.life.pins.pin();
            pinned.note(got);
            if got {
                object.softc.touch();
                if object.life.done() {
                    object.end();
                }
            }
        });
        assert!(devd.detach(devd.object(), Reason::Gone));
        devd.pass(Object::end);
        user.join().unwrap();
        assert_eq!(devd.object().life.course.stage(), Stage::Freed);
    });
    seen.both();
}

/// A use that begins while the last one ends.
#[test]
fn a_late_pin_is_refused_or_waited_for() {
    pin_late::<Right>();
}

/// Found: a compare-and-exchange of two accesses.
#[test]
#[should_panic]
fn pinning_in_two_accesses() {
    pin_late::<Torn>();
}

/// The core unlinks the object, as `ip link del` does, while it is submitted.
fn core_removes<F: Flaws>() {
    let seen = Seen::default();
    let first = seen.clone();
    explore(move || {
        let devd = Devd::<F>::attached(1);
        let (core, first) = (devd.clone(), first.clone());
        let core = thread::spawn(move || core.remove(core.object(), Object::end));
        let submitted = devd.detach(devd.object(), Reason::Gone);
        let core_was_first = core.join().unwrap();
        first.note(core_was_first);
        assert_ne!(submitted, core_was_first, "not one errand");
        // Not before devd has seen to it: `quiesce` comes before `free`.
        assert_ne!(devd.object().life.course.stage(), Stage::Freed);
        devd.pass(Object::end);
        let object = devd.object();
        assert_eq!(object.life.course.stage(), Stage::Freed);
        let reason = if core_was_first {
            Reason::Core
        } else {
            Reason::Gone
        };
        assert_eq!(object.life.course.reason(), Some(reason));
        assert_eq!(object.life.pins.count(), 0);
    });
    seen.both();
}

/// One free, and who was first is the reason.
#[test]
fn the_core_may_remove_it_as_well() {
    core_removes::<Right>();
}

/// A detach comes while the linkages are made.
#[test]
fn a_detach_during_attach_is_not_lost() {
    let seen = Seen::default();
    let during = seen.clone();
    explore(move || {
        let devd = Devd::<Right>::attaching(1);
        let (driver, during) = (devd.clone(), during.clone());
        let driver = thread::spawn(move || driver.detach(driver.object(), Reason::Gone));
        match devd.object().life.course.linked() {
            Linking::Attached => during.note(false),
            Linking::Detach => {
                during.note(true);
                assert!(!devd.object().life.done());
                devd.unlink(devd.object(), Object::end);
            }
            Linking::Ask => panic!("nobody asked"),
        }
        if driver.join().unwrap() {
            devd.pass(Object::end);
        }
        assert_eq!(devd.object().life.course.stage(), Stage::Freed);
    });
    seen.both();
}

/// The driver says yes while the hardware goes: one of the two begins the removal.
#[test]
fn gone_outweighs_a_pending_orderly() {
    let seen = Seen::default();
    let granted = seen.clone();
    explore(move || {
        let devd = Devd::<Right>::attached(1);
        assert!(devd.object().life.course.ask());
        let asked = devd.clone();
        let asked = thread::spawn(move || asked.object().life.course.grant());
        let gone = devd.detach(devd.object(), Reason::Gone);
        let yes = asked.join().unwrap();
        granted.note(yes);
        assert_ne!(gone, yes, "not one winner");
        let reason = if gone { Reason::Gone } else { Reason::Orderly };
        assert_eq!(devd.object().life.course.reason(), Some(reason));
    });
    seen.both();
}

/// The driver becomes ready and wants it detached, while its no to another caller is under way:
/// `next` says whether it is asked again after a no.
fn each_wish(next: fn(Vetoed) -> bool) {
    let seen = Seen::default();
    let at_once = seen.clone();
    explore(move || {
        let devd = Devd::<Right>::attached(1);
        let ready = Arc::new(AtomicBool::new(false));
        // A worker: asks the driver, as often as it is to be asked.
        let answer = {
            let (devd, ready) = (devd.clone(), ready.clone());
            move || {
                let course = &devd.object().life.course;
                while !ready.load(Relaxed) {
                    if !next(course.veto()) {
                        return false;
                    }
                }
                course.grant()
            }
        };
        assert!(devd.object().life.course.ask());
        let worker = thread::spawn(answer.clone());
        ready.store(true, Relaxed);
        // The worker has one question at a time.
        let again = devd.object().life.course.ask();
        let yes = worker.join().unwrap();
        let yes = yes || (again && answer());
        at_once.note(again);
        assert!(yes, "a wish was lost");
        assert_eq!(devd.object().life.course.stage(), Stage::Detaching);
    });
    seen.both();
}

/// It is asked again, by whichever of the two.
#[test]
fn each_wish_is_answered() {
    each_wish(|no| no == Vetoed::AskAgain);
}

/// Found: a no that does not look whether it is too old.
#[test]
#[should_panic(expected = "a wish was lost")]
fn a_wish_is_swallowed() {
    each_wish(|_| false);
}

/// Two send one object on two errands, while devd takes it.
fn errands<F: Flaws>(send: fn(&Devd<F>, &Object<F>, u32) -> bool) {
    explore_within(Some(3), move || {
        let devd = Devd::<F>::attached(1);
        // Or else its end, once decided, would make the other errand needless.
        assert!(devd.object().life.pins.pin());
        let senders = [ASK, DETACH].map(|errand| {
            let devd = devd.clone();
            thread::spawn(move || send(&devd, devd.object(), errand))
        });
        devd.pass(Object::end);
        for sender in senders {
            sender.join().unwrap();
        }
        devd.pass(Object::end);
        let object = devd.object();
        assert_eq!(object.asked.load(Relaxed), 1, "an errand was lost");
        assert_eq!(object.detached.load(Relaxed), 1, "an errand was lost");
        // Our own, and that of the errand on which it was attached: no detach was begun.
        assert_eq!(object.life.pins.count(), 2, "not two pins are left");
    });
}

/// It is on the queue once, and no errand is lost or done twice.
#[test]
fn an_object_is_queued_once() {
    errands::<Right>(Devd::send);
}

/// Found: sending it without looking whether it is on its way.
#[test]
#[should_panic]
fn queueing_blindly() {
    errands::<Right>(Devd::send_blindly);
}

/// Found: a compare-and-exchange of two accesses.
#[test]
#[should_panic]
fn queueing_in_two_accesses() {
    errands::<Torn>(Devd::send);
}

/// The driver is to be asked while the hardware goes.
fn ask_and_go(detach: fn(&Devd<Right>, &Object<Right>, Reason) -> bool) {
    let seen = Seen::default();
    let asks = seen.clone();
    explore(move || {
        let devd = Devd::<Right>::attached(1);
        assert!(devd.object().life.pins.pin());
        let (asker, asks) = (devd.clone(), asks.clone());
        let asker = thread::spawn(move || {
            let ask = asker.object().life.course.ask();
            asks.note(ask);
            if ask {
                asker.send(asker.object(), ASK);
            }
            ask
        });
        detach(&devd, devd.object(), Reason::Gone);
        devd.pass(Object::end);
        let ask = asker.join().unwrap();
        devd.pass(Object::end);
        let object = devd.object();
        assert_eq!(
            object.asked.load(Relaxed),
            u32::from(ask),
            "an errand was lost"
        );
        assert_eq!(object.detached.load(Relaxed), 1, "an errand was lost");
        assert_eq!(object.life.pins.count(), 1, "more than our own pin is left");
    });
    seen.both();
}

/// Neither errand is lost.
#[test]
fn asked_and_gone() {
    ask_and_go(Devd::detach);
}

/// Found: a detach that takes it for granted that nobody asks.
#[test]
#[should_panic]
fn going_rashly() {
    ask_and_go(Devd::detach_rashly);
}

/// Two push an object each; who finds the queue empty wakes devd, which takes it beside them.
fn wake<F: Flaws>() {
    explore(|| {
        let devd = Devd::<F>::attached(2);
        let wakes = Arc::new(AtomicU32::new(0));
        let pushers = [0, 1].map(|which| {
            let (devd, wakes) = (devd.clone(), wakes.clone());
            thread::spawn(move || {
                let object = &devd.objects[which];
                object.softc.make();
                if devd.detach(object, Reason::Gone) {
                    wakes.fetch_add(1, Ordering::Release);
                }
            })
        });
        let mut passes = 0;
        // A pass for each wake, and none besides.
        for pusher in pushers {
            pusher.join().unwrap();
            while passes < wakes.load(Ordering::Acquire) {
                devd.pass(Object::end);
                passes += 1;
            }
        }
        for object in &devd.objects {
            assert_eq!(
                object.life.course.stage(),
                Stage::Freed,
                "left on the queue"
            );
        }
    });
}

/// Nothing stays on the queue without a wake-up.
#[test]
fn what_is_pushed_is_woken_for() {
    wake::<Right>();
}

/// Found: a compare-and-exchange of two accesses.
#[test]
#[should_panic]
fn pushing_in_two_accesses() {
    wake::<Torn>();
}

/// What one pushes, another takes: it must see what was done before.
fn hand_over<F: Flaws>() {
    explore(|| {
        let devd = Devd::<F>::attached(1);
        let taker = devd.clone();
        let taker = thread::spawn(move || taker.pass(Object::end));
        devd.object().softc.make();
        let _ = devd.detach(devd.object(), Reason::Gone);
        taker.join().unwrap();
        devd.pass(Object::end);
        assert_eq!(devd.object().life.course.stage(), Stage::Freed);
    });
}

/// devd sees what its submitter did.
#[test]
fn a_push_is_an_order() {
    hand_over::<Right>();
}

/// Found: pushing without an order.
#[test]
#[should_panic(expected = "Causality violation")]
fn pushing_without_an_order() {
    hand_over::<Loose>();
}

/// What may be done to the state word, and when: the rest is its callers' duty.
type Op = (fn(Stage) -> bool, fn(&Course<Model<Right>>));

const OPS: &[Op] = &[
    (|_| true, |course| _ = course.begin()),
    (|_| true, |course| _ = course.detach(Reason::Gone)),
    (|_| true, |course| _ = course.detach(Reason::Unload)),
    (|_| true, |course| _ = course.ask()),
    (|_| true, |course| _ = course.grant()),
    (|_| true, |course| _ = course.veto()),
    (|_| true, |course| _ = course.unlinked()),
    (|_| true, |course| _ = course.drained()),
    (
        |stage| stage == Stage::Attaching,
        |course| _ = course.linked(),
    ),
    (|stage| stage == Stage::Attaching, Course::fail),
    (
        |stage| matches!(stage, Stage::Drained | Stage::Failing),
        Course::end,
    ),
];

/// Makes calls on a new word: the stages before and after the last one, and what can be seen of the
/// word then. `None` if the last call may not be made.
fn replay(path: &[usize]) -> Option<(Stage, Stage, String)> {
    let result = Arc::new(Mutex::new(None));
    let (path, written) = (path.to_vec(), result.clone());
    explore(move || {
        let course = Course::default();
        let (&last, first) = path.split_last().unwrap();
        first.iter().for_each(|&op| OPS[op].1(&course));
        let before = course.stage();
        *written.lock().unwrap() = OPS[last].0(before).then(|| {
            OPS[last].1(&course);
            let after = course.stage();
            let seen = (after, course.reason(), course.vetoed());
            // Only who says no can see that an answer is awaited.
            (before, after, format!("{seen:?} {:?}", course.veto()))
        });
    });
    let result = result.lock().unwrap().take();
    result
}

/// Every step from one stage to another that some sequence of calls takes.
fn steps() -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    let (mut known, mut paths) = (BTreeSet::new(), vec![vec![]]);
    while let Some(path) = paths.pop() {
        for op in 0..OPS.len() {
            let path = [&path[..], &[op]].concat();
            if let Some((before, after, word)) = replay(&path) {
                if after != before {
                    found.insert((before.name().into(), after.name().into()));
                }
                if known.insert(word) {
                    paths.push(path);
                }
            }
        }
    }
    found
}

/// The steps that Documentation/devd.rst draws: down, by a "v", and to the side, by "--->".
fn drawn() -> BTreeSet<(String, String)> {
    let text = include_str!("../../../../Documentation/devd.rst");
    let states = text.split("\nStates\n").nth(1).unwrap();
    let drawing = states
        .split("::\n")
        .nth(1)
        .unwrap()
        .split("\ntests/model")
        .next()
        .unwrap();
    let mut found = BTreeSet::new();
    let (mut above, mut down) = (String::new(), false);
    for line in drawing.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            ["v"] => down = true,
            [stage, ..] if stage != "|" => {
                if down {
                    found.insert((above, stage.into()));
                    down = false;
                }
                if let [_, "--->", to, ..] = words[..] {
                    found.insert((stage.into(), to.into()));
                }
                // A line to the side, in between, is no place to go down from.
                above = stage.into();
            }
            _ => {}
        }
    }
    found
}

/// The drawing has all the steps of the code, and no others.
#[test]
fn the_drawing_is_the_code() {
    assert_eq!(steps(), drawn());
}
