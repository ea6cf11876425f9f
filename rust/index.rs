// SPDX-License-Identifier: GPL-2.0

//! A hash table that is read without a lock.

use crate::{
    lifecycle::{
        Chain,
        Linked, //
    },
    platform::Kernel, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::Atomic,
        rcu, //
    },
};

/// How many chains there are. They get longer as there are more objects; 10,000 make them ten.
const CHAINS: usize = 1024;

/// Objects by a hash, read inside a read section and changed under a lock of the owner's.
pub(crate) struct Index<T, const ID: usize>(KVVec<Chain<Kernel, T, ID>>);

impl<T: Linked<Kernel, ID>, const ID: usize> Index<T, ID>
where
    Atomic<*const T>: Sync,
{
    /// An empty table. Sleeps.
    pub(crate) fn new() -> Result<Self> {
        let mut chains = KVVec::with_capacity(CHAINS, GFP_KERNEL)?;
        for _ in 0..CHAINS {
            chains.push(Chain::default(), GFP_KERNEL)?;
        }
        Ok(Self(chains))
    }

    /// The chain for a hash.
    fn chain(&self, hash: u64) -> Option<&Chain<Kernel, T, ID>> {
        // Fibonacci hashing: serial numbers and addresses of objects are alike in their low bits.
        let mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        self.0.get(mixed as usize % CHAINS)
    }

    /// What has that hash, others among it. Any context but NMI.
    pub(crate) fn find<'g>(
        &'g self,
        hash: u64,
        section: &'g rcu::Guard,
    ) -> impl Iterator<Item = &'g T>
    where
        T: 'g,
    {
        let chain = self.chain(hash).into_iter();
        chain.flat_map(move |chain| chain.iter(section))
    }

    /// Adds an object.
    ///
    /// # Safety
    ///
    /// As [`Chain::push`].
    pub(crate) unsafe fn add(&self, hash: u64, object: &T) {
        if let Some(chain) = self.chain(hash) {
            // SAFETY: the caller's promise.
            unsafe { chain.push(object) };
        }
    }

    /// Removes an object, if it is there.
    ///
    /// # Safety
    ///
    /// As [`Chain::remove`].
    pub(crate) unsafe fn remove(&self, hash: u64, object: &T) {
        if let Some(chain) = self.chain(hash) {
            // SAFETY: the caller's promise.
            unsafe { chain.remove(object) };
        }
    }
}
