// SPDX-License-Identifier: GPL-2.0

//! Ending what others may still be looking at.

use super::platform::Platform;

/// Ends `batch` in the only right order: `cut` makes it unreachable, whoever was following a link
/// or counting for himself is waited for, and only then `end` gives back memory, folds counts.
///
/// One grace period, however large the batch. Sleeps.
pub(crate) fn bury<P: Platform, B>(batch: B, cut: impl FnOnce(&B), end: impl FnOnce(B)) {
    cut(&batch);
    P::synchronize();
    end(batch);
}
