// SPDX-License-Identifier: GPL-2.0

//! What ifref's operations cost, in instructions: a module that measures when it is loaded.
//!
//! It is meant for a machine whose time stamp counter counts instructions (`scripts/bench`). Each
//! operation runs [`TURNS`] times in a loop, least of [`PASSES`] passes: those without a clock tick
//! in them. The kernel log gets a line `name=SUM/TURNS` for each, the empty loop taken off;
//! measure.c has the kernel's own operations.

use core::{
    hint::black_box,
    ptr, //
};
use ifref::{Key, Net, Packet, Registration, Skb};
use kernel::{
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Release},
        rcu,
    },
};

module! {
    type: Bench,
    name: "ifref_bench",
    authors: ["The ifref developers"],
    description: "ifref: what its operations cost",
    license: "GPL",
}

/// measure.h
mod c {
    // As in measure.h; `safe`, for there are no arguments.
    unsafe extern "C" {
        pub(crate) safe fn ifref_bench_now() -> u64;
        pub(crate) safe fn ifref_bench_kernel() -> core::ffi::c_int;
    }
}

const TURNS: u64 = 1000;
const PASSES: u32 = 50;

/// The least that `TURNS` calls of `op` cost. What they return is used: added up.
#[inline(always)]
fn least(mut op: impl FnMut() -> u64) -> u64 {
    let mut least = u64::MAX;
    for _ in 0..PASSES {
        let mut sum: u64 = 0;
        let begun = c::ifref_bench_now();
        for _ in 0..TURNS {
            sum = sum.wrapping_add(op());
            // No code, but nothing is moved over it, and no two turns become one.
            black_box(());
        }
        least = least.min(c::ifref_bench_now() - begun);
        black_box(sum);
    }
    least
}

fn report(name: &str, cost: u64, without: u64) {
    pr_info!("{name}={}/{TURNS}\n", cost.saturating_sub(without));
}

/// Something that an RCU pointer leads to.
struct Target {
    serial: u64,
}

static POINTER: Atomic<*const Target> = Atomic::new(ptr::null());

/// The least that any code does that follows an RCU pointer which may be null.
#[inline(always)]
fn deref(_section: &rcu::Guard) -> u64 {
    // SAFETY: null, or what lives as long as this code is run.
    match unsafe { POINTER.load(Acquire).as_ref() } {
        Some(target) => target.serial,
        None => 0,
    }
}

#[inline(never)]
fn measure_deref(empty: u64) {
    report("rcu_deref", least(|| deref(&rcu::read_lock())), empty);
}

#[inline(never)]
fn measure_follow(reference: &ifref::IfaddrRef, empty: u64) {
    let follow = |section: &rcu::Guard| match reference.try_follow(section) {
        Ok(live) => live.serial(),
        Err(_) => 0,
    };
    report("follow", least(|| follow(&rcu::read_lock())), empty);
    let section = rcu::read_lock();
    report("follow_nested", least(|| follow(&section)), empty);
}

#[inline(never)]
fn measure_count(reference: &ifref::IfaddrRef, empty: u64) {
    let get_put = || {
        drop(reference.clone());
        0
    };
    report("ref_get_put", least(get_put), empty);
}

#[inline(never)]
fn measure_packet(reference: &ifref::IfaddrRef) {
    // Made, stripped and freed in both; what is left is the reference and its notes.
    let bare = least(|| {
        if let Ok(mut skb) = Skb::new(64, GFP_ATOMIC) {
            skb.scrub();
        }
        0
    });
    let parked = least(|| {
        if let Ok(skb) = Skb::new(64, GFP_ATOMIC) {
            drop(Packet::park(skb, reference.clone()));
        }
        0
    });
    report("packet_ref", parked, bare);
}

struct Bench;

impl kernel::Module for Bench {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let registration = Registration::register(module, "bench")?;
        let reference = registration.get(Key::Name(&Net::initial(), c"lo"), GFP_KERNEL)?;
        let target = KBox::new(Target { serial: 1 }, GFP_KERNEL)?;
        POINTER.store(&*target, Release);

        let empty = least(|| 0);
        measure_deref(empty);
        measure_follow(&reference, empty);
        measure_count(&reference, empty);
        measure_packet(&reference);
        POINTER.store(ptr::null(), Release);
        kernel::error::to_result(c::ifref_bench_kernel())?;
        Ok(Self)
    }
}
