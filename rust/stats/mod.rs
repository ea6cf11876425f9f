// SPDX-License-Identifier: GPL-2.0

//! What is shown below `/sys/kernel/ifref/`. Every file has a stanza in `Documentation/ABI/`.
//!
//! Folders belong to the shells and are made and removed by the worker. No file takes RTNL or a
//! mutex: the removal of a folder waits for its readers.

pub mod ifaddrs;
pub mod ifnets;
pub mod totals;

use crate::{
    ffi::{
        kobject::{
            Folder,
            FolderOf, //
        },
        net_namespace::Net, //
    },
    ifaddr::Ifaddr,
    ifnet::Ifnet,
    text::Text, //
};
use kernel::{
    fmt::Write,
    prelude::*,
    str::Formatter,
    sync::Arc, //
};
use totals::Totals;

/// The folders that are always there.
pub struct Tree {
    // The children go before their parent.
    ifaddrs: Folder,
    ifnets: Folder,
    _totals: FolderOf<Totals>,
    _root: Folder,
}

impl Tree {
    /// Makes the folders. Sleeps.
    pub fn new() -> Result<Self> {
        let root = Folder::new(c"ifref")?;
        Ok(Self {
            ifaddrs: Folder::tagged(&root, c"ifaddrs")?,
            ifnets: Folder::tagged(&root, c"ifnets")?,
            _totals: FolderOf::new(&root, c"totals", None, Arc::new(Totals, GFP_KERNEL)?)?,
            _root: root,
        })
    }

    /// Makes the folder of an ifnet, which shows in `net`. Sleeps.
    pub fn ifnet(&self, ifnet: &Arc<Ifnet>, net: &Net) -> Result<FolderOf<Ifnet>> {
        let name = number(ifnet.serial());
        FolderOf::new(&self.ifnets, name.as_c_str(), Some(net), ifnet.clone())
    }

    /// Makes the folder of an ifaddr, which shows in `net`. Sleeps.
    pub fn ifaddr(&self, ifaddr: &Arc<Ifaddr>, net: &Net) -> Result<FolderOf<Ifaddr>> {
        let name = number(ifaddr.id());
        FolderOf::new(&self.ifaddrs, name.as_c_str(), Some(net), ifaddr.clone())
    }
}

fn number(value: u64) -> Text<24> {
    let mut digits = [0; 24];
    let mut text = Formatter::new(&mut digits);
    // 20 digits at the most: it fits.
    let _ = text.write_fmt(fmt!("{value}"));
    let len = text.bytes_written();
    Text::from(core::str::from_utf8(&digits[..len]).unwrap_or("0"))
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
