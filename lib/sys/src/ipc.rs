//! System V IPC: shared memory, semaphores, message queues.

use std::{io, ptr};

/// What kind of thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ipc {
    /// Shared memory.
    Memory,
    /// A set of semaphores.
    Semaphores,
    /// A queue of messages.
    Messages,
}

impl Ipc {
    /// Makes a new one that has no key, of so many bytes or semaphores, with these permission bits. Gives its number.
    pub fn make(self, size: usize, mode: i32) -> io::Result<i32> {
        let flags = mode & 0o777 | libc::IPC_CREAT;
        // SAFETY: none of these takes a pointer.
        let made = unsafe {
            match self {
                Self::Memory => libc::shmget(libc::IPC_PRIVATE, size, flags),
                Self::Semaphores => {
                    libc::semget(libc::IPC_PRIVATE, size.try_into().unwrap_or(i32::MAX), flags)
                }
                Self::Messages => libc::msgget(libc::IPC_PRIVATE, flags),
            }
        };
        if made < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(made)
        }
    }

    /// Removes one by its number.
    pub fn remove(self, number: i32) -> io::Result<()> {
        // SAFETY: the pointers are not used for this command.
        let result = unsafe {
            match self {
                Self::Memory => libc::shmctl(number, libc::IPC_RMID, ptr::null_mut()),
                Self::Semaphores => libc::semctl(number, 0, libc::IPC_RMID),
                Self::Messages => libc::msgctl(number, libc::IPC_RMID, ptr::null_mut()),
            }
        };
        if result < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_and_removed() {
        for kind in [Ipc::Memory, Ipc::Semaphores, Ipc::Messages] {
            let number = kind.make(1, 0o600).unwrap();
            kind.remove(number).unwrap();
            let gone = kind.remove(number).unwrap_err().raw_os_error();
            assert!(matches!(gone, Some(libc::EINVAL | libc::EIDRM)), "{kind:?}");
        }
    }
}
