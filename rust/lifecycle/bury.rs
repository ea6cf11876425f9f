// SPDX-License-Identifier: GPL-2.0

//! Giving memory back to which links lead.

use super::platform::Platform;

/// Frees `batch` in the only right order: every link to it is cut, whoever was following one is
/// waited for, and only then it is dropped.
///
/// One grace period, however large the batch. Sleeps.
pub fn bury<P: Platform, B>(batch: B, cut: impl FnOnce(&B)) {
    cut(&batch);
    P::synchronize();
    drop(batch);
}
