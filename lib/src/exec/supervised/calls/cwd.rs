//! Working directory and root directory, which the kernel knows nothing of.

use std::sync::Arc;

use nix::libc;
use rustix::{io::Errno, thread::CapabilitySet};

use super::{
    super::{Answer, Asked, Reply, tracer::CHROOT},
    Table,
};
use crate::exec::farm::{Asker, Node, Want};

pub(crate) const TABLE: Table = &[
    (libc::SYS_chdir, |asked| {
        let named = asked.named(None, 0)?;
        let node = named.find(true)?;
        change(asked, &named.asker, &node)
    }),
    (libc::SYS_fchdir, |asked| {
        change(asked, &asked.asker()?, &asked.node(0)?)
    }),
    (libc::SYS_getcwd, getcwd),
    // As the tracer has it: filters of others refuse the call itself.
    (CHROOT, change_root),
];

fn change_root(asked: &Asked<'_>) -> Reply {
    let named = asked.named(None, 0)?;
    let node = named.find(true)?;
    enterable(asked, &named.asker, &node)?;
    if !asked.who().can(CapabilitySet::SYS_CHROOT) {
        return Err(Errno::PERM);
    }
    asked.process().state().root = Some(node.fd);
    Answer::DONE
}

fn change(asked: &Asked<'_>, asker: &Asker<'_>, node: &Node) -> Reply {
    enterable(asked, asker, node)?;
    asked.process().state().directory = Arc::clone(&node.fd);
    Answer::DONE
}

fn enterable(asked: &Asked<'_>, asker: &Asker<'_>, node: &Node) -> Result<(), Errno> {
    if !node.is_directory() {
        return Err(Errno::NOTDIR);
    }
    asked.shared().view.check(asker, node, Want::EXECUTE)
}

fn getcwd(asked: &Asked<'_>) -> Reply {
    let view = &asked.shared().view;
    let node = view.node(asked.process().directory())?;
    if node.stat.stx_nlink == 0 {
        return Err(Errno::NOENT);
    }
    let asker = asked.asker()?;
    let mut path = match view.path_of(&asker, &node) {
        // Outside of the root directory, as the kernel says it.
        Err(Errno::NOENT) => b"(unreachable)".to_vec(),
        path => path?,
    };
    path.push(0);
    if path.len() as u64 > asked.word(1) {
        return Err(Errno::RANGE);
    }
    asked.write(asked.word(0), &path)?;
    Ok(Answer::from(path.len()))
}
