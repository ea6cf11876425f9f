// SPDX-License-Identifier: GPL-2.0

//! Contenders for one state word.

use crate::{
    lifecycle::{Cause, Phase, State},
    platform::{explore, Flaws, Model, Right},
};
use loom::thread;
use std::sync::Arc;

/// In use, after all that must not get a state there or beyond.
fn valid<F: Flaws>() -> Arc<State<Model<F>>> {
    let state = State::default();
    assert!(!state.invalidate(Cause::Unload));
    state.advance(Phase::Freed);
    assert_eq!(state.phase(), Phase::Attaching);
    state.publish();
    assert!(state.is_valid());
    Arc::new(state)
}

/// Two take VALID away and move on.
fn contend<F: Flaws>() {
    const CONTENDERS: [(Cause, Phase); 2] = [
        (Cause::Unbind, Phase::Unlinked),
        (Cause::Dismantle, Phase::Draining),
    ];
    explore(|| {
        let state = valid::<F>();
        let contenders = CONTENDERS.map(|(cause, to)| {
            let state = state.clone();
            thread::spawn(move || {
                let won = state.invalidate(cause);
                assert_ne!(state.cause(), Cause::None);
                state.advance(to);
                won
            })
        });
        let won = contenders.map(|contender| contender.join().unwrap());
        assert_ne!(won[0], won[1], "not one winner");
        assert_eq!(state.cause(), CONTENDERS[usize::from(won[1])].0);
        assert_eq!(state.phase(), Phase::Draining);
    });
}

/// Exactly one takes VALID away, and its cause stays; whoever moves on, the latest phase is kept.
#[test]
fn one_of_two_invalidates() {
    contend::<Right>();
}

/// Whoever looks sees the phase go on only, and never one without its cause; a state is published
/// once: doing it again does not revive it.
#[test]
fn the_phase_only_grows() {
    explore(|| {
        let state = valid::<Right>();
        let remover = thread::spawn({
            let state = state.clone();
            move || {
                assert!(state.invalidate(Cause::Unbind));
                state.advance(Phase::Draining);
                state.advance(Phase::Unlinked);
            }
        });
        let publisher = thread::spawn({
            let state = state.clone();
            move || state.publish()
        });
        let (phase, cause, then) = (state.phase(), state.cause(), state.phase());
        assert!(phase as u8 <= then as u8, "went backwards");
        assert!(phase == Phase::Valid || cause == Cause::Unbind);
        assert!(cause == Cause::None || !state.is_valid());
        remover.join().unwrap();
        publisher.join().unwrap();
        assert_eq!(state.phase(), Phase::Draining);
        assert_eq!(state.cause(), Cause::Unbind);
    });
}

/// Found: a compare-and-exchange of two accesses.
#[test]
#[should_panic(expected = "not one winner")]
fn invalidating_in_two_accesses() {
    struct Torn;
    impl Flaws for Torn {
        const ATOMIC: bool = false;
    }
    contend::<Torn>();
}
