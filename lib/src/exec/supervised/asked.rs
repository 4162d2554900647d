//! One system call that waits for its answer.

use std::{ffi::CString, io, os::fd::OwnedFd, sync::Arc};

use rbuild_sys::seccomp::{Call, Listener};
use rustix::{
    fs::{AtFlags, Mode, OFlags, Statx, openat, statx},
    io::Errno,
};

use super::{Process, Shared, Who};
use crate::exec::farm::FIELDS;

/// The longest path that the kernel takes, with its end.
const PATH_LIMIT: usize = 4096;

/// `ERESTARTNOHAND`, which only the kernel sees.
const RESTART: Errno = Errno::from_raw_os_error(514);

/// A system call that waits for its answer.
#[derive(Clone, Debug)]
pub(crate) struct Asked<'a> {
    call: Call,
    process: Arc<Process>,
    listener: &'a Listener,
    shared: &'a Shared,
}

/// What a call returns. Errors are the `Err` of [`Reply`].
pub(crate) enum Answer {
    /// A number.
    Value(i64),
    /// A new descriptor of this file.
    Descriptor { file: OwnedFd, close_on_exec: bool },
    /// What the kernel returns. Only for calls that do no harm whatever their pointers point to by then.
    Proceed,
    /// What this work returns, which may take long: it is done on a thread of its own.
    Later(Box<dyn FnOnce(&Asked<'_>) -> Reply + Send>),
}

/// What a handler gives.
pub(crate) type Reply = Result<Answer, Errno>;

impl Answer {
    /// The usual answer of a call that has nothing to tell.
    pub const DONE: Reply = Ok(Self::Value(0));
}

impl From<usize> for Answer {
    fn from(value: usize) -> Self {
        Self::Value(value.try_into().unwrap_or(i64::MAX))
    }
}

impl<'a> Asked<'a> {
    pub(super) fn new(call: Call, process: Arc<Process>, listener: &'a Listener, shared: &'a Shared) -> Self {
        Self {
            call,
            process,
            listener,
            shared,
        }
    }

    /// What all handlers of the run share.
    pub fn shared(&self) -> &'a Shared {
        self.shared
    }

    /// The thread that asks.
    pub fn thread(&self) -> i32 {
        self.call.thread
    }

    /// The process that it belongs to.
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// Who asks.
    pub fn who(&self) -> Arc<Who> {
        self.process.who()
    }

    /// An argument as it is: a pointer, a size, or a number of 64 bits.
    pub fn word(&self, argument: usize) -> u64 {
        self.call.arguments.get(argument).copied().unwrap_or_default()
    }

    /// An argument that is an `unsigned int`: flags, a mode, an id.
    pub fn number_at(&self, argument: usize) -> u32 {
        (self.word(argument) & u64::from(u32::MAX)) as u32
    }

    /// An argument that is an `int`: a descriptor, a process.
    pub fn int(&self, argument: usize) -> i32 {
        self.number_at(argument).cast_signed()
    }

    /// The path that an argument points to. EFAULT, or ENAMETOOLONG.
    pub fn path(&self, argument: usize) -> Result<CString, Errno> {
        self.string(self.word(argument), PATH_LIMIT)
    }

    /// A string of at most `limit` bytes with its end. EFAULT, or ENAMETOOLONG.
    pub fn string(&self, address: u64, limit: usize) -> Result<CString, Errno> {
        let text = self.glimpse_string(address, limit)?;
        self.still()?;
        Ok(text)
    }

    /// Like [`path`](Self::path), as [`glimpse`](Self::glimpse).
    pub fn glimpse_path(&self, argument: usize) -> Result<CString, Errno> {
        self.glimpse_string(self.word(argument), PATH_LIMIT)
    }

    /// Like [`string`](Self::string), as [`glimpse`](Self::glimpse).
    pub fn glimpse_string(&self, address: u64, limit: usize) -> Result<CString, Errno> {
        let memory = self.shared.family.memory(self.call.thread);
        memory.string(address, limit).map_err(errno)
    }

    /// So many bytes of its memory, or EFAULT.
    pub fn bytes(&self, address: u64, length: usize) -> Result<Vec<u8>, Errno> {
        let mut bytes = vec![0; length];
        self.read(address, &mut bytes)?;
        Ok(bytes)
    }

    /// Fills a buffer from its memory, or EFAULT.
    pub fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Errno> {
        self.glimpse(address, buffer)?;
        self.still()
    }

    /// Like [`read`](Self::read), where it is not yet known whether the call still waits. Nothing may be done by what was
    /// read until [`still`](Self::still) says so, but for looking at files.
    pub fn glimpse(&self, address: u64, buffer: &mut [u8]) -> Result<(), Errno> {
        if buffer.is_empty() {
            return Ok(());
        }
        let memory = self.shared.family.memory(self.call.thread);
        let length = memory.read(address, buffer).map_err(errno)?;
        if length == buffer.len() {
            Ok(())
        } else {
            Err(Errno::FAULT)
        }
    }

    /// Writes to its memory, all or EFAULT.
    pub fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.still()?;
        let length = rbuild_sys::write_memory(self.call.thread, address, bytes).map_err(errno)?;
        if length == bytes.len() {
            Ok(())
        } else {
            Err(Errno::FAULT)
        }
    }

