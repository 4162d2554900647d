//! `exec`: what the kernel would do with a program of the run's root.
//!
//! The kernel would look for a program's dynamic loader in the machine's root. So it gets a copy of the program that
//! names a copy of the right loader, and does all the rest itself. Copies are in a directory of the supervisor's own,
//! which is the real working directory of all processes of the run, and has no name that they could use. Scripts are
//! followed here. When the new program is there and has not run one instruction yet, it is compared with what was
//! meant, and what the kernel wrote on its stack is corrected: arguments of scripts, the program's name, ids.
//!
//! - `elf`, `script`: what kind of program a file holds
//! - `foreign`: programs of other machines, which qemu-user runs
//! - `copies`: what the kernel is given to execute
//! - `stack`: what a new program finds on its stack

mod copies;
mod elf;
mod foreign;
mod script;
mod stack;

use std::{
    ffi::CString,
    fs::File,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::FileExt,
    },
    sync::Arc,
};

use nix::libc::{AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, SYS_execve};
use rbuild_sys::{Registers, Tracee, read_string, write_memory};
use rustix::{
    fs::{CWD, Mode, OFlags},
    io::Errno,
};

pub(crate) use {copies::Copies, elf::is_static, foreign::Emulators};

use super::{
    Shared,
    asked::errno,
    process::Process,
    who::{FileCapabilities, SetIds},
};
use crate::exec::farm;
use elf::Kind;

/// As for the kernel.
const MOST_INTERPRETERS: usize = 5;
const PATH_LIMIT: usize = 4096;

/// Bytes of the path that the kernel gets, with its end: a number, a slash, and a name of at most [`NAME_LIMIT`] bytes.
pub(crate) const PLACE: usize = 64;

/// As long as the kernel's names of threads.
const NAME_LIMIT: usize = 15;

/// A file of the run's root that may be executed by who wants to.
#[derive(Debug)]
pub(crate) struct Program {
    /// Opened for reading.
    pub file: OwnedFd,
    /// Its name in the run's root, without symbolic links.
    pub path: Vec<u8>,
    /// What it does to ids.
    pub set_ids: SetIds,
    /// Whether nobody of the run can have it open for writing.
    pub is_shared: bool,
}

/// Prepares and completes `exec`.
pub(crate) struct Loader<'a> {
    pub shared: &'a Shared,
    pub copies: Copies,
    pub emulators: Emulators,
}

/// What should be executed, and what is to be told to it.
pub(crate) struct Plan {
    program: Arc<[u8]>,
    /// Of a dynamic program.
    loader: Arc<[u8]>,
    /// As it was named.
    name: CString,
    /// In place of the first argument, for scripts.
    arguments: Option<Vec<CString>>,
    set_ids: SetIds,
    /// Whether nobody of the run can have it open for writing.
    pub(super) is_shared: bool,
    /// Device and inode of what the kernel is given.
    identity: (u64, u64),
}

/// A call of `execve` or `execveat`.
struct Asked {
    directory: i32,
    path: CString,
    flags: i32,
    arguments: u64,
    environment: u64,
}

/// What scripts lead to.
struct Followed {
    program: Program,
    /// As it was named, by the call or by a script.
    name: CString,
    file: File,
    elf: Kind,
    /// In place of the first argument.
    arguments: Option<Vec<CString>>,
}

