// SPDX-License-Identifier: GPL-2.0

//! Threads of the kernel's.
//!
//! C header: [`include/linux/kthread.h`](srctree/include/linux/kthread.h)

use super::{
    bindings,
    rwonce::{
        pointer_acquire,
        pointer_release, //
    },
    unload::UntilUnload, //
};
use core::ptr::{self, NonNull};
use kernel::{
    error::from_err_ptr,
    ffi::{c_int, c_void},
    prelude::*,
    str::CStrExt,
    sync::{
        atomic::Atomic,
        Arc,
        ArcBorrow, //
    },
    types::NotThreadSafe, //
};

/// What a [`Thread`] does.
pub trait Task: Send + Sync + 'static {
    /// Runs in the thread, until [`Running::sleep`] says that it is to end. Process context.
    fn run(&self, thread: &Running);
}

/// Evidence that the code runs in a [`Thread`].
pub struct Running(NotThreadSafe);

impl Running {
    /// Sleeps, for `ms` milliseconds or until the thread is to end; says whether it goes on.
    pub fn sleep(&self, ms: u32) -> bool {
        // SAFETY: in a kernel thread, where it may sleep.
        unsafe { bindings::ifref_thread_sleep(ms) }
    }
}

/// A thread. Dropping it tells it to end, and sleeps until it has.
///
/// # Invariants
///
/// Owns the thread, which runs on `_task`.
pub struct Thread<T: Task> {
    thread: *mut kernel::bindings::task_struct,
    _task: Arc<T>,
}

// SAFETY: A thread may be ended from anywhere.
unsafe impl<T: Task> Send for Thread<T> {}
// SAFETY: A shared one offers nothing.
unsafe impl<T: Task> Sync for Thread<T> {}

impl<T: Task> Thread<T> {
    /// Starts a thread. Sleeps; ENOMEM, EINTR.
    ///
    /// # Safety
    ///
    /// It is dropped, and not forgotten, before the code of `task` goes.
    unsafe fn start(name: &CStr, task: Arc<T>) -> Result<Self> {
        let ctx = Arc::as_ptr(&task).cast_mut().cast();
        // SAFETY: `task` is there until the thread has ended, which is what `run` needs.
        let thread =
            unsafe { bindings::ifref_thread_new(Some(Self::run), ctx, name.as_char_ptr()) };
        // INVARIANT: just made.
        Ok(Self {
            thread: from_err_ptr(thread)?,
            _task: task,
        })
    }

    /// # Safety
    ///
    /// `ctx` is a `T`, in a thread that ends before it.
    unsafe extern "C" fn run(ctx: *mut c_void) -> c_int {
        // SAFETY: the caller's promise.
        unsafe { &*ctx.cast::<T>() }.run(&Running(NotThreadSafe));
        0
    }
}

impl<T: Task> UntilUnload<Thread<T>> {
    /// Starts a thread that runs `task`, whose code is `module`'s. Sleeps; ENOMEM, EINTR.
    pub fn new(module: &'static ThisModule, name: &CStr, task: Arc<T>) -> Result<Self> {
        // SAFETY: it is dropped when the module goes at the latest.
        Self::own(module, "thread", unsafe { Thread::start(name, task) }?)
    }
}

impl<T: Task> Drop for Thread<T> {
    fn drop(&mut self) {
        // SAFETY: the type's invariant; it ends here.
        unsafe { bindings::ifref_thread_end(self.thread) };
    }
}

/// Something that a [`Worker`] does when it is woken.
pub(crate) trait Duty: Send + Sync + 'static {
    /// Runs in the worker's thread, once or more after each [`Waker::wake`]. Process context.
    fn run(self: &Arc<Self>);
}

/// A thread that sleeps until it is woken. Dropping it waits for what it does.
///
/// # Invariants
///
/// Owns the thread, which runs on `_duty`.
pub(crate) struct Worker<T: Duty> {
    worker: NonNull<bindings::ifref_worker>,
    _duty: Arc<T>,
}

// SAFETY: A worker may be ended from anywhere.
unsafe impl<T: Duty> Send for Worker<T> {}
// SAFETY: A shared one offers a [`Waker`] only.
unsafe impl<T: Duty> Sync for Worker<T> {}

impl<T: Duty> Worker<T> {
    /// Starts the thread. Sleeps; ENOMEM, EINTR.
    pub(crate) fn new(name: &CStr, duty: Arc<T>) -> Result<Self> {
        let ctx = Arc::as_ptr(&duty).cast_mut().cast();
        // SAFETY: `duty` is there until the thread has ended, which is what `run` needs.
        let worker =
            unsafe { bindings::ifref_worker_new(name.as_char_ptr(), Some(Self::run), ctx) };
        // INVARIANT: just made.
        Ok(Self {
            worker: NonNull::new(from_err_ptr(worker)?).ok_or(ENOMEM)?,
            _duty: duty,
        })
    }

    /// From now on `waker` wakes it.
    ///
    /// # Safety
    ///
    /// `waker` is not used after the worker's end.
    pub(crate) unsafe fn answer_to(&self, waker: &Waker) {
        // INVARIANT: the caller's promise.
        pointer_release(&waker.0, self.worker.as_ptr());
    }

    /// # Safety
    ///
    /// `ctx` is an `Arc`'s `T`, in a thread that ends before it.
    unsafe extern "C" fn run(ctx: *mut c_void) {
        // SAFETY: the caller's promise.
        let duty = unsafe { ArcBorrow::from_raw(ctx.cast::<T>()) };
        Arc::from(duty).run();
    }
}

impl<T: Duty> Drop for Worker<T> {
    fn drop(&mut self) {
        // SAFETY: the type's invariant; it ends here.
        unsafe { bindings::ifref_worker_end(self.worker.as_ptr()) };
    }
}

/// Wakes a [`Worker`], once there is one.
///
/// # Invariants
///
/// Null, or a worker, and then not used after its end.
pub(crate) struct Waker(Atomic<*const bindings::ifref_worker>);

impl Default for Waker {
    /// Wakes nobody yet.
    fn default() -> Self {
        // INVARIANT: null.
        Self(Atomic::new(ptr::null()))
    }
}

impl Waker {
    /// Wakes it. Any context but NMI; no lock but raw ones.
    #[inline]
    pub(crate) fn wake(&self) {
        let worker = pointer_acquire(&self.0);
        if !worker.is_null() {
            // SAFETY: the type's invariant.
            unsafe { bindings::ifref_worker_wake(worker.cast_mut()) };
        }
    }
}
