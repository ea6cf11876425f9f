// SPDX-License-Identifier: GPL-2.0

//! Flags of allocations, as C has them.
//!
//! C headers: [`include/linux/gfp.h`](srctree/include/linux/gfp.h),
//! [`include/linux/sched/mm.h`](srctree/include/linux/sched/mm.h)

use super::bindings;
use kernel::{
    alloc::Flags,
    prelude::*, //
};

/// What [`Flags`] can be made of outside of the kernel crate, and the bits of it. The first one, of a
/// caller that may block, is direct reclaim with I/O and file systems: they cannot be told apart.
fn parts() -> [(Flags, u32); 5] {
    use kernel::bindings::{
        GFP_ATOMIC as ATOMIC,
        GFP_KERNEL as KERNEL,
        GFP_KERNEL_ACCOUNT as ACCOUNT,
        __GFP_NOWARN as NOWARN, //
    };
    [
        (GFP_KERNEL & !GFP_ATOMIC, KERNEL & !ATOMIC),
        (GFP_KERNEL & GFP_ATOMIC, KERNEL & ATOMIC),
        (GFP_ATOMIC & !GFP_KERNEL, ATOMIC & !KERNEL),
        (GFP_KERNEL_ACCOUNT & !GFP_KERNEL, ACCOUNT & !KERNEL),
        (__GFP_NOWARN, NOWARN),
    ]
}

/// The bits of flags, for C.
pub(crate) fn raw(flags: Flags) -> u32 {
    let set = parts().into_iter();
    let set = set.filter(|(part, _)| flags.contains(*part));
    set.fold(0, |raw, (_, bits)| raw | bits)
}

/// Flags with the bits of C's, as far as there are any; `blocks` for direct reclaim.
fn flags(gfp: u32, blocks: bool) -> Flags {
    let [reclaim, parts @ ..] = parts();
    let none = GFP_KERNEL & !GFP_KERNEL;
    let begin = if blocks { reclaim.0 } else { none };
    let set = parts.into_iter().filter(|(_, bits)| gfp & bits == *bits);
    set.fold(begin, |flags, (part, _)| flags | part)
}

/// Calls `allocate` with the flags of C's. GFP_NOIO and GFP_NOFS, which Rust has no flags for, are
/// the task's meanwhile, as by memalloc_noio_save(): so they hold for all that is allocated. Any
/// context that `gfp` allows.
pub(crate) fn with<R>(gfp: u32, allocate: impl FnOnce(Flags) -> R) -> R {
    let mut scope = 0;
    // SAFETY: `scope` is writable. If the flags allow to block this is process context.
    let blocks = unsafe { bindings::ifref_gfp_begin(gfp, &mut scope) };
    let result = allocate(flags(gfp, blocks));
    // SAFETY: of the same task, which has ended all scopes that it began since.
    unsafe { bindings::ifref_gfp_end(scope) };
    result
}
