//! The memory of another process.

use std::{ffi::CString, fs::File, io, os::unix::fs::FileExt};

use rustix::io::Errno;

/// Memory is mapped in multiples of this at least.
const PAGE: u64 = 4096;
/// As much of a string is read at once: most are shorter.
const PIECE: usize = 512;

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
    string(address, limit, |next, buffer| read_memory(process, next, buffer))
}

/// The memory that a process has now, kept open for reading, which is cheaper than [`read_memory`] from the second time
/// on. It stays that memory whatever the process does: after an `exec` it is not the process's any more.
#[derive(Debug)]
pub struct Memory {
    process: i32,
    /// None where it cannot be kept open.
    file: Option<File>,
}

impl Memory {
    /// That of a process, or of the one that a thread belongs to.
    pub fn of(process: i32) -> Self {
        let file = File::open(format!("/proc/{process}/mem")).ok();
        Self { process, file }
    }

    /// As [`read_memory`]; also what the process itself may not read.
    ///
    /// # Errors
    /// As for [`read_memory`].
    pub fn read(&self, address: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(file) = &self.file else {
            return read_memory(self.process, address, buffer);
        };
        match file.read_at(buffer, address) {
            Ok(0) if !buffer.is_empty() => Err(Errno::SRCH.into()),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL)) => {
                Err(Errno::FAULT.into())
            }
            other => other,
        }
    }

    /// As [`read_string`].
    ///
    /// # Errors
    /// As for [`read_string`].
    pub fn string(&self, address: u64, limit: usize) -> io::Result<CString> {
        string(address, limit, |next, buffer| self.read(next, buffer))
    }
}

fn string(
    address: u64,
    limit: usize,
    mut read: impl FnMut(u64, &mut [u8]) -> io::Result<usize>,
) -> io::Result<CString> {
    let mut text = Vec::new();
    let mut buffer = [0; PIECE];
    while text.len() < limit {
        let next = address
            .checked_add(text.len() as u64)
            .ok_or(io::Error::from(Errno::FAULT))?;
        // What comes after it may be on a page that cannot be read.
        let piece = PIECE.min(limit - text.len()).min((PAGE - next % PAGE) as usize);
        let wanted = buffer.get_mut(..piece).unwrap_or_default();
        let length = read(next, wanted)?;
        let got = wanted.get(..length).unwrap_or_default();
        if let Some(end) = got.iter().position(|byte| *byte == 0) {
            text.extend_from_slice(got.get(..=end).unwrap_or_default());
            return CString::from_vec_with_nul(text).map_err(io::Error::other);
        }
        text.extend_from_slice(got);
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
        let long = CString::new(vec![b'x'; 1000]).unwrap();
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
        let kept = Memory::of(child.pid());
        assert!(kept.file.is_some());
        assert_eq!(kept.string(address, 100).unwrap(), c"a b".to_owned());
        let too_long = read_string(child.pid(), address, 3).unwrap_err();
        assert_eq!(too_long.raw_os_error(), Some(libc::ENAMETOOLONG));
        for nowhere in [8, u64::MAX - 8] {
            let nothing = read_string(child.pid(), nowhere, 100).unwrap_err();
            assert_eq!(nothing.raw_os_error(), Some(libc::EFAULT));
            let nothing = kept.string(nowhere, 100).unwrap_err();
            assert_eq!(nothing.raw_os_error(), Some(libc::EFAULT));
        }
        let same = kept.string(long.as_ptr() as u64, 1001).unwrap();
        assert_eq!(same, long);
        drop(child);
        let gone = kept.string(address, 100).unwrap_err();
        assert_eq!(gone.raw_os_error(), Some(libc::ESRCH));
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
