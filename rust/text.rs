// SPDX-License-Identifier: GPL-2.0

//! Short text kept by value.

use core::{
    fmt,
    str::FromStr, //
};
use kernel::prelude::*;

/// A string of at most `N - 1` bytes and its NUL.
///
/// # Invariants
///
/// The last byte is 0.
#[derive(Clone, Copy)]
pub struct Text<const N: usize>([u8; N]);

impl<const N: usize> Text<N> {
    /// Text that a C function writes into a buffer of `N` bytes.
    pub(crate) fn filled_by(fill: impl FnOnce(*mut u8, usize)) -> Self {
        let mut bytes = [0; N];
        fill(bytes.as_mut_ptr(), N);
        bytes[N - 1] = 0;
        // INVARIANT: just written.
        Self(bytes)
    }

    /// All bytes, the NUL included.
    pub fn bytes(&self) -> [u8; N] {
        self.0
    }

    /// The text for C.
    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or(c"")
    }

    /// The text; a name that is not UTF-8 (device names may be any bytes) shows as "?".
    pub fn as_str(&self) -> &str {
        self.as_c_str().to_str().unwrap_or("?")
    }
}

impl<const N: usize> Text<N> {
    /// A name, of a holder or a driver: 1 to `N - 1` letters, digits, `_`, `.` or `-`, not all of
    /// them dots; EINVAL. It is a folder's, and is written to logs and traces.
    pub(crate) fn name(name: &str) -> Result<Self> {
        let odd = |byte: u8| !(byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
        let dots = name.bytes().all(|byte| byte == b'.');
        if dots || name.len() >= N || name.bytes().any(odd) {
            return Err(EINVAL);
        }
        Ok(Self::from(name))
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self([0; N])
    }
}

impl<const N: usize> PartialEq for Text<N> {
    fn eq(&self, other: &Self) -> bool {
        self.as_c_str() == other.as_c_str()
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<const N: usize> FromStr for Text<N> {
    type Err = Error;

    /// EINVAL if it is too long or empty.
    fn from_str(text: &str) -> Result<Self> {
        if text.is_empty() || text.len() >= N {
            return Err(EINVAL);
        }
        Ok(Self::from(text))
    }
}

impl<const N: usize> From<&str> for Text<N> {
    fn from(text: &str) -> Self {
        let len = text.len().min(N - 1);
        let mut bytes = [0; N];
        bytes[..len].copy_from_slice(&text.as_bytes()[..len]);
        // INVARIANT: at most `N - 1` bytes were written.
        Self(bytes)
    }
}

#[kunit_tests(ifref_text)]
mod tests {
    use super::*;

    #[test]
    fn text_comes_back() {
        let text = Text::<8>::from("usb0");
        assert_eq!(text.as_str(), "usb0");
        assert_eq!(text.as_c_str().to_bytes_with_nul(), b"usb0\0");
        assert_eq!(Text::<8>::from("").as_str(), "");
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(Text::<4>::from("abc").as_str(), "abc");
        assert_eq!(Text::<4>::from("abcdef").as_str(), "abc");
        assert_eq!(Text::<1>::from("abcdef").as_str(), "");
    }

    #[test]
    fn names_have_letters() {
        for name in ["a", "usb0", "a.b-c_9", "...a"] {
            assert!(Text::<8>::name(name).is_ok());
        }
        for name in ["", ".", "..", "a b", "a/b", "a\n", "\u{e9}", "abcdefgh"] {
            assert!(Text::<8>::name(name).is_err());
        }
    }

    #[test]
    fn filling_ends_with_nul() {
        let text = Text::<4>::filled_by(|buf, size| {
            for at in 0..size {
                // SAFETY: the buffer has `size` bytes.
                unsafe { *buf.add(at) = b'x' };
            }
        });
        assert_eq!(text.as_str(), "xxx");
    }

    #[test]
    fn bytes_that_are_no_text() {
        // SAFETY: the buffer has four bytes.
        let text = Text::<4>::filled_by(|buf, _| unsafe { *buf = 0xff });
        assert_eq!(text.as_str(), "?");
        assert_eq!(text.as_c_str().to_bytes_with_nul(), b"\xff\0");
    }
}
