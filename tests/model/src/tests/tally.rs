// SPDX-License-Identifier: GPL-2.0

//! The last reference, a new one and another one, against the end of the interface.

use super::Seen;
use crate::{
    interface::{Address, Memory},
    lifecycle::{bury, Invalid, Sums, Tally},
    platform::{explore, explore_within, grace_period, run_on, Flaws, Model, Right, Section},
};
use loom::thread;
use std::sync::{
    atomic::{
        AtomicU32,
        Ordering::{self, Relaxed, SeqCst},
    },
    Arc,
};

/// An address and one holder's account with it.
struct Shared<F: Flaws> {
    address: Arc<Address<Right>>,
    tally: Tally<Model<F>>,
    memory: Memory,
    // How often the account was brought to its end. Of std: it orders nothing.
    ended: AtomicU32,
}

impl<F: Flaws> Shared<F> {
    fn new(references: usize) -> Arc<Self> {
        let shared = Self {
            address: Address::valid(),
            tally: Tally::new(Default::default()),
            memory: Memory::default(),
            ended: AtomicU32::new(0),
        };
        for _ in 0..references {
            shared.tally.get();
        }
        Arc::new(shared)
    }

    /// Uses a reference, which keeps the memory.
    fn touch(&self) {
        self.memory.touch();
    }

    fn put(&self) {
        if self.tally.put() {
            self.free();
        }
    }

    /// What whoever is told of the end does. (In the module the worker frees, after another grace
    /// period: sooner is harder.)
    fn free(&self) {
        assert_eq!(self.ended.fetch_add(1, SeqCst), 0, "ended twice");
        self.memory.free();
    }

    /// What the worker does when the interface goes.
    fn end(&self) {
        self.address.link.cut_after(Invalid::Detached, |_| ());
        self.settle();
    }

    /// The same for one that was cut before.
    fn settle(&self) {
        let switch = |_: &()| self.tally.switch();
        bury::<Model<F>, _>((), switch, |()| {
            if self.tally.fold(&()) {
                self.free();
            }
        });
    }

    fn check(&self) {
        assert_eq!(self.ended.load(SeqCst), 1, "forgotten");
        assert!(self.tally.ended());
        let Sums { gets, puts } = self.tally.sums();
        assert_eq!(gets, puts, "miscounted");
        assert_eq!(self.tally.references(), 0);
    }
}

/// Two holders, of which one makes another reference first, against the interface's end.
fn last_put<F: Flaws>(end: fn(&Shared<F>)) {
    let seen = Seen::default();
    let holders_did = seen.clone();
    explore_within(Some(3), move || {
        let shared = Shared::<F>::new(2);
        let holders = [0, 1].map(|cpu| {
            let shared = shared.clone();
            thread::spawn(move || {
                run_on(cpu);
                shared.touch();
                if cpu == 1 {
                    shared.tally.get();
                    shared.put();
                    shared.touch();
                }
                shared.put();
            })
        });
        end(&shared);
        holders_did.note(shared.ended.load(SeqCst) == 0);
        for holder in holders {
            holder.join().unwrap();
        }
        shared.check();
    });
    seen.both();
}

/// Exactly one is told of the end, a holder or the worker, and never while a reference is left.
#[test]
fn the_last_put_or_the_fold_ends_it() {
    last_put::<Right>(Shared::end);
}

/// Found: a CPU that counts in two steps does not notice that it was closed between them.
#[test]
#[should_panic(expected = "forgotten")]
fn counting_in_two_steps() {
    struct TwoSteps;
    impl Flaws for TwoSteps {
        const STEP: bool = false;
    }
    last_put::<TwoSteps>(Shared::end);
}

/// Found: the fold ends the account and does not see what the CPUs did with the memory before.
#[test]
#[should_panic(expected = "Causality violation")]
fn closing_without_an_order() {
    struct NoOrder;
    impl Flaws for NoOrder {
        const CLOSE: Ordering = Relaxed;
    }
    last_put::<NoOrder>(Shared::end);
}

/// Found: what the CPUs counted is missing from the word while others count there already.
#[test]
#[should_panic(expected = "Causality violation")]
fn folding_without_a_bias() {
    struct NoBias;
    impl Flaws for NoBias {
        const BIAS: bool = false;
    }
    last_put::<NoBias>(Shared::end);
}

/// Found: the one that frees does not see what the others did with the memory before.
#[test]
#[should_panic(expected = "Causality violation")]
fn counting_relaxed() {
    struct NotFull;
    impl Flaws for NotFull {
        const FULL: bool = false;
    }
    last_put::<NotFull>(Shared::end);
}

/// How somebody looks an address up and takes a reference.
type LookUp<F> = fn(&Shared<F>) -> Result<(), Invalid>;

/// The right one: VALID and the count in one read section.
fn look_up<F: Flaws>(shared: &Shared<F>) -> Result<(), Invalid> {
    let section = Section::enter(0);
    shared.address.link.follow(&section)?;
    shared.touch();
    shared.tally.get();
    Ok(())
}

/// One who looks it up, against the interface's end.
fn find<F: Flaws>(look_up: LookUp<F>) {
    find_at(look_up, Shared::end);
}

