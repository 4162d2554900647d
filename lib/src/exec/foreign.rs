//! Programs of other machines, and what runs them here.
//!
//! That is qemu-user, if it is installed as a static program. The kernel need not know of it: where the system calls of
//! processes are answered, so is `exec`.

use std::{fs::File, io::Read, path::PathBuf};

use super::{Error, Missing, ids::find, supervised::is_static};

/// Scripts that name scripts, as for the kernel.
const MOST_INTERPRETERS: usize = 5;

/// Bytes of a file that tell what runs it.
const START: usize = 256;

/// A kind of machine.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    /// As platforms of images have it.
    pub architecture: &'static str,
    /// As qemu and Rust have it.
    name: &'static str,
    /// Word size and byte order, as in the header of a program.
    class: [u8; 2],
    /// `EM_*`
    number: u16,
}

const fn machine(architecture: &'static str, name: &'static str, class: [u8; 2], number: u16) -> Machine {
    Machine {
        architecture,
        name,
        class,
        number,
    }
}

/// 32 or 64 bits; little or big endian.
const WORDS_LITTLE: [u8; 2] = [1, 1];
const LONGS_LITTLE: [u8; 2] = [2, 1];
const LONGS_BIG: [u8; 2] = [2, 2];

/// Those that images are made for.
const MACHINES: [Machine; 10] = [
    machine("amd64", "x86_64", LONGS_LITTLE, 62),
    machine("386", "i386", WORDS_LITTLE, 3),
    machine("arm64", "aarch64", LONGS_LITTLE, 183),
    machine("arm", "arm", WORDS_LITTLE, 40),
    machine("riscv64", "riscv64", LONGS_LITTLE, 243),
    machine("ppc64le", "ppc64le", LONGS_LITTLE, 21),
    machine("s390x", "s390x", LONGS_BIG, 22),
    machine("loong64", "loongarch64", LONGS_LITTLE, 258),
    machine("mips64le", "mips64el", LONGS_LITTLE, 8),
    machine("mips64", "mips64", LONGS_BIG, 8),
];

impl Machine {
    /// The other machine that a program is for, by how its file starts.
    pub fn of(start: &[u8]) -> Option<&'static Self> {
        let class = start.strip_prefix(b"\x7fELF")?.first_chunk()?;
        let number = *start.get(18..)?.first_chunk()?;
        let number = match *class == LONGS_BIG {
            true => u16::from_be_bytes(number),
            false => u16::from_le_bytes(number),
        };
        MACHINES
            .iter()
            .find(|machine| machine.class == *class && machine.number == number && !machine.is_this())
    }

    /// By the name that [`name`](Self::name) gives.
    pub fn named(name: &str) -> Option<&'static Self> {
        MACHINES.iter().find(|machine| machine.name == name)
    }

    /// All others.
    pub fn others() -> impl Iterator<Item = &'static Self> {
        MACHINES.iter().filter(|machine| !machine.is_this())
    }

    fn is_this(&self) -> bool {
        self.name == std::env::consts::ARCH
    }

    /// As qemu has it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What runs its programs here: in `PATH`, or where it is usually installed. It must need no other files, which a
    /// run does not have.
    pub fn emulator(&self) -> Option<PathBuf> {
        let names = [self.emulator_name(), format!("qemu-{}", self.name)];
        let found = names.iter().filter_map(|name| find(name));
        let mut usable = found.filter(|path| File::open(path).is_ok_and(|file| is_static(&file)));
        usable.next()
    }

    /// What the emulator is called where it is known to be static.
    pub fn emulator_name(&self) -> String {
        format!("qemu-{}-static", self.name)
    }

    /// Why a program for it was not started.
    pub fn refused(&self, program: String) -> Error {
        let emulator = self.emulator_name();
        Error::Foreign {
            program,
            architecture: self.architecture,
            source: match self.emulator() {
                None => Missing::Emulator(emulator),
                Some(_) => Missing::Registration(emulator),
            },
        }
    }
}

/// The other machine that the program at a path is for, or the one that reads it if it is a script. `None` if it is for
/// none, or cannot be read.
pub(super) fn machine_of(path: &std::path::Path) -> Option<&'static Machine> {
    use std::os::unix::ffi::OsStringExt;
    let mut path = path.to_owned();
    for _ in 0..=MOST_INTERPRETERS {
        let mut start = Vec::new();
        File::open(&path)
            .and_then(|file| file.take(START as u64).read_to_end(&mut start))
            .ok()?;
        let Some(line) = start.strip_prefix(b"#!") else {
            return Machine::of(&start);
        };
        let mut words = line.split(u8::is_ascii_whitespace);
        let interpreter = words.find(|word| !word.is_empty())?;
        path = std::ffi::OsString::from_vec(interpreter.to_vec()).into();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_say_what_they_are_for() {
        let header = |class: [u8; 2], number: [u8; 2]| {
            let mut header = vec![0; 64];
            header[..4].copy_from_slice(b"\x7fELF");
            header[4..6].copy_from_slice(&class);
            header[18..20].copy_from_slice(&number);
            header
        };
        let name = |header: &[u8]| Machine::of(header).map(|machine| machine.architecture);
        assert_eq!(name(&header([1, 1], [40, 0])), Some("arm"));
        assert_eq!(name(&header([2, 2], [0, 22])), Some("s390x"));
        assert_eq!(name(&header([2, 1], [2, 1])), Some("loong64"));
        // Neither the one with words of 32 bits, nor one that nobody knows, nor no program.
        assert_eq!(name(&header([1, 1], [62, 0])), None);
        assert_eq!(name(&header([2, 1], [22, 0])), None);
        assert_eq!(name(b"\x7fELF\x02\x01"), None);
        assert_eq!(name(b"#!/bin/sh"), None);
        assert_eq!(machine_of("/proc/self/exe".as_ref()), None);
        assert_eq!(
            Machine::others().count() + 1,
            MACHINES.len(),
            "this machine is one"
        );
        for machine in &MACHINES {
            assert_eq!(Machine::named(machine.name()), Some(machine));
        }
    }
}
