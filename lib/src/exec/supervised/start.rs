//! The first process on its way to become the payload.
//!
//! As soon as it is under the filter, its names and ids are those of the run: from then on it does what it would do in
//! a root of its own.

use std::{
    convert::Infallible,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
};

use rbuild_sys::{seccomp::Filter, send_descriptor};
use rustix::{
    fs::{Gid, Mode, Uid},
    thread::{CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities},
};

use crate::exec::{
    RunSpec,
    child::{Doing, Report},
    inside::payload,
};

/// What the child gets from its parent.
pub(super) struct Child<'a> {
    pub spec: &'a RunSpec,
    pub filter: &'a Filter,
    pub output: [BorrowedFd<'a>; 2],
    /// Says that it is traced.
    pub go: BorrowedFd<'a>,
    /// Takes the listener.
    pub socket: &'a UnixStream,
    /// Where it really is; what the kernel executes is in here.
    pub directory: BorrowedFd<'a>,
    /// Or in here.
    pub root: BorrowedFd<'a>,
}

impl Child<'_> {
    /// Turns this process into the payload.
    pub fn become_payload(&self) -> Result<Infallible, Report> {
        let payload = payload::Words::of(self.spec)?;
        let mut byte = [0];
        match rustix::io::retry_on_intr(|| rustix::io::read(self.go, &mut byte)) {
            Ok(1) => {}
            _ => return Err(Report::Failed("the parent process is gone".to_owned())),
        }
        self.put_down_everything()?;
        // A second wall, where the kernel has it: the filter lets nothing through that would need it.
        let _ = rbuild_sys::give_up_files(&[self.directory, self.root]);
        self.filter
            .install_listening()
            .and_then(|listener| send_descriptor(self.socket, &listener))
            .doing(|| "install a filter of system calls".to_owned())?;
        self.arrive()?;
        rbuild_sys::default_signals(&[]);
        payload::execute(self.spec, &payload)
    }

    /// What the machine knows of this process: nothing that it would need.
    fn put_down_everything(&self) -> Result<(), Report> {
        let streams = || {
            rustix::stdio::dup2_stdout(self.output[0])?;
            rustix::stdio::dup2_stderr(self.output[1])?;
            rustix::process::fchdir(self.directory)
        };
        streams().doing(|| "set up standard output".to_owned())?;
        payload::limits().doing(|| "set resource limits".to_owned())?;
        rustix::process::umask(Mode::from_raw_mode(0o022));
        let _ = rbuild_sys::new_session_keyring();
        let _ = clear_ambient_capability_set();
        let none = CapabilitySet::empty();
        let nothing = CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        };
        rustix::thread::set_no_new_privs(true)
            .and_then(|()| set_capabilities(None, nothing))
            .doing(|| "give up capabilities".to_owned())
    }

    /// Under the filter: goes to the working directory, and becomes the user.
    fn arrive(&self) -> Result<(), Report> {
        let cwd = &self.spec.cwd;
        rustix::process::chdir(cwd).doing(|| format!("change to the working directory {}", cwd.display()))?;
        let user = &self.spec.user;
        let groups: Vec<Gid> = user.groups.iter().copied().map(Gid::from_raw).collect();
        let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
        rustix::thread::set_thread_groups(&groups)
            .and_then(|()| rustix::thread::set_thread_res_gid(gid, gid, gid))
            .and_then(|()| rustix::thread::set_thread_res_uid(uid, uid, uid))
            .doing(|| format!("become user {}:{}", user.uid, user.gid))
    }
}

/// The descriptors that the child needs.
pub(super) fn kept<'a>(child: &Child<'a>) -> [BorrowedFd<'a>; 6] {
    [
        child.output[0],
        child.output[1],
        child.go,
        child.socket.as_fd(),
        child.directory,
        child.root,
    ]
}
