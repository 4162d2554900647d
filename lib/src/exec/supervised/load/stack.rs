//! What a new program finds on its stack: its arguments and environment, and what the kernel tells it.

use std::{
    ffi::{CStr, CString},
    io,
};

use nix::libc::{AT_EGID, AT_EUID, AT_EXECFN, AT_GID, AT_NULL, AT_SECURE, AT_UID, c_ulong};
use rbuild_sys::{read_memory, write_memory};

use crate::exec::supervised::Who;

const WORD: usize = size_of::<u64>();

/// More is no stack of a new program.
const LIMIT: usize = 64 << 20;

/// The words at the end of a stack: the number of arguments, pointers to them, a zero, pointers to the environment, a
/// zero, and pairs of a kind and a value up to that of kind zero.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stack {
    pointer: u64,
    words: Vec<u64>,
    /// Where the pairs begin.
    pairs: usize,
}

/// What is to be there instead.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Changed {
    /// Its end.
    pub pointer: u64,
    bytes: Vec<u8>,
}

/// Reads the stack of a thread that has not run since its `exec`.
pub(super) fn read(thread: i32, pointer: u64) -> io::Result<Stack> {
    let mut length = 4096;
    while length <= LIMIT {
        let mut bytes = vec![0; length];
        let got = read_memory(thread, pointer, &mut bytes)?;
        let words: Vec<u64> = bytes
            .get(..got)
            .unwrap_or_default()
            .chunks_exact(WORD)
            .filter_map(|chunk| chunk.first_chunk().copied().map(u64::from_ne_bytes))
            .collect();
        if let Some(stack) = Stack::parse(pointer, words) {
            return Ok(stack);
        }
        if got < length {
            break;
        }
        length *= 4;
    }
    Err(io::ErrorKind::InvalidData.into())
}

impl Stack {
    /// `None` if the words end too early.
    fn parse(pointer: u64, mut words: Vec<u64>) -> Option<Self> {
        let arguments = usize::try_from(*words.first()?).ok()?;
        let environment = arguments.checked_add(2)?;
        let variables = words.get(environment..)?.iter().position(|word| *word == 0)?;
        let pairs = environment + variables + 1;
        let ends = |pair: &[u64]| pair.first() == Some(&AT_NULL);
        let last = words.get(pairs..)?.chunks_exact(2).position(ends)?;
        words.truncate(pairs + 2 * (last + 1));
        Some(Self {
            pointer,
            words,
            pairs,
        })
    }

    /// What the kernel tells of this kind.
    pub fn value(&self, kind: c_ulong) -> Option<u64> {
        let mut pairs = self.words.get(self.pairs..)?.chunks_exact(2);
        pairs.find_map(|pair| (pair.first() == Some(&kind)).then(|| pair.get(1).copied())?)
    }

    /// The same with another name of the program, other ids, and, for scripts, other arguments in place of the first.
    pub fn changed(&self, name: &CStr, arguments: Option<&[CString]>, who: &Who, secure: bool) -> Changed {
        let end = self.pointer + (self.words.len() * WORD) as u64;
        let strings: Vec<&[u8]> = [name]
            .into_iter()
            .chain(arguments.unwrap_or_default().iter().map(CString::as_c_str))
            .map(CStr::to_bytes_with_nul)
            .collect();
        let length: usize = strings.iter().map(|string| string.len()).sum();
        let mut next = end - length as u64;
        let mut addresses = strings.iter().map(|string| {
            let address = next;
            next += string.len() as u64;
            address
        });
        let name_at = addresses.next().unwrap_or_default();
        let words = self.words_with(name_at, arguments.map(|_| addresses.collect()), who, secure);
        // The stack of a new program ends at a multiple of 16, as the ABI wants.
        let pointer = (end - length as u64 - (words.len() * WORD) as u64) & !15;
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        bytes.resize((end - pointer) as usize - length, 0);
        bytes.extend(strings.concat());
        Changed { pointer, bytes }
    }

    fn words_with(&self, name: u64, arguments: Option<Vec<u64>>, who: &Who, secure: bool) -> Vec<u64> {
        let mut words = self.words.clone();
        for pair in words
            .get_mut(self.pairs..)
            .unwrap_or_default()
            .chunks_exact_mut(2)
        {
            let [kind, value] = pair else { continue };
            match *kind {
                AT_EXECFN => *value = name,
                AT_UID => *value = who.user.real.into(),
                AT_EUID => *value = who.user.effective.into(),
                AT_GID => *value = who.group.real.into(),
                AT_EGID => *value = who.group.effective.into(),
                AT_SECURE => *value = secure.into(),
                _ => {}
            }
        }
        if let (Some(arguments), Some(count)) = (arguments, words.first_mut()) {
            // A program always has a first argument, be it empty: Linux 5.18.
            let replaced = (*count).min(1) as usize;
            *count += (arguments.len() - replaced) as u64;
            words.splice(1..1 + replaced, arguments);
        }
        words
    }
}

impl Changed {
    pub fn write(&self, thread: i32) -> io::Result<()> {
        let written = write_memory(thread, self.pointer, &self.bytes)?;
        if written == self.bytes.len() {
            Ok(())
        } else {
            Err(io::ErrorKind::WriteZero.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Vec<u64> {
        vec![
            2, 100, 200, 0, 300, 0, AT_UID, 12345, AT_EXECFN, 400, AT_SECURE, 0, AT_NULL, 0,
        ]
    }

    #[test]
    fn parts_are_found() {
        let mut words = example();
        words.extend([7, 8, 9]);
        let stack = Stack::parse(0x7000, words).unwrap();
        assert_eq!(stack.words, example());
        assert_eq!(stack.value(AT_EXECFN), Some(400));
        assert_eq!(stack.value(AT_EUID), None);
        for length in 0..example().len() - 1 {
            assert_eq!(Stack::parse(0, example()[..length].to_vec()), None, "{length}");
        }
        assert_eq!(Stack::parse(0, vec![u64::MAX, 0, 0]), None);
    }

    #[test]
    fn a_script_has_more_arguments() {
        let stack = Stack::parse(0x7000, example()).unwrap();
        let arguments = [c"/bin/sh".to_owned(), c"script".to_owned()];
        let changed = stack.changed(c"./script", Some(&arguments), &Who::new(0, 0, &[]), true);
        assert_eq!(changed.pointer % 16, 0);
        let end = 0x7000 + 14 * 8;
        assert_eq!(changed.pointer + changed.bytes.len() as u64, end);
        assert!(changed.bytes.ends_with(b"./script\0/bin/sh\0script\0"));
        let (name, first, second) = (end - 24, end - 15, end - 7);
        let words: Vec<u64> = changed
            .bytes
            .chunks_exact(8)
            .map(|word| u64::from_ne_bytes(*word.first_chunk().unwrap()))
            .collect();
        let expected = [
            3, first, second, 200, 0, 300, 0, AT_UID, 0, AT_EXECFN, name, AT_SECURE, 1, AT_NULL, 0,
        ];
        assert_eq!(words[..15], expected);
    }
}
