// SPDX-License-Identifier: GPL-2.0

//! Folders and files in sysfs.
//!
//! C headers: [`include/linux/kobject.h`](srctree/include/linux/kobject.h),
//! [`include/linux/sysfs.h`](srctree/include/linux/sysfs.h)

use super::{
    bindings,
    net_namespace::Net, //
};
use core::{
    ffi::c_void,
    ptr::{self, NonNull}, //
};
use kernel::{
    bindings::{attribute, kobject},
    error::to_result,
    ffi::c_long,
    fmt::{self, Write},
    page::PAGE_SIZE,
    prelude::*,
    str::{
        CStrExt,
        Formatter, //
    },
    sync::Arc, //
};

/// Where a file's text goes; at most a page.
pub(crate) struct Page<'a>(Formatter<'a>);

impl Page<'_> {
    /// Writes one line.
    pub(crate) fn line(&mut self, value: fmt::Arguments<'_>) -> Result {
        self.0.write_fmt(value).map_err(|_| E2BIG)?;
        self.0.write_str("\n").map_err(|_| E2BIG)
    }
}

/// Code that shows a file.
type Show = unsafe fn(*const c_void, &mut Page<'_>) -> Result;

/// Code that does what is written to a file.
type Store = unsafe fn(*const c_void, &str) -> Result;

/// A file: its name, its mode, and the code that shows it or does what is written.
///
/// # Invariants
///
/// The code is called only with the data of a folder whose type has this file in its list.
#[repr(C)]
pub(crate) struct File {
    // First, so that a pointer to it is a pointer to the whole.
    attr: attribute,
    show: Option<Show>,
    store: Option<Store>,
}

// SAFETY: Never written after its making.
unsafe impl Sync for File {}

impl File {
    /// A file that everybody who sees the folder may read, or (`private`) only its owner.
    pub(crate) const fn new(name: &'static CStr, private: bool, show: Show) -> Self {
        let mode = if private { 0o400 } else { 0o444 };
        Self::with_mode(name, mode, Some(show), None)
    }

    /// A file that its owner may write a word to.
    pub(crate) const fn to_write(name: &'static CStr, store: Store) -> Self {
        Self::with_mode(name, 0o200, None, Some(store))
    }

    const fn with_mode(
        name: &'static CStr,
        mode: u16,
        show: Option<Show>,
        store: Option<Store>,
    ) -> Self {
        // SAFETY: all-zero is a valid `attribute`.
        let mut attr: attribute = unsafe { core::mem::zeroed() };
        attr.name = name.to_bytes_with_nul().as_ptr();
        attr.mode = mode;
        Self { attr, show, store }
    }
}

/// A null-ended list of files, as C wants it.
#[repr(transparent)]
pub(crate) struct List<const N: usize>([*const attribute; N]);

// SAFETY: Pointers to statics that are never written.
unsafe impl<const N: usize> Sync for List<N> {}

impl<const N: usize> List<N> {
    /// The list of all `files`; `N` is one more than there are.
    pub(crate) const fn of(files: &'static [File]) -> Self {
        let mut list = [ptr::null(); N];
        let mut i = 0;
        while i < files.len() {
            list[i] = &raw const files[i].attr;
            i += 1;
        }
        Self(list)
    }
}

/// Data that a folder shows. Implemented by [`files!`] only.
///
/// # Safety
///
/// The list is null-ended and each of its files shows a `Self`.
pub(crate) unsafe trait Shown: Send + Sync + 'static {
    /// The files.
    fn files() -> *const *const attribute;
}

