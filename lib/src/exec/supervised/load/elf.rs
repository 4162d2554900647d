//! The headers of a program.

use std::{fs::File, os::unix::fs::FileExt};

use rustix::io::Errno;

use crate::exec::foreign::Machine;

/// `EM_*` of this machine.
const MACHINE: u16 = if cfg!(target_arch = "x86_64") {
    62
} else if cfg!(target_arch = "aarch64") {
    183
} else {
    243
};

const HEADER: usize = 64;
const PROGRAM_HEADER: u64 = 56;
const PT_INTERP: u32 = 3;
/// More program headers than this do not fit into what the kernel reads.
const MOST_HEADERS: u64 = 65536 / PROGRAM_HEADER;
const PATH_LIMIT: u64 = 4096;

/// How a program is loaded.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// By the kernel alone.
    Static,
    /// By a dynamic loader.
    Dynamic(Dynamic),
    /// Only by what runs programs of another machine.
    Foreign(&'static Machine),
}

/// The dynamic loader that a program asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Dynamic {
    /// As the program names it.
    pub loader: Vec<u8>,
    /// Where in the file the header is that tells where the name is.
    pub header: u64,
}

/// Whether a file is a program that needs no other.
pub(crate) fn is_static(file: &File) -> bool {
    matches!(look(file), Ok(Kind::Static))
}

/// What a file holds; ENOEXEC if this machine does not execute it.
pub(super) fn look(file: &File) -> Result<Kind, Errno> {
    let read = |offset: u64, length: usize| {
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, offset)
            .map_err(|_| Errno::NOEXEC)?;
        Ok(bytes)
    };
    let header = read(0, HEADER)?;
    if let Some(machine) = Machine::of(&header) {
        return Ok(Kind::Foreign(machine));
    }
    // Of this machine: 64 bits, little endian; executable or shared.
    if !header.starts_with(b"\x7fELF\x02\x01")
        || !matches!(half(&header, 16), 2 | 3)
        || half(&header, 18) != MACHINE
    {
        return Err(Errno::NOEXEC);
    }
    let (table, size, count) = (long(&header, 32), half(&header, 54), half(&header, 56));
    if u64::from(size) != PROGRAM_HEADER || count == 0 || u64::from(count) > MOST_HEADERS {
        return Err(Errno::NOEXEC);
    }
    for index in 0..u64::from(count) {
        let at = table.checked_add(index * PROGRAM_HEADER).ok_or(Errno::NOEXEC)?;
        let header = read(at, PROGRAM_HEADER as usize)?;
        if word(&header, 0) != PT_INTERP {
            continue;
        }
        let (offset, length) = (long(&header, 8), long(&header, 32));
        if !(2..=PATH_LIMIT).contains(&length) {
            return Err(Errno::NOEXEC);
        }
        let mut loader = read(offset, length as usize)?;
        if loader.pop() != Some(0) {
            return Err(Errno::NOEXEC);
        }
        loader.truncate(loader.iter().position(|byte| *byte == 0).unwrap_or(loader.len()));
        return Ok(Kind::Dynamic(Dynamic { loader, header: at }));
    }
    Ok(Kind::Static)
}

/// What is to be written into a program header so that the name of the loader is found at the end of a file: where in
/// the header, and what.
pub(super) fn renamed(offset: u64, length: u64) -> [(u64, [u8; 8]); 2] {
    [(8, offset.to_le_bytes()), (32, length.to_le_bytes())]
}

fn bytes<const N: usize>(from: &[u8], at: usize) -> [u8; N] {
    from.get(at..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .unwrap_or([0; N])
}

fn half(from: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes(from, at))
}

fn word(from: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes(from, at))
}

fn long(from: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes(from, at))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn kind(bytes: &[u8]) -> Result<Kind, Errno> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        look(&file)
    }

    #[test]
    fn programs_of_this_machine() {
        let this = std::fs::read("/proc/self/exe").unwrap();
        match kind(&this).unwrap() {
            Kind::Dynamic(dynamic) => assert!(dynamic.loader.starts_with(b"/lib")),
            other => panic!("tests are linked dynamically, not {other:?}"),
        }
    }

    #[test]
    fn what_is_none() {
        for bytes in [b"".as_slice(), b"text", b"\x7fELF", &[0; 100]] {
            assert_eq!(kind(bytes), Err(Errno::NOEXEC));
        }
        let this = std::fs::read("/proc/self/exe").unwrap();
        let with = |at: usize, value: u8| {
            let mut bytes = this[..4096].to_vec();
            bytes[at] = value;
            kind(&bytes)
        };
        // 32 bits, big endian, a relocatable file, another machine, headers of another size, and far away.
        for (at, value) in [(4, 1), (5, 2), (16, 1), (18, 40), (54, 32), (39, 0x7f)] {
            assert_eq!(with(at, value), Err(Errno::NOEXEC), "{at}");
        }
    }
}
