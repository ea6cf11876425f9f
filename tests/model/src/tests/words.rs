// SPDX-License-Identifier: GPL-2.0

//! What each word says of itself, value by value.

use crate::{
    interface::Address,
    lifecycle::{Cause, Invalid, Phase, Reason, State, Sums},
    platform::{explore, Model, Right, Section},
};

/// The names that are shown; those of the stages are in the drawing.
#[test]
fn the_names_are_those_of_the_abi() {
    fn all<T: Copy>(values: &[T], name: fn(T) -> &'static str) -> Vec<&'static str> {
        values.iter().map(|&value| name(value)).collect()
    }
    assert_eq!(
        all(
            &[Reason::Orderly, Reason::Unload, Reason::Gone, Reason::Core],
            Reason::name
        ),
        ["orderly", "unload", "gone", "core"]
    );
    assert_eq!(
        all(
            &[Invalid::Detached, Invalid::AddressRemoved, Invalid::Moved],
            Invalid::name
        ),
        ["detached", "address removed", "moved"]
    );
    assert_eq!(
        all(
            &[
                Phase::Attaching,
                Phase::Valid,
                Phase::Detaching,
                Phase::Unlinked,
                Phase::Draining,
                Phase::Freed,
            ],
            Phase::name
        ),
        [
            "attaching",
            "valid",
            "detaching",
            "unlinked",
            "draining",
            "freed"
        ]
    );
    assert_eq!(
        all(
            &[
                Cause::None,
                Cause::Unbind,
                Cause::Dismantle,
                Cause::RegState,
                Cause::Unload,
                Cause::Detach,
            ],
            Cause::name
        ),
        [
            "none",
            "unbind",
            "dismantle",
            "reg_state",
            "unload",
            "detach"
        ]
    );
}

/// A cause stays through all phases, and each phase is shown as what it is.
#[test]
fn a_state_says_phase_and_cause() {
    for cause in [
        Cause::Unbind,
        Cause::Dismantle,
        Cause::RegState,
        Cause::Unload,
        Cause::Detach,
    ] {
        explore(move || {
            let state = State::<Model<Right>>::default();
            assert_eq!(
                (state.phase(), state.cause()),
                (Phase::Attaching, Cause::None)
            );
            assert!(!state.is_valid());
            state.publish();
            assert_eq!((state.phase(), state.cause()), (Phase::Valid, Cause::None));
            assert!(state.invalidate(cause));
            assert!(!state.invalidate(Cause::Unbind), "invalidated twice");
            assert!(!state.is_valid());
            assert_eq!((state.phase(), state.cause()), (Phase::Detaching, cause));
            for phase in [Phase::Unlinked, Phase::Draining, Phase::Freed] {
                state.advance(phase);
                assert_eq!((state.phase(), state.cause()), (phase, cause));
                state.advance(Phase::Unlinked);
                assert_eq!((state.phase(), state.cause()), (phase, cause));
            }
        });
    }
}

/// A link says for what it was cut, the first time, and leads somewhere until then.
#[test]
fn a_link_says_why_it_was_cut() {
    for reason in [Invalid::Detached, Invalid::AddressRemoved, Invalid::Moved] {
        explore(move || {
            let address = Address::<Right>::valid();
            let ifnet: *const _ = &*address.ifnet;
            let section = Section::enter(0);
            assert!(address
                .link
                .target(&section)
                .is_some_and(|found| std::ptr::eq(found, ifnet)));
            assert!(!address.link.is_cut());
            assert_eq!(address.link.reason(), None);
            assert!(address
                .link
                .cut_after(reason, |last| assert!(std::ptr::eq(last, ifnet))));
            assert!(!address
                .link
                .cut_after(Invalid::Detached, |_| panic!("cut twice")));
            assert!(address.link.is_cut());
            assert!(address.link.target(&section).is_none());
            assert_eq!(address.link.reason(), Some(reason));
            assert_eq!(address.link.follow(&section).err(), Some(reason));
        });
    }
}

/// Sums of CPUs that others change meanwhile may be behind each other: then there is nothing.
#[test]
fn sums_are_what_is_left() {
    let sums = |gets, puts| Sums { gets, puts };
    assert_eq!(sums(5, 2).now(), 3);
    assert_eq!(sums(2, 5).now(), 0);
    assert_eq!(sums(1, u64::MAX).now(), 2);
    assert_eq!(sums(5, 2).plus(sums(u64::MAX, 1)), sums(4, 3));
}