/// Says which files a type shows: a name, and a function of `&T` and the [`Page`]; and which may be
/// written to: a name, and a function of `&T` and the text.
macro_rules! files {
    (
        $mode:ident $type:ty { $($name:ident => $show:expr,)* }
        $(write { $($written:ident => $store:expr,)* })?
    ) => {
        // SAFETY: the list is made from the files below, each of which casts to this very type.
        unsafe impl $crate::ffi::kobject::Shown for $type {
            fn files() -> *const *const ::kernel::bindings::attribute {
                use $crate::ffi::kobject::{File, List, Page};
                const N: usize = [$(stringify!($name),)* $($(stringify!($written),)*)?].len();
                static FILES: [File; N] = [$(File::new(
                    ::kernel::c_str!(stringify!($name)),
                    $crate::ffi::kobject::files!(@private $mode),
                    {
                        /// # Safety
                        ///
                        /// The invariant of `File`.
                        unsafe fn show(data: *const ::core::ffi::c_void, page: &mut Page<'_>) -> ::kernel::error::Result {
                            let show: fn(&$type, &mut Page<'_>) -> ::kernel::error::Result = $show;
                            // SAFETY: the invariant of `File`.
                            show(unsafe { &*data.cast::<$type>() }, page)
                        }
                        show
                    },
                ),)* $($(File::to_write(
                    ::kernel::c_str!(stringify!($written)),
                    {
                        /// # Safety
                        ///
                        /// The invariant of `File`.
                        unsafe fn store(data: *const ::core::ffi::c_void, text: &str) -> ::kernel::error::Result {
                            let store: fn(&$type, &str) -> ::kernel::error::Result = $store;
                            // SAFETY: the invariant of `File`.
                            store(unsafe { &*data.cast::<$type>() }, text)
                        }
                        store
                    },
                ),)*)?];
                static LIST: List<{ N + 1 }> = List::of(&FILES);
                (&raw const LIST).cast()
            }
        }
    };
    (@private public) => { false };
    (@private private) => { true };
}
pub(crate) use files;

/// A folder in sysfs. Making and dropping it sleeps and is done by the worker, never under RTNL;
/// the drop waits for readers, after it nobody shows the data any more.
///
/// # Invariants
///
/// Owns the folder.
pub(crate) struct Folder(NonNull<bindings::ifref_folder>);

// SAFETY: The functions may be called from any task; what is shown is `Send + Sync`.
unsafe impl Send for Folder {}
// SAFETY: As above.
unsafe impl Sync for Folder {}

/// A folder that shows `T`.
pub(crate) struct FolderOf<T: Shown> {
    // Dropped first: then nobody shows the data any more.
    folder: Folder,
    _data: Arc<T>,
}

impl Folder {
    fn make(
        parent: Option<&Folder>,
        name: &CStr,
        tagged: bool,
        net: Option<&Net>,
        files: *const *const attribute,
        data: *const c_void,
    ) -> Result<Self> {
        let mut err = 0;
        // SAFETY: `name` is copied, `net` gets a reference of its own, and the caller keeps `data`
        // and `parent` for longer than the folder.
        let folder = unsafe {
            bindings::ifref_folder_new(
                parent.map_or(ptr::null_mut(), |parent| parent.0.as_ptr()),
                name.as_char_ptr(),
                tagged,
                net.map_or(ptr::null_mut(), Net::raw),
                files,
                data,
                &mut err,
            )
        };
        to_result(err)?;
        // INVARIANT: just made.
        Ok(Self(NonNull::new(folder).ok_or(ENOMEM)?))
    }

    /// A folder without files in `/sys/kernel`.
    pub(crate) fn new(name: &CStr) -> Result<Self> {
        Self::make(None, name, false, None, ptr::null(), ptr::null())
    }

    /// A folder without files whose children each belong to a network namespace.
    pub(crate) fn tagged(parent: &Folder, name: &CStr) -> Result<Self> {
        Self::make(Some(parent), name, true, None, ptr::null(), ptr::null())
    }

    /// A folder without files whose children are of the whole machine.
    pub(crate) fn below(parent: &Folder, name: &CStr) -> Result<Self> {
        Self::make(Some(parent), name, false, None, ptr::null(), ptr::null())
    }

    /// Wakes who polls a file, and sends a uevent, KOBJ_CHANGE with `INTERFACE` and `IFREF_EVENT`, in
    /// the folder's namespace. Sleeps.
    pub(crate) fn announce(&self, file: &CStr, name: &CStr, event: &CStr) {
        // SAFETY: the type's invariant; strings.
        unsafe {
            bindings::ifref_folder_announce(
                self.0.as_ptr(),
                file.as_char_ptr(),
                name.as_char_ptr(),
                event.as_char_ptr(),
            )
        };
    }

    pub(super) fn kobj(&self) -> *mut kobject {
        // SAFETY: the type's invariant.
        unsafe { bindings::ifref_folder_kobj(self.0.as_ptr()) }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // SAFETY: the type's invariant; it ends here.
        unsafe { bindings::ifref_folder_remove(self.0.as_ptr()) };
    }
}

/// Waits until all folders that have gone are released, which the kernel may do later: that is the
/// module's code. Sleeps.
pub(crate) fn settle() {
    // SAFETY: always safe to call from process context.
    unsafe { bindings::ifref_folders_wait() };
}

impl<T: Shown> FolderOf<T> {
    /// A folder below `parent` that shows `data`, in `net` only if there is one.
    pub(crate) fn new(
        parent: &Folder,
        name: &CStr,
        net: Option<&Net>,
        data: Arc<T>,
    ) -> Result<Self> {
        let shown: *const T = &*data;
        Ok(Self {
            folder: Folder::make(Some(parent), name, false, net, T::files(), shown.cast())?,
            _data: data,
        })
    }

    /// The folder itself.
    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }
}

