//! The memory of another process.

use std::{ffi::CString, io};

use rustix::io::Errno;

/// Memory is mapped in multiples of this at least.
const PAGE: u64 = 4096;

/// Which way bytes go.
#[derive(Clone, Copy)]
enum Way {
    Read,
    Write,
}

/// Reads from the memory of a process; less than asked for where that ends in what is not mapped.
///
/// # Errors
/// EFAULT if not even the first byte can be read; EPERM if the process may not be traced; ESRCH if it is gone; EINVAL if
/// it is this one.
pub fn read_memory(process: i32, address: u64, buffer: &mut [u8]) -> io::Result<usize> {
    transfer(process, address, buffer.as_mut_ptr(), buffer.len(), Way::Read)
}

/// Writes to the memory of a process; less than asked for where that ends in what cannot be written.
///
/// # Errors
/// As for [`read_memory`].
pub fn write_memory(process: i32, address: u64, bytes: &[u8]) -> io::Result<usize> {
    transfer(
        process,
        address,
        bytes.as_ptr().cast_mut(),
        bytes.len(),
        Way::Write,
    )
}

/// Reads a string that ends in a zero byte.
///
/// # Errors
/// As for [`read_memory`], and ENAMETOOLONG if there is no zero byte within `limit`.
pub fn read_string(process: i32, address: u64, limit: usize) -> io::Result<CString> {
    let mut text = Vec::new();
    while text.len() < limit {
        let start = text.len();
        let next = address
            .checked_add(start as u64)
            .ok_or(io::Error::from(Errno::FAULT))?;
        // A page at a time: most strings end on the first, and each costs.
        let piece = (limit - start).min((PAGE - next % PAGE) as usize);
        text.resize(start + piece, 0);
        let length = read_memory(process, next, text.get_mut(start..).unwrap_or_default())?;
        text.truncate(start + length);
        let read = text.get(start..).unwrap_or_default();
        if let Some(end) = read.iter().position(|byte| *byte == 0) {
            text.truncate(start + end);
            return CString::new(text).map_err(io::Error::other);
        }
        if length < piece {
            return Err(Errno::FAULT.into());
        }
    }
    Err(Errno::NAMETOOLONG.into())
}

/// The buffer of this process is only written to if the way is [`Way::Read`].
fn transfer(process: i32, address: u64, buffer: *mut u8, length: usize, way: Way) -> io::Result<usize> {
    if process == std::process::id().cast_signed() {
        return Err(Errno::INVAL.into());
    }
    let local = libc::iovec {
        iov_base: buffer.cast(),
        iov_len: length,
    };
    let remote = pages(address, length);
    let count = remote.len().min(libc::UIO_MAXIOV as usize) as libc::c_ulong;
    // SAFETY: the local vector is a buffer of the caller, exclusive if it is written to; remote addresses are of
    // another process, whose memory is not this one's.
    let result = unsafe {
        match way {
            Way::Read => libc::process_vm_readv(process, &raw const local, 1, remote.as_ptr(), count, 0),
            Way::Write => libc::process_vm_writev(process, &raw const local, 1, remote.as_ptr(), count, 0),
        }
    };
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// A range in pieces that are each on one page: the kernel transfers a piece whole or not at all.
fn pages(address: u64, length: usize) -> Vec<libc::iovec> {
    let mut pieces = Vec::new();
    let (mut next, mut left) = (address, length as u64);
    while left > 0 {
        let piece = left.min(PAGE - next % PAGE);
        pieces.push(libc::iovec {
            iov_base: next as *mut libc::c_void,
            iov_len: piece as usize,
        });
        let Some(end) = next.checked_add(piece) else { break };
        next = end;
        left -= piece;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Keep, fork};

    #[test]
    fn memory_of_a_child() {
        let text = c"a path".to_owned();
        let address = text.as_ptr() as u64;
        let child = fork(Keep::All, || {
            loop {
                std::thread::park();
            }
        })
        .unwrap();
        assert_eq!(read_string(child.pid(), address, 100).unwrap(), text);
        assert_eq!(write_memory(child.pid(), address + 2, b"b\0").unwrap(), 2);
        assert_eq!(read_string(child.pid(), address, 100).unwrap(), c"a b".to_owned());
        assert_eq!(text, c"a path".to_owned(), "this process has its own");
        let too_long = read_string(child.pid(), address, 3).unwrap_err();
        assert_eq!(too_long.raw_os_error(), Some(libc::ENAMETOOLONG));
        let nothing = read_string(child.pid(), 8, 100).unwrap_err();
        assert_eq!(nothing.raw_os_error(), Some(libc::EFAULT));
    }

    #[test]
    fn this_process_is_refused() {
        let mut byte = [0];
        let error = read_memory(std::process::id().cast_signed(), 8, &mut byte).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }

    #[test]
    fn pieces_end_with_their_pages() {
        let lengths = |address, length| -> Vec<usize> {
            pages(address, length).iter().map(|piece| piece.iov_len).collect()
        };
        assert_eq!(lengths(0, 10), [10]);
        assert_eq!(lengths(4090, 10), [6, 4]);
        assert_eq!(lengths(4096, 8193), [4096, 4096, 1]);
        assert_eq!(lengths(u64::MAX - 4, 10), [5]);
    }
}
