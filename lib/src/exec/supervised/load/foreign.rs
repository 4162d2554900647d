//! Programs of other machines: what the kernel gets is an emulator of this machine, with the program for an argument.
//!
//! The emulator makes the program's system calls for it, by their numbers on this machine. So it is answered like
//! everybody else: names that the program says, and that of the program itself, mean what is in the run's root.

use std::{collections::HashMap, ffi::CString, fs::File};

use rustix::io::Errno;

use super::{Followed, Kind, c_string};
use crate::exec::{foreign::Machine, supervised::asked::errno};

/// Emulators that were looked for, by the names of their machines.
#[derive(Debug, Default)]
pub(crate) struct Emulators(HashMap<&'static str, Option<File>>);

impl Emulators {
    /// Has a program run by the emulator of its machine; ENOEXEC without one. `first` is its first argument, unless it
    /// reads a script.
    pub(super) fn run(
        &mut self,
        followed: &mut Followed,
        machine: &'static Machine,
        first: CString,
    ) -> Result<(), Errno> {
        let known = self.0.entry(machine.name()).or_insert_with(|| {
            let path = machine.emulator()?;
            File::open(path).ok()
        });
        let emulator = known.as_ref().ok_or(Errno::NOEXEC)?;
        let mut rest = followed
            .arguments
            .take()
            .unwrap_or_else(|| vec![first])
            .into_iter();
        let first = rest.next().unwrap_or_default();
        let options = [
            c_string(machine.emulator_name().into_bytes())?,
            c"-0".to_owned(),
            first,
        ];
        let program = path(&followed.name, &followed.program.path)?;
        followed.arguments = Some(options.into_iter().chain([program]).chain(rest).collect());
        followed.file = emulator.try_clone().map_err(errno)?;
        followed.elf = Kind::Static;
        Ok(())
    }
}

/// How the emulator is told of a program: as that was named, unless the name would mean something else by then.
fn path(name: &CString, resolved: &[u8]) -> Result<CString, Errno> {
    let bytes = name.to_bytes();
    match bytes {
        // A descriptor, which exec may have closed.
        _ if bytes.starts_with(b"/dev/fd/") => c_string(resolved.to_vec()),
        // Like an option.
        [b'-', ..] => c_string([b"./", bytes].concat()),
        _ => Ok(name.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_programs() {
        let cases = [
            (c"/bin/sh", c"/bin/sh"),
            (c"-x", c"./-x"),
            (c"/dev/fd/7", c"/real"),
        ];
        for (name, expected) in cases {
            assert_eq!(path(&name.to_owned(), b"/real").as_deref(), Ok(expected));
        }
    }
}
