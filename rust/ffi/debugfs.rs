// SPDX-License-Identifier: GPL-2.0

//! Files in debugfs that take commands.
//!
//! C header: [`include/linux/debugfs.h`](srctree/include/linux/debugfs.h)
//!
//! Not the kernel crate's: its files have no owner, so that the module could be unloaded under an
//! open one.

use super::bindings;
use kernel::{
    bindings::seq_file,
    ffi::{
        c_int,
        c_long,
        c_ulong,
        c_void, //
    },
    prelude::*,
    seq_file::SeqFile,
    str::CStrExt,
    sync::Arc,
    uaccess::{
        UserPtr,
        UserSlice,
        UserSliceReader, //
    },
};

/// What a file shows and takes. Both are called in process context, several at a time.
pub(crate) trait Control: Send + Sync {
    /// Shows the file.
    fn show(&self, to: &SeqFile);

    /// Takes one write(2), all of it or nothing.
    fn store(&self, from: &mut UserSliceReader) -> Result;
}

/// What is behind a file.
pub(crate) type Shared = Arc<dyn Control>;

/// A folder with such files. Making and dropping it sleeps; after the drop no call is running.
///
/// # Invariants
///
/// Owns `dir`, whose files have the boxes in `_files` as their data.
pub(crate) struct Controls {
    dir: *mut kernel::bindings::dentry,
    _files: KVec<KBox<Shared>>,
}

// SAFETY: The pointer is only given to functions that any task may call.
unsafe impl Send for Controls {}
// SAFETY: As above.
unsafe impl Sync for Controls {}

impl Controls {
    /// Makes a folder below debugfs' root. Without debugfs there are no files, and no error.
    pub(crate) fn new<const N: usize>(name: &CStr, files: [(&CStr, Shared); N]) -> Result<Self> {
        let mut boxes = KVec::with_capacity(N, GFP_KERNEL)?;
        for (_, control) in &files {
            boxes.push(KBox::new(control.clone(), GFP_KERNEL)?, GFP_KERNEL)?;
        }
        // SAFETY: the name is copied.
        let dir = unsafe { bindings::ifref_control_dir(name.as_char_ptr()) };
        for ((name, _), data) in files.iter().zip(&boxes) {
            let data: *const Shared = &**data;
            // SAFETY: the name is copied; the data lives until the folder is removed; an error
            // pointer for the folder is allowed.
            unsafe {
                bindings::ifref_control_file(dir, name.as_char_ptr(), data.cast_mut().cast());
            }
        }
        // INVARIANT: just made.
        Ok(Self { dir, _files: boxes })
    }
}

impl Drop for Controls {
    fn drop(&mut self) {
        // SAFETY: the type's invariant; it ends here, before the boxes do.
        unsafe { bindings::ifref_control_remove(self.dir) };
    }
}

/// Shows a file: called by the shim.
///
/// # Safety
///
/// `to` is an open file of a [`Controls`].
#[no_mangle]
unsafe extern "C" fn ifref_control_show(to: *mut seq_file, _unused: *mut c_void) -> c_int {
    // SAFETY: `single_open()` was given the file's data.
    let control = unsafe { &*(*to).private.cast::<Shared>() };
    // SAFETY: the caller's promise; nobody else uses it during the call.
    control.show(unsafe { SeqFile::from_raw(to) });
    0
}

/// Takes a write: called by the shim.
///
/// # Safety
///
/// `data` is that of a file of a [`Controls`].
#[no_mangle]
unsafe extern "C" fn ifref_control_store(data: *mut c_void, from: c_ulong, len: c_ulong) -> c_long {
    // SAFETY: the caller's promise.
    let control = unsafe { &*data.cast::<Shared>() };
    let mut reader = UserSlice::new(UserPtr::from_addr(from), len).reader();
    match control.store(&mut reader) {
        Ok(()) => len as c_long,
        Err(err) => err.to_errno() as c_long,
    }
}
