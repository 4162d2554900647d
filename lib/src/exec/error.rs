//! What can go wrong in this room.

use std::{io, path::PathBuf};

/// Why a process was not run to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// This machine does not allow what a run needs.
    #[error("cannot run anything in this environment: {0}")]
    Unavailable(#[source] Missing),
    /// The same, where isolation by mounts was asked for.
    #[error("isolation by mounts is not available in this environment: {0}")]
    NoMounts(#[source] Missing),
    /// The program could not be started; a shell would report `code`.
    #[error("cannot start {program:?}: {reason}")]
    Start {
        /// As given.
        program: String,
        /// 127 if there is no such program, 126 if it cannot be executed.
        code: i32,
        /// In words.
        reason: String,
    },
    /// The program is for another machine, and nothing here runs it. Where that is because the kernel does not know what
    /// does, [`Engine::supervised`](super::Engine::supervised) can run it.
    #[error("cannot start {program:?}, which is for {architecture}: {source}")]
    Foreign {
        /// As given.
        program: String,
        /// As platforms of images have it.
        architecture: &'static str,
        /// What would run it.
        #[source]
        source: Missing,
    },
    /// The process was about to make a device node, which nobody may in a user namespace. It was ended, to be run again
    /// with [`Engine::instead`](super::Engine::instead).
    #[error("device nodes cannot be made in a user namespace")]
    Device,
    /// The process was about to use a user or a group beyond those that its user namespace has. Likewise.
    #[error("there are no such users and groups in the user namespace")]
    Id,
    /// Ended through its [`Cancel`](super::Cancel).
    #[error("cancelled")]
    Cancelled,
    /// The surroundings of the process could not be made.
    #[error("cannot {what}")]
    Setup {
        /// In words, with the path.
        what: String,
        /// What the kernel says.
        #[source]
        source: io::Error,
    },
    /// Work done with the ids of the engine failed.
    #[error("{0}")]
    WithIds(String),
}

/// What a run would need and this machine does not give.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Missing {
    /// User namespaces.
    #[error("user namespaces are not available ({reason})")]
    UserNamespaces {
        /// What stands in the way.
        reason: String,
        /// What the kernel says.
        #[source]
        source: io::Error,
    },
    /// `newuidmap` or `newgidmap`.
    #[error("{0} is not installed")]
    IdMapProgram(&'static str),
    /// An entry in `/etc/subuid` or `/etc/subgid`.
    #[error("{file} has no range for {user}")]
    SubordinateIds {
        /// Which file.
        file: &'static str,
        /// Name or number of the user.
        user: String,
    },
    /// `newuidmap` or `newgidmap` refused.
    #[error("{program} failed: {message}")]
    IdMapRefused {
        /// Which one.
        program: &'static str,
        /// What it says.
        message: String,
    },
    /// Mounting.
    #[error("cannot {what}")]
    Mounts {
        /// In words.
        what: String,
        /// What the kernel says.
        #[source]
        source: io::Error,
    },
    /// Answering the system calls of other processes.
    #[error("{what} does not work: {reason}")]
    Supervision {
        /// Which part of it.
        what: &'static str,
        /// What the kernel says.
        reason: String,
    },
    /// What runs programs of another machine.
    #[error("{0} is not installed")]
    Emulator(String),
    /// It is there, and would be used if the kernel knew.
    #[error("the kernel does not know of {0}")]
    Registration(String),
    /// A file system that can hold the upper directory of an overlay.
    #[error("the file system of {} cannot hold an overlay: {reason}", path.display())]
    Overlay {
        /// A directory on it.
        path: PathBuf,
        /// What does not work.
        reason: String,
    },
}

impl Missing {
    /// What a user can do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::UserNamespaces { .. } => {
                "run as root with CAP_SYS_ADMIN, or allow user namespaces: sysctl user.max_user_namespaces (must not be 0), \
                 kernel.unprivileged_userns_clone=1 (Debian), kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu)"
                    .to_owned()
            }
            Self::IdMapProgram(_) => "install it (package uidmap or shadow-utils), or run as root".to_owned(),
            Self::SubordinateIds { file, user } => {
                format!("as root, add a range: echo {user}:100000:65536 >> {file}")
            }
            Self::IdMapRefused { program, .. } => {
                format!("check that {program} is set-user-id root and that no_new_privs is not set")
            }
            Self::Mounts { .. } => {
                "run as root with CAP_SYS_ADMIN, or where user namespaces may mount: without a seccomp filter that \
                 forbids it, without kernel.apparmor_restrict_unprivileged_userns=1, with all of /proc visible"
                    .to_owned()
            }
            Self::Supervision { .. } => {
                "use Linux 5.14 or later, and a seccomp filter that allows seccomp, ptrace and process_vm_readv".to_owned()
            }
            Self::Emulator(_) => "install it (package qemu-user-static): the kernel need not know of it".to_owned(),
            Self::Registration(_) => "use --isolation auto or supervised, or register it (binfmt_misc)".to_owned(),
            Self::Overlay { .. } => "put the store on ext4, xfs, btrfs or tmpfs: --root DIR".to_owned(),
        }
    }
}
