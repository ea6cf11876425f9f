// SPDX-License-Identifier: GPL-2.0

//! Every difference between the kernel versions that ifref builds on that Rust sees.
//!
//! There is none between 7.2 and 7.3 at present. Those that C sees are in `compat.h`.
