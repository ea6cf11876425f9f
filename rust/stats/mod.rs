// SPDX-License-Identifier: GPL-2.0

//! What is shown below `/sys/kernel/ifref/`. Every file has a stanza in `Documentation/ABI/`.
//!
//! Folders belong to the shells and are made and removed by the worker. No file takes RTNL or a
//! mutex: the removal of a folder waits for its readers.

pub(crate) mod holders;
pub(crate) mod ifaddrs;
pub(crate) mod ifnets;
pub(crate) mod stakes;
pub(crate) mod totals;

use crate::{
    devd::Devd,
    ffi::{
        kobject::{
            self,
            Folder,
            FolderOf, //
        },
        net_namespace::Net, //
    },
    holder::{
        Holder,
        Holders, //
    },
    ifaddr::Ifaddr,
    ifnet::Ifnet,
    stake::Stake,
    text::Text, //
};
use kernel::{
    fmt::{
        self,
        Write, //
    },
    new_mutex,
    prelude::*,
    str::Formatter,
    sync::{
        Arc,
        Mutex, //
    },
};
use totals::Totals;

/// All folders. They are there until the module's exit takes them away, even if this is kept.
#[pin_data]
pub(crate) struct Tree {
    #[pin]
    folders: Mutex<Option<Folders>>,
}

/// The folders that are always there.
struct Folders {
    // The children go before their parent.
    stakes: Folder,
    holders: Folder,
    ifaddrs: Folder,
    ifnets: Folder,
    _totals: FolderOf<Totals>,
    _devd: FolderOf<Devd>,
    _root: Folder,
}

impl Tree {
    /// Makes the folders. Sleeps.
    pub(crate) fn new(holders: &Arc<Holders>, devd: &Arc<Devd>) -> Result<impl PinInit<Self>> {
        let root = Folder::new(c"ifref")?;
        let totals = Arc::new(Totals(holders.clone()), GFP_KERNEL)?;
        let folders = Folders {
            stakes: Folder::tagged(&root, c"stakes")?,
            holders: Folder::below(&root, c"holders")?,
            ifaddrs: Folder::tagged(&root, c"ifaddrs")?,
            ifnets: Folder::tagged(&root, c"ifnets")?,
            _totals: FolderOf::new(&root, c"totals", None, totals)?,
            _devd: FolderOf::new(&root, c"devd", None, devd.clone())?,
            _root: root,
        };
        Ok(pin_init!(Self {
            folders <- new_mutex!(Some(folders), "ifref_tree"),
        }))
    }

    /// Takes the folders away, those below them must have gone before, and waits until nothing of
    /// them is left that would call the module. The module's exit; sleeps.
    pub(crate) fn end(&self) {
        let folders = self.folders.lock().take();
        drop(folders);
        kobject::settle();
    }

    /// Makes a folder below one that is there: ENODEV after the end. Sleeps.
    fn make<T>(&self, make: impl FnOnce(&Folders) -> Result<T>) -> Result<T> {
        make(self.folders.lock().as_ref().ok_or(ENODEV)?)
    }

    /// Makes the folder of an ifnet, which shows in `net`. Sleeps.
    pub(crate) fn ifnet(&self, ifnet: &Arc<Ifnet>, net: &Net) -> Result<FolderOf<Ifnet>> {
        let name = number(ifnet.serial());
        self.make(|all| FolderOf::new(&all.ifnets, name.as_c_str(), Some(net), ifnet.clone()))
    }

    /// Makes the folder of an ifaddr, which shows in `net`. Sleeps.
    pub(crate) fn ifaddr(&self, ifaddr: &Arc<Ifaddr>, net: &Net) -> Result<FolderOf<Ifaddr>> {
        let name = number(ifaddr.id());
        self.make(|all| FolderOf::new(&all.ifaddrs, name.as_c_str(), Some(net), ifaddr.clone()))
    }

    /// Makes the folder of a holder, which shows everywhere, to root. Sleeps.
    pub(crate) fn holder(&self, holder: &Arc<Holder>) -> Result<FolderOf<Holder>> {
        let name = holder.name();
        self.make(|all| FolderOf::new(&all.holders, name.as_c_str(), None, holder.clone()))
    }

    /// Makes the folder of a stake, which shows in `net`. Sleeps.
    pub(crate) fn stake(&self, stake: &Arc<Stake>, net: &Net) -> Result<FolderOf<Stake>> {
        let (ifaddr, holder) = (stake.ifaddr().id(), stake.holder().name());
        let name: Text<64> = text(fmt!("{ifaddr}:{}", holder.as_str()));
        self.make(|all| FolderOf::new(&all.stakes, name.as_c_str(), Some(net), stake.clone()))
    }
}

fn number(value: u64) -> Text<24> {
    text(fmt!("{value}"))
}

/// Writes a short name, which fits.
fn text<const N: usize>(value: fmt::Arguments<'_>) -> Text<N> {
    let mut bytes = [0; N];
    let mut text = Formatter::new(&mut bytes);
    let _ = text.write_fmt(value);
    let len = text.bytes_written().min(N);
    let written = bytes.get(..len).unwrap_or(&[]);
    Text::from(core::str::from_utf8(written).unwrap_or("?"))
}

#[kunit_tests(ifref_stats)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_folders() {
        for (value, text) in [
            (0, "0"),
            (4_294_967_296, "4294967296"),
            (u64::MAX, "18446744073709551615"),
        ] {
            assert_eq!(number(value).as_str(), text);
        }
    }
}
