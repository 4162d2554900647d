//! gzip members that are in memory as a whole, through libdeflate: faster than any decoder of streams.

use std::ptr::NonNull;

use libdeflate_sys::{
    libdeflate_alloc_decompressor, libdeflate_decompressor, libdeflate_free_decompressor,
    libdeflate_gzip_decompress_ex, libdeflate_result_LIBDEFLATE_SUCCESS,
};

/// Decompresses members, one after the other.
pub struct Inflater(NonNull<libdeflate_decompressor>);

// SAFETY: It is memory that belongs to it alone, and no thread's own.
unsafe impl Send for Inflater {}

/// A member that was decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inflated {
    /// Bytes of the input that it is.
    pub taken: usize,
    /// Bytes of the output that it became.
    pub given: usize,
}

impl Inflater {
    /// None without memory for it.
    pub fn new() -> Option<Self> {
        // SAFETY: There is nothing that it needs.
        NonNull::new(unsafe { libdeflate_alloc_decompressor() }).map(Self)
    }

    /// Decompresses the member that `input` begins with, and checks its trailer (RFC 1952). None if it is damaged, or not
    /// all there, or larger than `output`.
    pub fn member(&mut self, input: &[u8], output: &mut [u8]) -> Option<Inflated> {
        let mut inflated = Inflated { taken: 0, given: 0 };
        // SAFETY: Both slices are as long as they say, and it writes no further; the decompressor is there until `self`
        // is dropped, and nobody else uses it now.
        let result = unsafe {
            libdeflate_gzip_decompress_ex(
                self.0.as_ptr(),
                input.as_ptr().cast(),
                input.len(),
                output.as_mut_ptr().cast(),
                output.len(),
                &mut inflated.taken,
                &mut inflated.given,
            )
        };
        (result == libdeflate_result_LIBDEFLATE_SUCCESS).then_some(inflated)
    }
}

impl Drop for Inflater {
    fn drop(&mut self) {
        // SAFETY: Nobody uses it any more.
        unsafe { libdeflate_free_decompressor(self.0.as_ptr()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf hello | gzip -n`.
    const HELLO: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xcb\x48\xcd\xc9\xc9\x07\0\x86\xa6\x10\x36\x05\0\0\0";

    #[test]
    fn a_member_is_taken_and_what_follows_is_not() {
        let mut inflater = Inflater::new().unwrap();
        let mut output = [0; 10];
        let inflated = inflater.member(&[HELLO, b"more"].concat(), &mut output);
        assert_eq!(
            inflated,
            Some(Inflated {
                taken: HELLO.len(),
                given: 5
            })
        );
        assert_eq!(&output[..5], b"hello");
        assert_eq!(inflater.member(HELLO, &mut output[..4]), None);
        assert_eq!(inflater.member(b"", &mut output), None);
        for length in 0..HELLO.len() {
            assert_eq!(inflater.member(&HELLO[..length], &mut output), None, "{length}");
        }
        let mut damaged = HELLO.to_vec();
        damaged[12] ^= 1;
        assert_eq!(inflater.member(&damaged, &mut output), None);
    }
}