/// Shows one file: called by the shim.
///
/// # Safety
///
/// `kobj` is a folder's, `attr` one of its [`File`]s, `page` a page.
#[no_mangle]
unsafe extern "C" fn ifref_folder_show(
    kobj: *mut kobject,
    attr: *mut attribute,
    page: *mut u8,
) -> c_long {
    // SAFETY: the caller's promise; the attribute is the first field of a `File`.
    let file = unsafe { &*attr.cast::<File>() };
    // SAFETY: the caller's promise.
    let data = unsafe { bindings::ifref_folder_data(kobj) };
    // SAFETY: the caller's promise; sysfs gives a whole page.
    let mut page = Page(Formatter::new(unsafe {
        core::slice::from_raw_parts_mut(page, PAGE_SIZE)
    }));
    // SAFETY: the invariant of `File`: the folder was made with its type's list.
    match file.show.map(|show| unsafe { show(data, &mut page) }) {
        Some(Ok(())) => page.0.bytes_written() as c_long,
        Some(Err(err)) => err.to_errno() as c_long,
        None => EIO.to_errno() as c_long,
    }
}

/// Does what is written to one file: called by the shim.
///
/// # Safety
///
/// `kobj` is a folder's, `attr` one of its [`File`]s, `text` has `len` bytes.
#[no_mangle]
unsafe extern "C" fn ifref_folder_store(
    kobj: *mut kobject,
    attr: *mut attribute,
    text: *const u8,
    len: usize,
) -> c_long {
    // SAFETY: the caller's promise; the attribute is the first field of a `File`.
    let file = unsafe { &*attr.cast::<File>() };
    // SAFETY: the caller's promise.
    let (data, text) = unsafe {
        (
            bindings::ifref_folder_data(kobj),
            core::slice::from_raw_parts(text, len),
        )
    };
    let Some(store) = file.store else {
        return EIO.to_errno() as c_long;
    };
    let Ok(text) = core::str::from_utf8(text) else {
        return EINVAL.to_errno() as c_long;
    };
    // SAFETY: the invariant of `File`: the folder was made with its type's list.
    match unsafe { store(data, text.trim_end_matches('\n')) } {
        Ok(()) => len as c_long,
        Err(err) => err.to_errno() as c_long,
    }
}