    /// What one of its descriptors is open for, opened with `O_PATH`: the very file, and not what its name has come to
    /// mean. EBADF if it is not open.
    pub fn descriptor(&self, descriptor: i32) -> Result<OwnedFd, Errno> {
        let table = self.shared.family.descriptors(self.call.thread)?;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let file = openat(&table, descriptor.to_string(), flags, Mode::empty()).map_err(closed)?;
        self.still()?;
        Ok(file)
    }

    /// What the disk says of what one of its descriptors is open for. EBADF if it is not open.
    pub fn described(&self, descriptor: i32) -> Result<Statx, Errno> {
        let table = self.shared.family.descriptors(self.call.thread)?;
        statx(&table, descriptor.to_string(), AtFlags::empty(), FIELDS).map_err(closed)
    }

    /// The symbolic link in the machine's `/proc` to what one of its descriptors is open for: to be read, or opened
    /// with other flags. Whoever uses it calls [`still`](Self::still) afterwards.
    pub fn descriptor_path(&self, descriptor: i32) -> String {
        format!("/proc/{}/fd/{descriptor}", self.call.thread)
    }

    /// The directory that a call with this descriptor begins at: the working directory for `AT_FDCWD`.
    pub fn directory(&self, argument: usize) -> Result<Arc<OwnedFd>, Errno> {
        match self.int(argument) {
            nix::libc::AT_FDCWD => Ok(self.process.directory()),
            descriptor => self.descriptor(descriptor).map(Arc::new),
        }
    }

    /// Gives the process a copy of a descriptor before the answer, under the number that it gets. For calls that
    /// return several; a single one is [`Answer::Descriptor`].
    pub fn give(&self, file: &OwnedFd, close_on_exec: bool) -> Result<i32, Errno> {
        use std::os::fd::AsFd;
        self.listener
            .give(&self.call, file.as_fd(), close_on_exec)
            .map_err(errno)
    }

    /// Puts a copy of a descriptor in place of one that the process has.
    pub fn replace(&self, place: i32, file: &OwnedFd, close_on_exec: bool) -> Result<(), Errno> {
        use std::os::fd::AsFd;
        self.listener
            .replace(&self.call, place, file.as_fd(), close_on_exec)
            .map_err(errno)
    }

    /// Like [`still`](Self::still), for what takes long: it fails too once the thread has got a signal. Traced threads
    /// are not woken by those that would end them, so they would never get them. The error lets the kernel deliver the
    /// signal and then, if it has no handler, begin the call again.
    pub fn undisturbed(&self) -> Result<(), Errno> {
        self.still()?;
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.call.thread)).unwrap_or_default();
        if has_signal(&status) {
            return Err(RESTART);
        }
        Ok(())
    }

    /// Fails if the call does not wait any more: what was read by the number of its thread may be of another one.
    pub fn still(&self) -> Result<(), Errno> {
        if self.listener.is_waiting(&self.call) {
            Ok(())
        } else {
            Err(Errno::INTR)
        }
    }
}

/// What it means that a name is not there in a table of descriptors.
fn closed(error: Errno) -> Errno {
    match error {
        Errno::NOENT => Errno::BADF,
        other => other,
    }
}

/// Whether there is a signal for a thread that it neither blocks nor ignores, by what `/proc` says of it.
fn has_signal(status: &str) -> bool {
    let mask = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name));
        value
            .and_then(|value| u64::from_str_radix(value.trim(), 16).ok())
            .unwrap_or_default()
    };
    (mask("SigPnd:") | mask("ShdPnd:")) & !mask("SigBlk:") & !mask("SigIgn:") != 0
}

/// The number of an error of a system call that was made on behalf of another process.
pub(crate) fn errno(error: io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_that_a_thread_gets() {
        let cases = [
            (["0", "0", "0", "0"], false),
            (["4000", "0", "0", "0"], true),
            (["0", "4000", "0", "1"], true),
            (["0", "4000", "4000", "0"], false),
            (["0", "4000", "0", "4000"], false),
        ];
        for ([own, shared, blocked, ignored], expected) in cases {
            let status = format!(
                "Name:\tx\nSigPnd:\t{own}\nShdPnd:\t{shared}\nSigBlk:\t{blocked}\nSigIgn:\t{ignored}\n"
            );
            assert_eq!(has_signal(&status), expected, "{status}");
        }
        assert!(!has_signal(""));
    }
}
