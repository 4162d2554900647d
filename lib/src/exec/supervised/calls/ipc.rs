//! System V IPC: shared memory, semaphores and message queues of the run, which has keys of its own.
//!
//! What has a key in the run has none outside, and what others have made is not there. Numbers are the kernel's, and
//! in registers: once it is clear that one is the run's, the kernel does the rest.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use nix::libc;
use rbuild_sys::Ipc;
use rustix::io::Errno;

use super::Table;
use crate::exec::supervised::{Answer, Asked, Reply, asked::errno};

pub(crate) const TABLE: Table = &[
    (libc::SYS_shmget, |asked| {
        get(asked, Ipc::Memory, asked.word(1), asked.int(2))
    }),
    (libc::SYS_semget, |asked| {
        get(asked, Ipc::Semaphores, asked.number_at(1).into(), asked.int(2))
    }),
    (libc::SYS_msgget, |asked| {
        get(asked, Ipc::Messages, 0, asked.int(1))
    }),
    (libc::SYS_shmat, |asked| known(asked, Ipc::Memory)),
    // It names memory of the caller's own.
    (libc::SYS_shmdt, |_| Ok(Answer::Proceed)),
    (libc::SYS_semop, |asked| known(asked, Ipc::Semaphores)),
    (libc::SYS_semtimedop, |asked| known(asked, Ipc::Semaphores)),
    (libc::SYS_msgsnd, |asked| known(asked, Ipc::Messages)),
    (libc::SYS_msgrcv, |asked| known(asked, Ipc::Messages)),
    (libc::SYS_shmctl, |asked| {
        control(asked, Ipc::Memory, asked.int(1))
    }),
    (libc::SYS_semctl, |asked| {
        control(asked, Ipc::Semaphores, asked.int(2))
    }),
    (libc::SYS_msgctl, |asked| {
        control(asked, Ipc::Messages, asked.int(1))
    }),
];

/// More of one kind is too much for a build.
const MOST: usize = 256;

/// What the run has made. It is removed when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Made(Mutex<HashMap<(Ipc, i32), Key>>);

/// None for `IPC_PRIVATE`.
type Key = Option<i32>;

impl Made {
    fn with<T>(&self, work: impl FnOnce(&mut HashMap<(Ipc, i32), Key>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn has(&self, kind: Ipc, number: i32) -> bool {
        self.with(|made| made.contains_key(&(kind, number)))
    }

    fn by_key(&self, kind: Ipc, wanted: i32) -> Option<i32> {
        self.with(|made| {
            let mut all = made.iter();
            all.find_map(|((known, number), key)| (*known == kind && *key == Some(wanted)).then_some(*number))
        })
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        self.with(|made| {
            for (kind, number) in made.keys() {
                // The run may have removed it.
                let _ = kind.remove(*number);
            }
        });
    }
}

fn get(asked: &Asked<'_>, kind: Ipc, size: u64, flags: i32) -> Reply {
    let made = &asked.shared().ipc;
    let key = Some(asked.int(0)).filter(|key| *key != libc::IPC_PRIVATE);
    if let Some(number) = key.and_then(|key| made.by_key(kind, key)) {
        let new = libc::IPC_CREAT | libc::IPC_EXCL;
        return if flags & new == new {
            Err(Errno::EXIST)
        } else {
            Ok(Answer::Value(number.into()))
        };
    }
    if key.is_some() && flags & libc::IPC_CREAT == 0 {
        return Err(Errno::NOENT);
    }
    if made.with(|made| made.keys().filter(|(known, _)| *known == kind).count()) >= MOST {
        return Err(Errno::NOSPC);
    }
    let size = usize::try_from(size).map_err(|_| Errno::INVAL)?;
    let number = kind.make(size, flags & 0o777).map_err(errno)?;
    made.with(|made| made.insert((kind, number), key));
    Ok(Answer::Value(number.into()))
}

fn known(asked: &Asked<'_>, kind: Ipc) -> Reply {
    if asked.shared().ipc.has(kind, asked.int(0)) {
        Ok(Answer::Proceed)
    } else {
        Err(Errno::INVAL)
    }
}

fn control(asked: &Asked<'_>, kind: Ipc, command: i32) -> Reply {
    // Old programs ask for structures of 64 bits by this bit.
    const WIDE: i32 = 0x100;
    match command & !WIDE {
        libc::IPC_RMID => {
            let number = asked.int(0);
            if asked
                .shared()
                .ipc
                .with(|made| made.remove(&(kind, number)))
                .is_none()
            {
                return Err(Errno::INVAL);
            }
            kind.remove(number).map_err(errno)?;
            Answer::DONE
        }
        // IPC_SET and IPC_STAT; for semaphores what begins with 11, GETPID.
        1 | 2 => known(asked, kind),
        11..=17 if kind == Ipc::Semaphores => known(asked, kind),
        _ => Err(Errno::INVAL),
    }
}