impl Loader<'_> {
    /// Looks at a call and makes it one that executes what was meant.
    pub fn plan(&mut self, thread: i32, process: &Process, registers: &mut Registers) -> Result<Plan, Errno> {
        let asked = Asked::read(thread, registers)?;
        let (program, name) = self.find(thread, process, &asked)?;
        let comm = name
            .to_bytes()
            .rsplit(|byte| *byte == b'/')
            .next()
            .unwrap_or_default()
            .to_owned();
        let mut followed = self.follow(process, program, &name)?;
        if let Kind::Foreign(machine) = followed.elf {
            let argument = first_argument(thread, registers)?;
            self.emulators.run(&mut followed, machine, argument)?;
        }
        let Followed {
            program,
            file,
            elf,
            arguments,
            ..
        } = followed;
        let loader = match &elf {
            Kind::Static | Kind::Foreign(_) => None,
            Kind::Dynamic(dynamic) => {
                let loader = self.named(process, process.directory(), &dynamic.loader, true)?;
                Some((readable(&loader.file)?, loader.path))
            }
        };
        let (loader, loader_path) = loader.unzip();
        let comm = comm.get(..NAME_LIMIT).unwrap_or(&comm);
        let copy = self
            .copies
            .of(&file, &elf, loader.as_ref(), comm)
            .map_err(errno)?;
        let place = process.place();
        let written = write_memory(thread, place, &padded(&copy.path)?).map_err(errno)?;
        if written != PLACE {
            return Err(Errno::FAULT);
        }
        registers.set_number(SYS_execve as u32);
        for (index, value) in [place, asked.arguments, asked.environment]
            .into_iter()
            .enumerate()
        {
            if let Some(argument) = registers.argument(index) {
                *argument = value;
            }
        }
        Ok(Plan {
            program: program.path.into(),
            loader: loader_path.unwrap_or_default().into(),
            name,
            arguments,
            set_ids: program.set_ids,
            is_shared: program.is_shared,
            identity: copy.identity,
        })
    }

    /// The file that a call names, and its name as the program will be told.
    fn find(&self, thread: i32, process: &Process, asked: &Asked) -> Result<(Program, CString), Errno> {
        let path = asked.path.to_bytes();
        if asked.flags & !(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0 {
            return Err(Errno::INVAL);
        }
        let follow = asked.flags & AT_SYMLINK_NOFOLLOW == 0;
        if asked.directory == AT_FDCWD || path.starts_with(b"/") {
            let program = self.named(process, process.directory(), path, follow)?;
            return Ok((program, asked.path.clone()));
        }
        let link = format!("/proc/{thread}/fd/{}", asked.directory);
        let file = rustix::fs::openat(CWD, link, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        let file = file.map_err(|error| if error == Errno::NOENT { Errno::BADF } else { error })?;
        let name = format!("/dev/fd/{}", asked.directory).into_bytes();
        if path.is_empty() {
            if asked.flags & AT_EMPTY_PATH == 0 {
                return Err(Errno::NOENT);
            }
            return Ok((self.opened(process, file)?, c_string(name)?));
        }
        let program = self.named(process, file, path, follow)?;
        Ok((program, c_string([&name, b"/".as_slice(), path].concat())?))
    }

    /// A file by its name, seen from a directory; one that the process may execute.
    fn named(
        &self,
        process: &Process,
        directory: impl Into<Arc<OwnedFd>>,
        path: &[u8],
        follow: bool,
    ) -> Result<Program, Errno> {
        let view = &self.shared.view;
        let asker = view.asker(process, process.id, &self.shared.family)?;
        let found = view.find(&asker, &view.node(directory)?, path, follow)?;
        view.program(&asker, &found).map(Program::from)
    }

    /// That a descriptor is open for.
    fn opened(&self, process: &Process, file: OwnedFd) -> Result<Program, Errno> {
        let view = &self.shared.view;
        let asker = view.asker(process, process.id, &self.shared.family)?;
        view.program(&asker, &view.node(file)?).map(Program::from)
    }

    /// Follows scripts to a program of this machine, and collects the arguments that come of it.
    fn follow(&self, process: &Process, mut program: Program, name: &CString) -> Result<Followed, Errno> {
        let mut name = name.clone();
        let mut arguments: Option<Vec<CString>> = None;
        for _ in 0..=MOST_INTERPRETERS {
            let file = readable(&program.file)?;
            let mut start = [0; script::LIMIT];
            let length = file.read_at(&mut start, 0).map_err(errno)?;
            let start = start.get(..length).unwrap_or_default();
            let Some(script) = script::parse(start)? else {
                let elf = elf::look(&file)?;
                return Ok(Followed {
                    program,
                    name,
                    file,
                    elf,
                    arguments,
                });
            };
            let interpreter = c_string(script.interpreter.to_vec())?;
            let option = script
                .argument
                .map(|argument| c_string(argument.to_vec()))
                .transpose()?;
            let rest = arguments.into_iter().flatten().skip(1);
            arguments = Some(
                [interpreter.clone()]
                    .into_iter()
                    .chain(option)
                    .chain([name])
                    .chain(rest)
                    .collect(),
            );
            program = self.named(process, process.directory(), script.interpreter, true)?;
            name = interpreter;
        }
        Err(Errno::LOOP)
    }

    /// The new program is there, and has not run yet. An error means that it must not.
    pub fn finish(&self, tracee: &Tracee, process: &Process, plan: Plan) -> std::io::Result<()> {
        let thread = tracee.thread();
        let executed = rustix::fs::stat(format!("/proc/{thread}/exe"))?;
        if (executed.st_dev, executed.st_ino) != plan.identity {
            return Err(Errno::PERM.into());
        }
        let (who, secure) = process.who().after_exec(&plan.set_ids);
        let mut registers = tracee.registers()?;
        let stack = stack::read(thread, registers.stack_pointer())?;
        let place = stack.value(nix::libc::AT_EXECFN).unwrap_or_default();
        let changed = stack.changed(&plan.name, plan.arguments.as_deref(), &who, secure);
        changed.write(thread)?;
        registers.set_stack_pointer(changed.pointer);
        tracee.set_registers(registers)?;
        let mut state = process.state();
        state.who = Arc::new(who);
        state.program = plan.program;
        state.loader = plan.loader;
        state.place = place;
        Ok(())
    }
}

impl From<farm::Program> for Program {
    fn from(found: farm::Program) -> Self {
        let has = |bits: u32| found.mode & bits == bits;
        Self {
            set_ids: SetIds {
                user: has(0o4000).then_some(found.uid),
                group: has(0o2010).then_some(found.gid),
                capabilities: found.capabilities.as_deref().and_then(FileCapabilities::parse),
            },
            file: found.file,
            path: found.path,
            is_shared: found.is_shared,
        }
    }
}

impl Asked {
    fn read(thread: i32, registers: &mut Registers) -> Result<Self, Errno> {
        let is_execve = registers.number() == SYS_execve.cast_unsigned();
        let is_execveat = registers.number() == nix::libc::SYS_execveat.cast_unsigned();
        if !is_execve && !is_execveat {
            // A filter of the process's own asks for a tracer, and has none.
            return Err(Errno::NOSYS);
        }
        let mut argument = |index: usize| registers.argument(index).map(|value| *value).unwrap_or_default();
        let int = |value: u64| (value & 0xffff_ffff) as u32 as i32;
        let first = usize::from(is_execveat);
        let path = read_string(thread, argument(first), PATH_LIMIT).map_err(errno)?;
        let asked = Self {
            directory: if is_execveat { int(argument(0)) } else { AT_FDCWD },
            path,
            flags: if is_execveat { int(argument(4)) } else { 0 },
            arguments: argument(first + 1),
            environment: argument(first + 2),
        };
        if asked.path.is_empty() && asked.flags & AT_EMPTY_PATH == 0 {
            return Err(Errno::NOENT);
        }
        Ok(asked)
    }
}

/// The first argument of a call: empty if it has none.
fn first_argument(thread: i32, registers: &mut Registers) -> Result<CString, Errno> {
    let first = usize::from(registers.number() == nix::libc::SYS_execveat.cast_unsigned());
    let pointer = |address: u64| {
        let mut bytes = [0; 8];
        match rbuild_sys::read_memory(thread, address, &mut bytes).map_err(errno)? {
            8 => Ok(u64::from_ne_bytes(bytes)),
            _ => Err(Errno::FAULT),
        }
    };
    let list = registers
        .argument(first + 1)
        .map(|value| *value)
        .unwrap_or_default();
    match if list == 0 { 0 } else { pointer(list)? } {
        0 => Ok(CString::default()),
        text => read_string(thread, text, PATH_LIMIT).map_err(errno),
    }
}

/// The same file, opened for reading.
fn readable(file: &OwnedFd) -> Result<File, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::openat(CWD, link, flags, Mode::empty()).map(File::from)
}

fn c_string(bytes: Vec<u8>) -> Result<CString, Errno> {
    CString::new(bytes).map_err(|_| Errno::INVAL)
}

/// The same path in [`PLACE`] bytes with its end.
fn padded(path: &str) -> Result<Vec<u8>, Errno> {
    let missing = (PLACE - 1).checked_sub(path.len()).ok_or(Errno::NAMETOOLONG)?;
    let mut padded = "./".repeat(missing / 2);
    match path.split_once('/') {
        Some((directory, name)) if missing % 2 == 1 => padded.extend([directory, "//", name]),
        _ => padded.push_str(path),
    }
    let mut bytes = padded.into_bytes();
    bytes.resize(PLACE, 0);
    Ok(bytes)
}