fn find_at<F: Flaws>(look_up: LookUp<F>, end: fn(&Shared<F>)) {
    let seen = Seen::default();
    let found = seen.clone();
    explore(move || {
        let shared = Shared::<F>::new(0);
        let finder = thread::spawn({
            let (shared, found) = (shared.clone(), found.clone());
            move || {
                run_on(0);
                let taken = look_up(&shared);
                found.note(taken.is_ok());
                match taken {
                    Ok(()) => {
                        shared.touch();
                        shared.put();
                    }
                    Err(reason) => assert_eq!(reason, Invalid::Detached),
                }
            }
        });
        end(&shared);
        finder.join().unwrap();
        shared.check();
    });
    seen.both();
}

/// Whoever has looked it up has a reference that counts, or is told why not.
#[test]
fn what_is_found_is_kept() {
    find::<Right>(look_up);
}

/// Found: who has seen VALID counts after the fold has ended the account.
#[test]
#[should_panic(expected = "Causality violation")]
fn folding_without_a_grace_period() {
    struct NoGrace;
    impl Flaws for NoGrace {
        const GRACE: bool = false;
    }
    find::<NoGrace>(look_up);
}

/// Found: the same, if the grace period was before the cut.
#[test]
#[should_panic(expected = "Causality violation")]
fn cutting_too_late() {
    find_at::<Right>(look_up, |shared| {
        grace_period();
        shared.address.link.cut_after(Invalid::Detached, |_| ());
        shared.tally.switch();
        if shared.tally.fold(&()) {
            shared.free();
        }
    });
}

/// Found: the section ends between the check and the count.
#[test]
#[should_panic(expected = "Causality violation")]
fn counting_after_the_section() {
    find::<Right>(|shared| {
        let section = Section::enter(0);
        shared.address.link.follow(&section)?;
        drop(section);
        shared.touch();
        shared.tally.get();
        Ok(())
    });
}

/// Found: counting first, and taking it back when VALID has gone.
#[test]
#[should_panic(expected = "ended twice")]
fn counting_before_the_check() {
    find::<Right>(|shared| {
        let section = Section::enter(0);
        shared.tally.get();
        let checked = shared.address.link.follow(&section).map(drop);
        if checked.is_err() {
            shared.put();
        }
        checked
    });
}

/// One who looks it up, while one cuts it off and the worker acts on what it sees of that.
fn find_while_cut(is_cut: fn(&Shared<Right>) -> bool) {
    explore_within(Some(3), move || {
        let shared = Shared::<Right>::new(0);
        let finder = thread::spawn({
            let shared = shared.clone();
            move || {
                run_on(0);
                if look_up(&shared).is_ok() {
                    shared.touch();
                    shared.put();
                }
            }
        });
        let cutter = thread::spawn({
            let shared = shared.clone();
            move || {
                shared.address.link.cut_after(Invalid::Detached, |_| ());
            }
        });
        if !is_cut(&shared) {
            cutter.join().unwrap();
        }
        shared.settle();
        finder.join().unwrap();
        shared.check();
    });
}

/// The worker may switch as soon as it finds the link cut, whoever has cut it.
#[test]
fn what_is_cut_is_found_no_more() {
    find_while_cut(|shared| shared.address.link.is_cut());
}

/// Found: the reason is there before the link is cut.
#[test]
#[should_panic(expected = "Causality violation")]
fn switching_at_the_sight_of_a_reason() {
    find_while_cut(|shared| shared.address.link.reason().is_some());
}

/// One reference handed from CPU to CPU while somebody looks: at rest the sums are exact.
#[test]
fn a_reference_that_wanders_is_counted_once() {
    explore(|| {
        let shared = Shared::<Right>::new(1);
        let wanderers = [0, 1].map(|cpu| {
            let shared = shared.clone();
            thread::spawn(move || {
                run_on(cpu);
                if cpu == 0 {
                    shared.tally.get();
                } else {
                    assert!(!shared.tally.put());
                }
            })
        });
        assert!(shared.tally.references() <= 2);
        for wanderer in wanderers {
            wanderer.join().unwrap();
        }
        assert_eq!(shared.tally.sums(), Sums { gets: 2, puts: 1 });
        assert_eq!(shared.tally.references(), 1);
    });
}

/// Where counters are read in order, as on x86-64, who looks never sees less than what is there all
/// the time, though another thread takes one and drops it.
#[test]
fn what_comes_and_goes_leaves_no_less() {
    struct Ordered;
    impl Flaws for Ordered {
        const LOAD_COUNTER: Ordering = Ordering::Acquire;
    }
    let seen = Seen::default();
    let more = seen.clone();
    explore(move || {
        let shared = Shared::<Ordered>::new(1);
        let other = thread::spawn({
            let shared = shared.clone();
            move || {
                run_on(1);
                shared.tally.get();
                assert!(!shared.tally.put());
            }
        });
        let references = shared.tally.references();
        assert!(references >= 1, "less than there is");
        more.note(references > 1);
        other.join().unwrap();
    });
    seen.both();
}

/// The count has ended when it is exact and zero, and not before.
#[test]
fn it_ends_exact_and_zero() {
    explore(|| {
        let tally = &Shared::<Right>::new(1).tally;
        assert!(!tally.fold(&()), "folded before the switch");
        tally.switch();
        assert!(!tally.ended());
        assert!(!tally.fold(&()));
        assert!(!tally.ended(), "one is left");
        assert!(!tally.fold(&()), "folded twice");
        assert_eq!(tally.references(), 1);
        assert!(tally.put());
        assert!(tally.ended());
        assert_eq!(tally.references(), 0);
    });
}
