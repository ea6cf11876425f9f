// SPDX-License-Identifier: GPL-2.0

//! The shim's functions, generated from `shim.h` at build time.

#![expect(
    missing_docs,
    non_camel_case_types,
    unreachable_pub,
    reason = "generated from C"
)]
#![allow(
    dead_code,
    improper_ctypes,
    non_snake_case,
    clippy::all,
    reason = "generated from C; lock classes are empty without lockdep"
)]

include!(env!("IFREF_BINDINGS"));
